"""One shared tower, of which each task learns which blocks to run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers.skip_choice import SkipChoice
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("adashare")
def adashare(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    sparsity: float = 0.05,
    sharing: float = 0.05,
    temperature: float = 5.0,
    hard: bool = False,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a shared tower whose blocks each task runs or skips.

    For a task `k` and a block `f_l`, with a learned probability `α_{l,k}`
    of running the block and `u` drawn with it by Gumbel-softmax:

        x ← u f_l(x) + (1 - u) x

    a mixture while the temperature is high, which
    `callbacks.TemperatureDecay` lowers; at inference, the likelier of the
    two. All tasks run the same blocks, so that one that two tasks run is
    shared. For L blocks, counted from 0, the model adds the losses

        sparsity · Σ_{l,k} log α_{l,k}
        sharing · Σ_{j<k} Σ_l (L - l) / L · |α_{l,j} - α_{l,k}|

    which favour skipping, and equal choices in low blocks. The released code
    of the paper differs from it: `-log(1 - α)`, and differences of logits.

    Blocks must keep the shape, as residual blocks do; one without weights
    (pooling, Flatten) may change it, and is always run. Blocks before `depth`
    are run by all tasks. `running_probabilities(model)` tells `α`, and
    `hardened(model)` is the model without what was not chosen. As each task
    calls the blocks, moving averages of BatchNormalization in them are over
    all tasks, as in `conditioned`.

    The paper warms up with blocks that all tasks run, before it learns who
    skips which. The blocks here are those that are given, with the weights
    that they have: fit `hard_sharing` of the same list first, and hand its
    heads on by `model.get_layer(task).set_weights(...)`. The paper also lets
    tasks choose among the highest blocks first; here all are chosen at once.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower, as for `hard_sharing`.
        depth: How many blocks all tasks run, before choices begin.
        sparsity: Factor on the first loss.
        sharing: Factor on the second.
        temperature: Temperature at the start.
        hard: Whether a step of training runs or skips a block wholly, instead
            of mixing; see `layers.SkipChoice`.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: A block with weights that changes the shape; a negative
            factor; a depth out of range.

    Example:
        >>> import keras
        >>> model = adashare(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     [
        ...         keras.layers.Dense(8, activation="relu", name="low"),
        ...         keras.layers.Dense(8, activation="relu", name="high"),
        ...     ],
        ... )
        >>> list(running_probabilities(model))[:2]
        ['a_low_choice', 'b_low_choice']

    Reference:
        Sun, Panda, Feris, Saenko, "AdaShare: Learning What To Share For
        Efficient Deep Multi-Task Learning", NeurIPS 2020, arXiv:1911.12423.
    """
    stem = begin(inputs, tasks, blocks, depth)
    penalty = ChoiceAgreement([], sharing)
    features = {}
    choices: dict[str, list[str]] = {}
    for key in stem.tasks:
        features[key] = stem.features
        for block in stem.blocks:
            before, features[key] = features[key], block(features[key])
            if not block.weights:
                continue
            _check_kept_shape(block, before, features[key])
            choice = SkipChoice(
                sparsity=sparsity,
                temperature=temperature,
                hard=hard,
                name=f"{key}_{block.name}_choice",
            )
            features[key] = choice([before, features[key]])
            choices.setdefault(block.name, []).append(choice.name)
    penalty.choices = list(choices.values())
    return finish(
        inputs,
        stem.tasks,
        features,
        name,
        weight_penalty=penalty if sharing else None,
    )


def running_probabilities(model: Any) -> dict[str, float]:
    """The learned probabilities `α` of running blocks.

    Args:
        model: A model that `adashare` built.

    Returns:
        For each choice, by its name `{task}_{block}_choice`, the probability
        that the task runs the block; it does at inference from 0.5 on.
    """
    return {
        layer.name: float(layer.probabilities()[0])
        for layer in model.layers
        if isinstance(layer, SkipChoice)
    }


@keras.saving.register_keras_serializable(package=PACKAGE)
class ChoiceAgreement:
    """A penalty on how far tasks' choices of the same block lie apart.

    Given to `MultiTaskModel(..., weight_penalty=...)`, which adds it to its
    losses. It is no layer's loss: a layer in one task's tower that read
    another's probabilities would make them shared.

    Args:
        choices: For each block, lowest first, names of its `SkipChoice`
            layers, one a task.
        sharing: Factor on the penalty.

    Raises:
        ValueError: A factor that is negative or not finite, or names of
            layers that are no choices.
    """

    def __init__(
        self, choices: Sequence[Sequence[str]], sharing: float
    ) -> None:
        if not 0 <= sharing < float("inf"):
            raise ValueError(
                "`sharing` must be a finite number that is not negative. "
                f"Received: sharing={sharing!r}"
            )
        self.choices = [list(names) for names in choices]
        self.sharing = float(sharing)

    def check(self, model: Any) -> None:
        """Makes sure that the choices are there.

        Args:
            model: The model whose layers are named.

        Raises:
            ValueError: Names of layers that are no choices.
        """
        there = [x.name for x in model.layers if isinstance(x, SkipChoice)]
        for name in (x for names in self.choices for x in names):
            if name not in there:
                raise ValueError(
                    "`choices` must name SkipChoice layers of the model. "
                    f"Expected some of {there}. Received: {name!r}"
                )

    def __call__(self, model: Any) -> Any:
        """The penalty, as a scalar.

        Args:
            model: The model whose layers are named.
        """
        count = len(self.choices)
        total = ops.zeros(())
        for i, names in enumerate(self.choices):
            alphas = ops.stack(
                [model.get_layer(x).running_probability() for x in names]
            )
            each = ops.abs(alphas[:, None] - alphas[None, :])
            # Each pair stands in the square twice.
            penalty = (count - i) / count * ops.sum(each) / 2
            total = ops.cast(total, penalty.dtype) + penalty
        return self.sharing * total

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"choices": self.choices, "sharing": self.sharing}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ChoiceAgreement":
        """The penalty that `get_config` described."""
        return cls(**config)


def _check_kept_shape(block: Any, before: Any, after: Any) -> None:
    if before.shape != after.shape:
        raise ValueError(
            f"`blocks` must keep the shape of features, for a task may skip "
            f"{block.name!r}. Received: a block that turns {before.shape} "
            f"into {after.shape}. Share it with `depth`, or give it a width "
            "that keeps the shape."
        )
