"""Gradient vaccine."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, unit_rows
from keras_mtl.linalg.precision import epsilon

# Cosines are aimed at up to here: the pull towards g_j grows beyond any bound
# as they come near 1.
_LARGEST_AIM = 1.0 - 1e-6


@registry.register("gradvac")
class GradVac(GradientBalancer):
    """Turns gradients toward each other, to the cosines they usually have.

    For related tasks, whose gradients usually agree to some degree: where
    `PCGrad` acts on conflicts only, this acts on less agreement than usual.
    Each g_i is taken through the other tasks j in random order. Where its
    cosine φ with g_j is below the moving average φ̂_ij, as much of g_j is added
    as makes the cosine φ̂_ij:

        g_i ← g_i + ‖g_i‖ (φ̂ √(1−φ²) − φ √(1−φ̂²)) / (‖g_j‖ √(1−φ̂²)) g_j
        φ̂_ij ← (1 − β) φ̂_ij + β φ

    and the sum of the g_i is descended. As φ̂ starts at 0, the first step is
    that of `PCGrad`. The coefficients of all g_i are updated at once on the
    Gram matrix; no gradient is touched.

    Args:
        beta: β: how fast the averages follow.
        seed: Seed of the order.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     GradVac(seed=0), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [2.2222, 1.5789]

    Reference:
        Wang, Tsvetkov, Firat and Cao, "Gradient Vaccine: Investigating and
        Improving Multi-task Optimization in Massively Multilingual Models",
        ICLR 2021, arXiv:2010.05874, which keeps an average for each layer or
        for the whole model, as here. LibMTL has β = .5 and moves an average
        only where it corrects, so that it never rises; TorchJD has β = .5.
    """

    def __init__(
        self,
        beta: float = 0.01,
        seed: int | None = None,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not 0 <= beta <= 1:
            raise ValueError(
                "`beta` must lie between 0 and 1: how fast the average cosines "
                f"follow. Received: beta={beta!r}"
            )
        self.beta = float(beta)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the average cosines `(T, T)`."""
        num_tasks = int(input_shape[0])
        self.average_cosines = self.add_state(
            "average_cosines", (num_tasks, num_tasks)
        )
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The column sums of the turned gradients' coefficients."""
        wide = at_least_float32(gram)
        size = wide.shape[0]
        angles, lengths, active = unit_rows(wide, present)
        draws = keras.random.uniform((size, size), seed=self.seed_generator)
        orders = ops.argsort(draws, axis=1)
        identity = ops.eye(size, dtype=wide.dtype)
        pairs = ops.logical_and(active[:, None], active[None, :])
        pairs = ops.logical_and(pairs, identity < 1)
        averages = ops.cast(self.average_cosines, wide.dtype)
        aims = ops.clip(averages, -_LARGEST_AIM, _LARGEST_AIM)

        def turn(step: Any, coefficients: Any, seen: Any) -> tuple[Any, Any]:
            # Row i holds the coefficients of g_i / ‖g_i‖ on unit gradients; it
            # meets task orders[i, step].
            met = ops.one_hot(
                ops.take(orders, step, axis=1), size, dtype=wide.dtype
            )
            products = ops.matmul(coefficients, angles)
            square = ops.sum(coefficients * products, axis=1)
            # What rounding leaves of a gradient that vanished has no angle.
            total = ops.sum(ops.abs(coefficients), axis=1)
            real = square > 16 * epsilon(wide) * total * total
            length = ops.sqrt(ops.where(real, square, ops.ones_like(square)))
            counts = ops.logical_and(pairs, real[:, None])
            counts = ops.logical_and(counts, met > 0)
            cosine = ops.sum(met * products, axis=1) / length
            cosine = ops.clip(cosine, -1.0, 1.0)
            seen = ops.where(counts, cosine[:, None], seen)
            aim = ops.sum(met * aims, axis=1)
            pull = aim * ops.sqrt((1.0 - cosine**2) / (1.0 - aim**2)) - cosine
            acts = ops.logical_and(counts, (cosine < aim)[:, None])
            return (
                coefficients
                + ops.where(acts, (length * pull)[:, None], 0.0 * met),
                seen,
            )

        coefficients, seen = ops.fori_loop(
            0,
            size,
            lambda step, state: turn(step, *state),
            (identity, averages),
        )
        # A step that overflowed under loss scaling must leave no trace.
        moved = averages + self.beta * (seen - averages)
        finite = ops.all(ops.isfinite(wide))
        keeps = ops.logical_and(finite, pairs)
        moved = ops.where(keeps, moved, averages)
        self.average_cosines.assign(ops.cast(moved, self.average_cosines.dtype))
        here = ops.cast(present, wide.dtype)
        rows = ops.where(present[:, None], coefficients * lengths[:, None], 0.0)
        weights = ops.sum(rows, axis=0) / lengths * here
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}
