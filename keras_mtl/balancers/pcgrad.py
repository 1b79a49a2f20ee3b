"""Gradient surgery."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32


@registry.register("pcgrad")
class PCGrad(GradientBalancer):
    """Projects each gradient off those that it conflicts with.

    For tasks that conflict now and then. Each g_i is taken through the other
    tasks j in random order and loses its part against g_j:

        g_i ← g_i − (g_iᵀg_j / ‖g_j‖²) g_j   where g_iᵀg_j < 0

    Here the coefficients of all g_i are updated at once on the Gram matrix;
    no gradient is touched. With two tasks the order does not matter.

    Args:
        reduction: `"sum"` (the paper's) or `"mean"` of the projected
            gradients.
        seed: Seed of the order.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     PCGrad(seed=0), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [2.2222, 1.5789]

    Reference:
        Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020,
        arXiv:2001.06782. LibMTL also takes j = i; TorchJD agrees with the
        sum.
    """

    def __init__(
        self,
        reduction: str = "sum",
        seed: int | None = None,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if reduction not in ("sum", "mean"):
            raise ValueError(
                "`reduction` must be 'sum' or 'mean'. "
                f"Received: reduction={reduction!r}"
            )
        self.reduction = reduction
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The column sums of the projected gradients' coefficients."""
        wide = at_least_float32(gram)
        size = wide.shape[0]
        squares = ops.diagonal(wide)
        draws = keras.random.uniform((size, size), seed=self.seed_generator)
        orders = ops.argsort(draws, axis=1)
        own = ops.cast(ops.eye(size), "bool")

        def project(step: Any, coefficients: Any) -> Any:
            # Row i holds g_i's coefficients; it meets task orders[i, step].
            met = ops.one_hot(
                ops.take(orders, step, axis=1), size, dtype=wide.dtype
            )
            products = ops.sum(ops.matmul(coefficients, wide) * met, axis=1)
            lengths = ops.sum(met * squares[None, :], axis=1)
            conflict = ops.logical_and(products < 0, lengths > 0)
            parts = ops.where(
                conflict,
                products / ops.where(lengths > 0, lengths, 1.0),
                ops.zeros_like(products),
            )
            return coefficients - ops.where(own, 0.0, parts[:, None] * met)

        coefficients = ops.fori_loop(
            0, size, project, ops.eye(size, dtype=wide.dtype)
        )
        here = ops.cast(present, wide.dtype)
        weights = ops.sum(here[:, None] * coefficients, axis=0) * here
        if self.reduction == "mean":
            weights = weights / ops.maximum(ops.sum(here), 1.0)
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "seed": self.seed,
        }
