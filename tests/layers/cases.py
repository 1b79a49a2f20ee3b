"""One row per layer and way of using it: what the conformance tests run over.

A new layer adds its rows to `CASES`; nothing else here changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mtl import layers


@dataclass(frozen=True)
class Case:
    """A layer and what it is called on.

    Attributes:
        name: Its name in the registry.
        make: Makes the layer, unbuilt, from a `name` and a `dtype`.
        shapes: The shape of its input without the batch, or a list of shapes
            for a layer that is called on a list.
        id: Tells the rows of one layer apart.
        masked: Whether a Keras mask of the (first) input passes through.
        batched: Whether outputs have the batch as their first axis.
    """

    name: str
    make: Callable[..., Any]
    shapes: tuple[int, ...] | list[tuple[int, ...]]
    id: str = ""
    masked: bool = True
    batched: bool = True

    @property
    def test_id(self) -> str:
        return f"{self.name}-{self.id}" if self.id else self.name

    def symbols(self) -> Any:
        if isinstance(self.shapes, list):
            return [keras.Input(shape) for shape in self.shapes]
        return keras.Input(self.shapes)

    def arrays(self, batch: int = 4, seed: int = 0, dtype: Any = None) -> Any:
        draw = np.random.default_rng(seed)
        dtype = dtype or "float32"

        def one(shape: tuple[int, ...]) -> Any:
            return draw.normal(size=(batch, *shape)).astype(dtype)

        if isinstance(self.shapes, list):
            return [one(shape) for shape in self.shapes]
        return one(self.shapes)


CASES: tuple[Case, ...] = (
    Case(
        "cross_stitch",
        lambda **kw: layers.CrossStitch(1, **kw),
        [(6,), (6,), (6,)],
    ),
    Case(
        "cross_stitch",
        lambda **kw: layers.CrossStitch(0, own=0.7, **kw),
        [(5, 4), (5, 4)],
        "sequences",
    ),
    Case(
        "cross_stitch",
        lambda **kw: layers.CrossStitch(1, per="channel", **kw),
        [(3, 2, 4), (3, 2, 4)],
        "channels_of_maps",
    ),
    Case("layer_mixture", layers.LayerMixture, [(6,), (6,), (6,)]),
    Case(
        "layer_mixture",
        lambda **kw: layers.LayerMixture(last=0.8, **kw),
        [(5, 4), (5, 4)],
        "sequences",
    ),
    Case("nddr", lambda **kw: layers.NDDR(1, **kw), [(6,), (6,), (6,)]),
    Case(
        "nddr",
        lambda **kw: layers.NDDR(
            0,
            normalization="layer",
            activation=None,
            kernel_regularizer=keras.regularizers.L2(0.01),
            **kw,
        ),
        [(5, 4), (5, 4)],
        "normalized_by_vector",
    ),
    Case(
        "nddr",
        lambda **kw: layers.NDDR(0, **kw),
        [(5, 4), (5, 4)],
        "sequences",
    ),
    Case(
        "nddr",
        lambda **kw: layers.NDDR(1, own=0.6, normalization=None, **kw),
        [(3, 2, 4), (3, 2, 4)],
        "bias_on_maps",
    ),
    Case("sluice", lambda **kw: layers.Sluice(1, **kw), [(6,), (6,), (6,)]),
    Case(
        "sluice",
        lambda **kw: layers.Sluice(0, orthogonality=0.5, **kw),
        [(5, 4), (5, 4)],
        "penalty_on_sequences",
    ),
    Case(
        "sluice",
        lambda **kw: layers.Sluice(1, own=0.4, subspaces=3, **kw),
        [(3, 2, 6), (3, 2, 6)],
        "thirds_of_maps",
    ),
    Case("attention_transfer", layers.AttentionTransfer, [(6,), (6,)]),
    Case(
        "attention_transfer",
        lambda **kw: layers.AttentionTransfer(kernel_regularizer="l2", **kw),
        [(5, 4), (5, 4)],
        "sequences",
    ),
    Case(
        "attention_transfer",
        layers.AttentionTransfer,
        [(3, 2, 4), (3, 2, 4)],
        "maps",
    ),
    Case("branch_choice", layers.BranchChoice, [(6,), (6,), (6,)]),
    Case(
        "branch_choice",
        lambda **kw: layers.BranchChoice(
            0.5, logits_initializer="normal", seed=3, **kw
        ),
        [(5, 4), (5, 4)],
        "sequences",
    ),
    Case(
        "branch_choice",
        lambda **kw: layers.BranchChoice(1.0, hard=True, **kw),
        [(3, 2, 4)] * 4,
        "hard_on_maps",
    ),
    Case("skip_choice", layers.SkipChoice, [(6,), (6,)]),
    Case(
        "skip_choice",
        lambda **kw: layers.SkipChoice(
            0.1, logits_initializer="normal", seed=3, **kw
        ),
        [(5, 4), (5, 4)],
        "penalty_on_sequences",
    ),
    Case(
        "skip_choice",
        lambda **kw: layers.SkipChoice(temperature=1.0, hard=True, **kw),
        [(3, 2, 4), (3, 2, 4)],
        "hard_on_maps",
    ),
    Case("experts", lambda **kw: layers.Experts(4, 5, **kw), (6,)),
    Case(
        "experts",
        lambda **kw: layers.Experts(
            3,
            (5, 4),
            activation=["tanh", None],
            dropout=0.5,
            use_bias=[True, False],
            kernel_regularizer="l2",
            **kw,
        ),
        (7, 6),
        "sequences_dropout",
    ),
    Case(
        "experts",
        lambda **kw: layers.Experts(2, (4, 3), activation="softmax", **kw),
        (3, 2, 4),
        "maps",
    ),
    Case("stack_experts", layers.StackExperts, [(6,), (6,), (6,)]),
    Case("stack_experts", layers.StackExperts, [(5, 4), (5, 4)], "sequences"),
    Case("mix_experts", layers.MixExperts, [(3, 6), (3,)]),
    Case("mix_experts", layers.MixExperts, [(5, 3, 4), (3,)], "sequences"),
    Case(
        "mix_experts",
        layers.MixExperts,
        [(3, 2, 3, 4), (3, 2, 1, 4), (4,)],
        "groups_of_maps",
    ),
    Case("softmax_gate", lambda **kw: layers.SoftmaxGate(4, **kw), (6,)),
    Case(
        "softmax_gate",
        lambda **kw: layers.SoftmaxGate(
            3,
            dropout=0.5,
            load_balance=0.1,
            use_bias=True,
            kernel_regularizer="l2",
            **kw,
        ),
        (5, 4),
        "sequences_dropout",
        masked=False,
    ),
    Case("dselect_k_gate", lambda **kw: layers.DSelectKGate(4, **kw), (6,)),
    Case(
        "dselect_k_gate",
        lambda **kw: layers.DSelectKGate(
            5, k=3, entropy=0.1, gamma=2.0, z_initializer="normal", **kw
        ),
        (3, 2, 4),
        "maps_of_five",
        masked=False,
    ),
    Case(
        "dselect_k_gate",
        lambda **kw: layers.DSelectKGate(6, k=1, **kw),
        (6,),
        "one_of_six",
    ),
    Case("attention_mask", layers.AttentionMask, (6,)),
    Case(
        "attention_mask",
        layers.AttentionMask,
        [(4, 3, 6), (4, 3, 2)],
        "second_block_on_maps",
    ),
    Case(
        "attention_mask",
        lambda **kw: layers.AttentionMask(batch_norm=False, **kw),
        [(5, 6), (5, 2)],
        "biases_on_sequences",
    ),
    Case("film", layers.FiLM, (4, 3, 2), "own_on_maps"),
    Case("film", layers.FiLM, [(5, 3), (2,)], "sequences"),
    Case(
        "film",
        lambda **kw: layers.FiLM(
            kernel_regularizer="l2", bias_regularizer="l2", **kw
        ),
        [(4, 3, 2), (5,)],
        "regularized_on_maps",
    ),
    Case("task_embedding", layers.TaskEmbedding, (6,)),
    Case(
        "task_embedding",
        lambda **kw: layers.TaskEmbedding(2, **kw),
        (5, 3),
        "appended_to_sequences",
    ),
    Case(
        "task_embedding",
        lambda **kw: layers.TaskEmbedding(None, **kw),
        (4, 3, 2),
        "added_to_maps",
    ),
)
