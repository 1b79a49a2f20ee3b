"""Experts of which each task learns to select at most k (DSelect-k)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_mtl.builders.expert_blocks import (
    check_gate_input,
    make_experts,
    make_tower,
)
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers.dselect_k_gate import DSelectKGate
from keras_mtl.layers.mix_experts import MixExperts
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("dselect_k")
def dselect_k(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    num_experts: int = 8,
    k: int = 2,
    static: bool = False,
    entropy: float = 1e-6,
    gamma: float = 1.0,
    tower_units: Sequence[int] = (),
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a mixture of experts with sparse gates that learn smoothly.

    As `mmoe`, with gates whose weights are zero for all but k experts once
    they have converged. All experts are computed, so that sparsity helps to
    generalize and to see who uses what, not to save time.

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower; see `mmoe`.
        depth: How many blocks all tasks share before the experts.
        num_experts: How many experts there are, at least 2.
        k: How many experts a task selects at most.
        static: Whether a task has one selection for all examples, or each
            example one of its own.
        entropy: Factor on the entropy of every task's selectors; see
            `layers.DSelectKGate`.
        gamma: Width of the smooth step of a selector's bits.
        tower_units: Widths of dense layers (ReLU) that each task has of its
            own between its mixture and its head.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: Fewer than 2 experts, k out of 1 to `num_experts`, inputs
            that a gate cannot read, or arguments that `mmoe` refuses.

    Example:
        >>> import keras
        >>> model = dselect_k(
        ...     keras.Input((16,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[keras.layers.Dense(8, activation="relu", name="low")],
        ...     num_experts=4,
        ...     k=1,
        ...     static=True,
        ... )
        >>> [v.name for v in model.layers if v.name.startswith("a")]
        ['a_gate', 'a_mixture', 'a']

    Reference:
        Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of
        Experts with Applications to Multi-Task Learning", NeurIPS 2021,
        arXiv:2106.03760.
    """
    stem = begin(inputs, tasks, blocks, depth)
    check_gate_input(stem.features)
    experts = make_experts(
        stem.features, stem.blocks, num_experts, "expert", "experts"
    )
    features = {}
    for key in stem.tasks:
        gate = DSelectKGate(
            num_experts, k, static, entropy, gamma, name=f"{key}_gate"
        )(stem.features)
        mixture = MixExperts(name=f"{key}_mixture")([experts, gate])
        features[key] = make_tower(mixture, key, tower_units)
    return finish(inputs, stem.tasks, features, name)
