"""Shared experts and experts of tasks, level upon level (CGC, PLE)."""

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


@registry.register("ple")
def ple(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    num_shared_experts: int = 2,
    num_task_experts: int = 2,
    levels: int | None = None,
    tower_units: Sequence[int] = (),
    gate_dropout: float = 0.0,
    load_balance: float = 0.0,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a progressive layered extraction; with one level, a CGC.

    At each level a task mixes its own experts with the shared ones, by a gate
    that reads its features; between levels the shared features are a mixture
    of the experts of all:

        a      ── own experts of a ─┬─ gate of a ───── a      ── …
        shared ── shared experts ───┼─ shared gate ─── shared ── …
        b      ── own experts of b ─┴─ gate of b ───── b      ── …

    Plain Dense, Dropout and Activation layers become batched layers, one for
    the experts of one owner at one level; of other blocks each expert has
    copies, begun anew. The gate of task `a` at the level that begins with
    block `low` is the layer `a_low_gate`; its output counts the task's own
    experts first. The shared gate counts those of all tasks, in order, and
    then the shared ones.

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower; see `hard_sharing`. What is left of it after the
            first `depth` is divided among the levels.
        depth: How many blocks all tasks share before the experts.
        num_shared_experts: How many experts all tasks share, at each level.
        num_task_experts: How many experts each task has of its own, at each
            level.
        levels: How many levels there are, of equally many blocks. By default
            each block is a level.
        tower_units: Widths of dense layers (ReLU) that each task has of its
            own between its last mixture and its head.
        gate_dropout: Rate at which gates shut experts in training; see
            `layers.SoftmaxGate`.
        load_balance: Factor on the penalty of unequally used experts; see
            `layers.SoftmaxGate`.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: No shared expert or none of a task, blocks that do not
            divide into `levels`, inputs that a gate cannot read, or arguments
            that `mmoe` refuses.

    Example:
        >>> import keras
        >>> model = ple(
        ...     keras.Input((16,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(8, activation="relu", name="low"),
        ...         keras.layers.Dense(8, activation="relu", name="high"),
        ...     ],
        ... )
        >>> model.get_layer("shared_low_gate").output.shape
        (None, 6)
        >>> model.get_layer("a_high_gate").output.shape
        (None, 4)

    Reference:
        Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task
        Learning (MTL) Model for Personalized Recommendations", RecSys 2020.
    """
    stem = begin(inputs, tasks, blocks, depth)
    shared, own = stem.features, dict.fromkeys(stem.tasks, stem.features)

    def mixture(features: Any, experts: list[Any], name: str) -> Any:
        check_gate_input(features)
        gate = SoftmaxGate(
            sum(group.shape[-2] for group in experts),
            gate_dropout,
            load_balance,
            name=f"{name}_gate",
        )(features)
        return MixExperts(name=f"{name}_mixture")([*experts, gate])

    runs = _runs(stem.blocks, levels)
    for run in runs:
        level = run[0].name
        shared_experts = make_experts(
            shared,
            run,
            num_shared_experts,
            "shared_expert",
            f"shared_{level}_experts",
        )
        own_experts = {
            key: make_experts(
                own[key],
                run,
                num_task_experts,
                f"{key}_expert",
                f"{key}_{level}_experts",
            )
            for key in stem.tasks
        }
        own = {
            key: mixture(
                own[key], [own_experts[key], shared_experts], f"{key}_{level}"
            )
            for key in stem.tasks
        }
        if run is not runs[-1]:
            shared = mixture(
                shared,
                [*own_experts.values(), shared_experts],
                f"shared_{level}",
            )
    features = {
        key: make_tower(own[key], key, tower_units) for key in stem.tasks
    }
    return finish(inputs, stem.tasks, features, name)


def _runs(blocks: list[Any], levels: int | None) -> list[list[Any]]:
    levels = len(blocks) if levels is None else levels
    if type(levels) is not int or levels < 1 or len(blocks) % levels:
        raise ValueError(
            "`levels` must be a number that divides the blocks after `depth` "
            f"into equal runs. Received: levels={levels!r} for {len(blocks)} "
            f"blocks, {[block.name for block in blocks]}."
        )
    size = len(blocks) // levels
    return [blocks[i : i + size] for i in range(0, len(blocks), size)]
