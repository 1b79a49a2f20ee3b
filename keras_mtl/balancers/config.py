"""The conflict-free direction."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, plain_numbers, registry
from keras_mtl.linalg import at_least_float32, pseudo_inverse_solve, unit_rows
from keras_mtl.linalg.precision import epsilon


@registry.register("config")
class ConFIG(GradientBalancer):
    """Goes where all gradients point equally much: conflict-free.

    For losses of very different scale, such as those of physics-informed
    networks. The direction has the same cosine with every gradient, as large
    as can be, and its length is the sum of the gradients' projections on it.
    With unit rows U and 1 the vector of ones:

        d = (Σ_t g_tᵀu) u,   u = U⁺1 / ‖U⁺1‖

    As U⁺ = Uᵀ(UUᵀ)⁺, it is solved on the cosine matrix, T×T instead of T×P.
    Cosines are equal where the gradients are independent, and as near as can
    be otherwise. Where they balance each other out, the direction is 0.

    Args:
        preference: Replaces 1: the cosines are in these proportions. One
            number, a list, or a dict by task.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     ConFIG(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(d, 4) for d in direction.tolist()]
    [0.1588, 2.0706, 2.0706]

    Reference:
        Liu, Chu and Thuerey, "ConFIG: Towards Conflict-free Training of
        Physics Informed Neural Networks", ICLR 2025, arXiv:2408.11104. The
        authors' code and TorchJD decompose U itself, T×P, which in float32
        tells gradients apart that are nearer to each other than 1 in 1000.
        LibMTL has none.
    """

    task_arguments = ("preference",)

    def __init__(
        self,
        preference: float | Sequence[float] | Mapping[str, float] = 1.0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        self.preference = plain_numbers(preference, "preference", low=0.0)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of the conflict-free direction."""
        wide = at_least_float32(gram)
        angles, lengths, active = unit_rows(wide, present)
        zeros = ops.zeros_like(lengths)
        preference = ops.convert_to_tensor(
            self.per_task(self.preference, "preference"), dtype=wide.dtype
        )
        wanted = ops.where(active, preference, zeros)
        best = pseudo_inverse_solve(angles, wanted)
        # The products of U⁺1 with the unit rows: as wanted, or near to it.
        products = ops.where(active, ops.matmul(angles, best[:, None])[:, 0], 0)
        square = ops.sum(best * products)
        heights = ops.sum(lengths * products)
        # If nothing of what is wanted can be had, `products` is noise.
        noise = 32 * wide.shape[0] * epsilon(wide)
        real = ops.max(ops.abs(products)) > noise * ops.max(wanted)
        scale = heights / ops.where(real, square, ops.ones_like(square))
        weights = ops.where(
            ops.logical_and(active, real), scale * best / lengths, zeros
        )
        finite = ops.all(ops.isfinite(wide))
        weights = ops.where(finite, weights, zeros + float("nan"))
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "preference": self.preference}
