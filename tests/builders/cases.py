"""One row per builder and way of calling it: what the conformance tests use.

A new builder adds its rows to `CASES`; nothing else here changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from keras_mtl import Task, builders

WIDTH = 6  # of the inputs


def tasks() -> list[Task]:
    """Three tasks of different kinds."""
    return [
        Task("a", "binary"),
        Task("b", "regression"),
        Task("c", "multiclass", units=3),
    ]


def two_clicks() -> list[Task]:
    """Two tasks of which the second follows from the first."""
    return [Task("click", "binary"), Task("buy", "binary")]


def three_events() -> list[Task]:
    """Three tasks of which each follows from the one before."""
    return [*two_clicks(), Task("return", "binary", weight=0.5)]


def residual_map_blocks() -> list[Any]:
    """Blocks for maps that keep the shape, but for the first and last."""
    return [
        layers.Conv2D(4, 3, padding="same", activation="tanh", name=name)
        for name in ("low", "middle", "high")
    ] + [layers.GlobalAveragePooling2D(name="pool")]


def dense_blocks() -> list[Any]:
    """Blocks for vectors; all of one width, so that towers can be mixed."""
    return [
        layers.Dense(8, activation="tanh", name=name)
        for name in ("low", "middle", "high")
    ]


def map_blocks() -> list[Any]:
    """Blocks for images (height, width, channels), pooled at the end."""
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu", name="low"),
        layers.Conv2D(4, 3, padding="same", activation="tanh", name="high"),
        layers.GlobalAveragePooling2D(name="pool"),
    ]


def sequence_blocks() -> list[Any]:
    """Blocks for sequences (time, channels), of which the last is read."""
    return [
        layers.LSTM(4, return_sequences=True, name="low"),
        layers.LSTM(4, return_sequences=True, name="high"),
        layers.GlobalAveragePooling1D(name="pool"),
    ]


def strided_blocks() -> list[Any]:
    """Blocks for maps, which they halve, pool and turn into vectors."""
    return [
        layers.Conv2D(3, 3, padding="same", activation="tanh", name="low"),
        layers.Conv2D(4, 3, strides=2, padding="same", name="middle"),
        layers.GlobalAveragePooling2D(name="pooled"),
        layers.Dense(8, activation="tanh", name="high"),
    ]


@dataclass(frozen=True)
class Case:
    """A builder and its arguments.

    Attributes:
        name: Its name in the registry.
        arguments: Arguments beside `inputs`, `tasks`, `blocks`.
        id: Tells the rows of one builder apart.
        tasks: Makes the tasks.
        blocks: Makes the blocks.
        shape: Shape of the input without the batch.
        shares: Whether any trainable variable serves several tasks.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    tasks: Callable[[], list[Task]] = tasks
    blocks: Callable[[], Any] = dense_blocks
    shape: tuple[int, ...] = (WIDTH,)
    shares: bool = True

    @property
    def test_id(self) -> str:
        return f"{self.name}-{self.id}" if self.id else self.name

    def build(self, **changed: Any) -> Any:
        """A model with weights that depend on nothing but this row."""
        keras.utils.set_random_seed(0)
        arguments = {
            "inputs": keras.Input(self.shape, name="x"),
            "tasks": self.tasks(),
            "blocks": self.blocks(),
            **self.arguments,
            **changed,
        }
        return builders.registry[self.name](**arguments)


