"""Experts that all tasks share, mixed by a gate per task (MMoE)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_mtl.builders.expert_blocks import (
    check_gate_input,
    make_experts,
    make_tower,
)
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers.mix_experts import MixExperts
from keras_mtl.layers.softmax_gate import SoftmaxGate
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("mmoe")
def mmoe(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    num_experts: int = 8,
    tower_units: Sequence[int] = (),
    gate_dropout: float = 0.0,
    load_balance: float = 0.0,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a multi-gate mixture of experts.

        features of a task = Σ_e softmax(x · kernel of the task's gate)_e
                                 · expert_e(x)

    The blocks after the first `depth` are what one expert consists of. Plain
    Dense, Dropout and Activation layers become one batched layer; of other
    blocks each expert has copies, begun anew. The gates read what the experts
    read, averaged over the positions of sequences and maps.

    How the experts are used for given inputs is the output of the layer
    `{task}_gate`:

        gates = keras.Model(model.input, model.get_layer("a_gate").output)
        gates.predict(x)  # (examples, experts)

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower; see `hard_sharing`.
        depth: How many blocks all tasks share before the experts.
        num_experts: How many experts there are, at least 2; one would be
            `hard_sharing`.
        tower_units: Widths of dense layers (ReLU) that each task has of its
            own between its mixture and its head.
        gate_dropout: Rate at which gates shut experts in training; see
            `layers.SoftmaxGate`.
        load_balance: Factor on the penalty of unequally used experts; see
            `layers.SoftmaxGate`.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: Fewer than 2 experts, inputs that a gate cannot read,
            widths that are not positive, or arguments that `hard_sharing`
            refuses.

    Example:
        >>> import keras
        >>> model = mmoe(
        ...     keras.Input((16,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[keras.layers.Dense(8, activation="relu", name="low")],
        ...     num_experts=4,
        ... )
        >>> model.get_layer("experts").output.shape
        (None, 4, 8)
        >>> [v.name for v in model.layers if v.name.startswith("a")]
        ['a_gate', 'a_mixture', 'a']

    Reference:
        Ma et al., "Modeling Task Relationships in Multi-task Learning with
        Multi-gate Mixture-of-Experts", KDD 2018.
    """
    stem = begin(inputs, tasks, blocks, depth)
    check_gate_input(stem.features)
    experts = make_experts(
        stem.features, stem.blocks, num_experts, "expert", "experts"
    )
    features = {}
    for key in stem.tasks:
        gate = SoftmaxGate(
            num_experts, gate_dropout, load_balance, name=f"{key}_gate"
        )(stem.features)
        mixture = MixExperts(name=f"{key}_mixture")([experts, gate])
        features[key] = make_tower(mixture, key, tower_units)
    return finish(inputs, stem.tasks, features, name)
