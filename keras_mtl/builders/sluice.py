"""A tower per task, joined by sluice units and mixed over its layers."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from keras_mtl.builders.mixed_towers import choose_blocks, mixed_towers
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import Stem, begin, finish
from keras_mtl.layers import LayerMixture, Sluice
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("sluice")
def sluice(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    own: float = 0.9,
    subspaces: int = 2,
    orthogonality: float = 0.0,
    after: Sequence[str] | None = None,
    mixture: Sequence[str] | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower per task that shares some of its subspaces.

    After each block, each subspace of each tower goes on with a learned
    mixture of all subspaces of all towers (`layers.Sluice`). Each head reads
    a learned mixture over the layers of its tower (`layers.LayerMixture`),
    named `{task}_mixture`.

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower, of which each task gets a copy; see
            `hard_sharing`. Towers of trained models start from their weights.
        depth: How many blocks all tasks share plainly, before the towers
            begin.
        own: The coefficient that a subspace begins with in its own mixture.
        subspaces: How many subspaces the channels are split into.
        orthogonality: Factor of the penalty that keeps the subspaces of a
            tower apart.
        after: Names of the blocks after which subspaces are mixed; by default
            each.
        mixture: Names of the blocks whose features the heads mix, with the
            last. By default all with features of the shape of the last
            block's; where that is the last alone, there is no mixture.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: An option out of range, a misspelt block, channels that
            cannot be split evenly, a mixture of unequal shapes, or what
            `hard_sharing` refuses.

    Example:
        >>> import keras
        >>> model = sluice(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ... )
        >>> model.get_layer("a_low_sluice").coefficients().shape
        (2, 2, 2)
        >>> print(model.get_layer("b_mixture").coefficients())
        [0.5 0.5]

    Reference:
        Ruder et al., "Latent Multi-task Architecture Learning", AAAI 2019,
        arXiv:1705.08142.
    """
    stem = begin(inputs, tasks, blocks, depth)
    unit = partial(
        Sluice, own=own, subspaces=subspaces, orthogonality=orthogonality
    )
    trails = mixed_towers(stem, after, unit, "sluice")
    features = {}
    for key, trail in trails.items():
        layers = _mixed(trail, stem, mixture)
        features[key] = (
            trail[-1]
            if mixture is None and len(layers) == 1
            else LayerMixture(name=f"{key}_mixture")(layers)
        )
    return finish(inputs, stem.tasks, features, name)


def _mixed(
    trail: list[Any], stem: Stem, mixture: Sequence[str] | None
) -> list[Any]:
    """The features of one tower that its head mixes."""
    if mixture is None:
        return [x for x in trail if x.shape == trail[-1].shape]
    chosen = choose_blocks(mixture, stem, "mixture")
    last = stem.blocks[-1].name
    if last not in chosen:
        raise ValueError(
            "`mixture` must name the last block too, which nothing would read "
            f"otherwise. Received: {list(mixture)}. Add {last!r}."
        )
    return [
        x
        for block, x in zip(stem.blocks, trail, strict=True)
        if block.name in chosen
    ]
