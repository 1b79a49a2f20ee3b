"""Sluice units: cross-stitch between subspaces of the towers."""

import math
from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.layers.mixture import (
    TowerMixture,
    shares,
    starting_at,
    weighted_sum,
)
from keras_mtl.layers.registry import registry
from keras_mtl.linalg.precision import at_least_float32


@registry.register("sluice")
class Sluice(TowerMixture):
    """Gives one tower a mixture of the subspaces of all towers.

    The channels of each tower are split into subspaces of equal width, one
    after another. Each subspace of the result is a linear combination of the
    subspaces of all towers:

        y[s] = Σₜ Σᵣ α[s, t, r] · x[t][r]

    so that a tower can keep one subspace to itself and share another. With
    one subspace this is `CrossStitch`. `coefficients()` gives α as an array
    `(subspaces, towers, subspaces)`. A penalty keeps the subspaces of this
    layer's own tower from saying the same thing twice:

        orthogonality · Σ_{r<s} ‖ x[r]ᵀ x[s] / N ‖²

    with the squared Frobenius norm and all N examples (and positions that are
    not masked) as rows. The paper writes it for the subspaces of a layer
    without the division; its published code takes them in the recurrent
    weights of an LSTM, others in the features. Features are what every kind
    of block has, and divided by N they do not depend on the batch size.

    The paper's mixture over layers, β, is `LayerMixture`.

    Args:
        tower: The place of its own tower in the list.
        own: The coefficient with which each subspace of its own tower begins
            in itself; the other `towers * subspaces - 1` begin with an equal
            part of the rest. The paper's code begins with another pattern,
            which it spells out for two towers only.
        subspaces: How many subspaces the channels are split into.
        orthogonality: Factor of the penalty, which is added as a loss of the
            layer.
        kwargs: Arguments of every Keras layer.

    Call arguments:
        inputs: A list of features of equal shapes `(batch, ..., channels)`.

    Raises:
        ValueError: An option out of range; features of unequal shapes, or
            with channels that cannot be split evenly.

    Example:
        >>> import keras
        >>> towers = [keras.Input((5, 6)), keras.Input((5, 6))]
        >>> unit = Sluice(tower=0, own=0.7, subspaces=2)
        >>> unit(towers).shape
        (None, 5, 6)
        >>> print(unit.coefficients()[0].round(2))
        [[0.7 0.1]
         [0.1 0.1]]

    Reference:
        Ruder et al., "Latent Multi-task Architecture Learning", AAAI 2019,
        arXiv:1705.08142.
    """

    def __init__(
        self,
        tower: int,
        own: float = 0.9,
        subspaces: int = 2,
        orthogonality: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(tower, own, **kwargs)
        if type(subspaces) is not int or subspaces < 1:
            raise ValueError(
                "`subspaces` must be a positive integer. "
                f"Received: subspaces={subspaces!r}"
            )
        self.subspaces = subspaces
        self.orthogonality = _checked_factor(orthogonality)

    def build(self, input_shape: Any) -> None:
        """Makes the coefficients, `(subspaces, towers, subspaces)`."""
        shape = self._common_shape(input_shape)
        if shape[-1] % self.subspaces:
            raise ValueError(
                f"`subspaces` of {self.name!r} must divide the number of "
                f"channels. Received: subspaces={self.subspaces} for features "
                f"of shape {shape}. Change one of them."
            )
        towers = len(input_shape)
        size = towers * self.subspaces
        first = self.tower * self.subspaces
        rows = np.stack(
            [shares(self.own, first + s, size) for s in range(self.subspaces)]
        )
        self.alpha = self.add_weight(
            name="alpha",
            shape=(self.subspaces, towers, self.subspaces),
            initializer=starting_at(rows),
        )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The mixture for this tower."""
        parts = [
            part for x in inputs for part in ops.split(x, self.subspaces, -1)
        ]
        if self.orthogonality:
            first = self.tower * self.subspaces
            self.add_loss(
                self.orthogonality
                * _overlap(
                    parts[first : first + self.subspaces],
                    self.compute_mask(inputs, mask),
                )
            )
        alpha = ops.reshape(self.alpha, (self.subspaces, -1))
        mixed = weighted_sum(parts, alpha)
        return ops.concatenate(ops.unstack(mixed, self.subspaces), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "subspaces": self.subspaces,
            "orthogonality": self.orthogonality,
        }


def _checked_factor(orthogonality: Any) -> float:
    if (
        not isinstance(orthogonality, Real)
        or not 0 <= float(orthogonality) < math.inf
    ):
        raise ValueError(
            "`orthogonality` must be a finite number that is not negative. "
            f"Received: orthogonality={orthogonality!r}"
        )
    return float(orthogonality)


def _overlap(parts: list[Any], mask: Any) -> Any:
    """`Σ_{r<s} ‖ parts[r]ᵀ parts[s] / N ‖²` over rows that are not masked."""
    rows = [
        ops.reshape(at_least_float32(part), (-1, part.shape[-1]))
        for part in parts
    ]
    count = ops.cast(ops.shape(rows[0])[0], rows[0].dtype)
    if mask is not None:
        keep = ops.cast(ops.reshape(mask, (-1, 1)), rows[0].dtype)
        rows = [keep * row for row in rows]
        # A batch may be masked as a whole.
        count = ops.maximum(ops.sum(keep), 1)
    total = ops.zeros((), rows[0].dtype)
    for left, right in combinations(rows, 2):
        overlap = ops.matmul(ops.transpose(left), right) / count
        total += ops.sum(ops.square(overlap))
    return total