CASES: tuple[Case, ...] = (
    Case("cross_stitch"),
    Case("cross_stitch", {"per": "channel", "depth": 1}, "channels"),
    Case(
        "cross_stitch",
        {"own": 0.6, "after": ["low", "high"]},
        "maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("nddr"),
    Case(
        "nddr",
        {
            "normalization": "layer",
            "activation": None,
            "kernel_regularizer": "l2",
            "after": ["high"],
        },
        "sequences",
        blocks=sequence_blocks,
        shape=(5, 3),
    ),
    Case(
        "nddr",
        {"depth": 1, "normalization": None},
        "maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("sluice"),
    Case("sluice", {"orthogonality": 0.1, "subspaces": 4}, "penalty"),
    Case(
        "sluice",
        {"after": ["middle", "high"], "mixture": ["low", "high"]},
        "chosen",
    ),
    Case(
        "sluice",
        {"after": ["low"]},
        "sequences",
        blocks=sequence_blocks,
        shape=(5, 3),
    ),
    Case(
        "sluice",
        {"depth": 1},
        "maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("hard_sharing"),
    Case("hard_sharing", {"depth": {"a": 3, "b": 2, "c": 1}}, "tree"),
    Case(
        "branching",
        {
            "tree": [
                [["a", "b", "c"]],
                [["c"], ["b", "a"]],
                [["b"], ["c"], ["a"]],
            ]
        },
        "given",
    ),
    Case("branching", {}, "learned"),
    Case(
        "branching",
        {"depth": 1, "tree": [[["a", "c"], ["b"]], [["a", "c"], ["b"]]]},
        "given_on_maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case(
        "branching",
        {"depth": 1, "width": 2, "temperature": 20.0},
        "learned_on_maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("adashare", {"depth": 1}),
    Case(
        "adashare",
        {"depth": 1, "sparsity": 0.0, "sharing": 0.0, "temperature": 1.0},
        "maps",
        blocks=residual_map_blocks,
        shape=(6, 6, 2),
    ),
    Case("esmm", {"depth": 1}, tasks=two_clicks),
    Case("esmm", tasks=three_events, id="separate_towers"),
    Case(
        "esmm",
        {"depth": 1},
        "maps",
        tasks=two_clicks,
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("aitm", {"depth": 1}, tasks=two_clicks),
    Case("aitm", {"calibration": 2.0}, "three_events", tasks=three_events),
    Case(
        "aitm",
        {"depth": 1, "calibration": 0.0},
        "maps",
        tasks=two_clicks,
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("mmoe", {"num_experts": 3}),
    Case(
        "mmoe",
        {
            "num_experts": 3,
            "depth": 1,
            "tower_units": (4,),
            "gate_dropout": 0.2,
            "load_balance": 0.01,
        },
        "towers",
    ),
    Case(
        "mmoe",
        {"num_experts": 2},
        "maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("ple", {"num_task_experts": 1}),
    Case("ple", {"levels": 1, "tower_units": (4,)}, "cgc"),
    Case(
        "ple",
        {"num_shared_experts": 1, "num_task_experts": 1},
        "levels_on_maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case(
        "ple",
        {"num_shared_experts": 1, "num_task_experts": 1, "levels": 1},
        "maps",
        blocks=map_blocks,
        shape=(6, 6, 2),
    ),
    Case("dselect_k", {"num_experts": 4}),
    Case(
        "dselect_k",
        {"num_experts": 3, "k": 1, "static": True, "tower_units": (4,)},
        "static",
    ),
    Case(
        "dselect_k",
        {"num_experts": 2, "k": 2, "depth": 1},
        "sequences",
        blocks=sequence_blocks,
        shape=(5, 3),
    ),
    Case("mtan"),
    Case("mtan", {"batch_norm": False, "depth": 1}, "biases"),
    Case("mtan", id="maps", blocks=strided_blocks, shape=(6, 6, 2)),
    Case("conditioned"),
    Case("conditioned", {"conditioning": "embedding"}, "embedding"),
    Case(
        "conditioned",
        {"depth": 1},
        "maps",
        blocks=strided_blocks,
        shape=(6, 6, 2),
    ),
    Case("soft_sharing", shares=False),
    Case("soft_sharing", {"penalty": "mean", "depth": 1}, "mean"),
    Case(
        "soft_sharing",
        {"penalty": "trace_norm", "depth": 1},
        "trace_norm_on_maps",
        blocks=strided_blocks,
        shape=(6, 6, 2),
    ),
)
