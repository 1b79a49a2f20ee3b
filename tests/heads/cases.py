"""One row per head and way of using it: what the conformance tests run over.

A new head adds its rows to `CASES`; nothing else here changes.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mtl import heads
from tests.layers.cases import Case as LayerCase


@dataclass(frozen=True)
class Case(LayerCase):
    """A head and what it is called on.

    Attributes:
        tokens: If not 0, the last input holds integers below it.
    """

    tokens: int = 0

    def symbols(self) -> Any:
        symbols = super().symbols()
        if self.tokens:
            symbols[-1] = keras.Input(self.shapes[-1], dtype="int32")
        return symbols

    def arrays(self, batch: int = 4, seed: int = 0, dtype: Any = None) -> Any:
        arrays = super().arrays(batch, seed, dtype)
        if self.tokens:
            draw = np.random.default_rng(seed)
            shape = arrays[-1].shape
            arrays[-1] = draw.integers(self.tokens, size=shape).astype("int32")
        return arrays


CASES: tuple[Case, ...] = (
    Case(
        "depth_head",
        lambda **kw: heads.DepthHead(factor=2, **kw),
        (3, 3, 4),
        masked=False,
    ),
    Case(
        "depth_head",
        lambda **kw: heads.DepthHead(
            size=(5, 4), hidden=6, activation="exponential", **kw
        ),
        [(2, 3, 4), (3, 3, 2)],
        "taps",
        masked=False,
    ),
    Case(
        "detection_head",
        lambda **kw: heads.DetectionHead(2, hidden=6, **kw),
        (3, 3, 4),
        masked=False,
    ),
    Case("gaussian_head", lambda **kw: heads.GaussianHead(**kw), (6,)),
    Case(
        "gaussian_head",
        lambda **kw: heads.GaussianHead(kernel_regularizer="l2", **kw),
        (5, 4),
        "sequences",
    ),
    Case("ordinal_head", lambda **kw: heads.OrdinalHead(5, **kw), (6,)),
    Case(
        "ordinal_head", lambda **kw: heads.OrdinalHead(2, **kw), (6,), "binary"
    ),
    Case(
        "ordinal_head",
        lambda **kw: heads.OrdinalHead(3, kernel_regularizer="l2", **kw),
        (5, 4),
        "sequences",
    ),
    Case("quantile_head", lambda **kw: heads.QuantileHead(3, **kw), (6,)),
    Case(
        "quantile_head", lambda **kw: heads.QuantileHead(1, **kw), (6,), "one"
    ),
    Case(
        "quantile_head",
        lambda **kw: heads.QuantileHead(3, **kw),
        (3, 3, 4),
        "maps",
    ),
    Case(
        "segmentation_head",
        lambda **kw: heads.SegmentationHead(3, factor=2, hidden=6, **kw),
        (3, 3, 4),
        masked=False,
    ),
    Case(
        "segmentation_head",
        lambda **kw: heads.SegmentationHead(3, **kw),
        [(4, 4, 4), (2, 2, 3), (1, 1, 2)],
        "taps",
        masked=False,
    ),
    Case(
        "sequence_head",
        lambda **kw: heads.SequenceHead(7, hidden=5, **kw),
        [(4, 6), (3,)],
        masked=False,
        tokens=7,
    ),
)
