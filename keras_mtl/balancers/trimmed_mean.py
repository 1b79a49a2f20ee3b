"""The mean of each coordinate without its extremes."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import CoordinateBalancer, registry
from keras_mtl.linalg.sorting import sorted_rows


@registry.register("trimmed_mean")
class TrimmedMean(CoordinateBalancer):
    """Averages each coordinate without its largest and smallest values.

    For many tasks of which a few may send gradients that are broken or
    malicious: up to b of them cannot move a coordinate beyond what the others
    want. With the values of n present tasks in order, g₍₁₎ ≤ … ≤ g₍ₙ₎:

        d = Σ_{b < i ≤ n − b} g₍ᵢ₎ / (n − 2b)

    Where n ≤ 2b, as many are trimmed as leave a value: d is the median.

    Args:
        trim_number: b: how many values to drop at each end.
        wrt: See `GradientBalancer`.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, _ = aggregate(
    ...     TrimmedMean(1), [[1.0, -9.0], [2.0, 4.0], [3.0, 5.0], [99.0, 6.0]]
    ... )
    >>> direction.tolist()
    [2.5, 4.5]

    Reference:
        Yin, Chen, Ramchandran and Bartlett, "Byzantine-Robust Distributed
        Learning", ICML 2018, arXiv:1803.01498, which trims a fraction β of
        the values at each end. TorchJD's TrimmedMean agrees, and raises where
        n ≤ 2b; LibMTL has none.
    """

    drops_values = True

    def __init__(
        self,
        trim_number: int = 1,
        wrt: str = "variables",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if int(trim_number) != trim_number or trim_number < 0:
            raise ValueError(
                "`trim_number` must be an integer of 0 or more: how many "
                "values to drop at each end. "
                f"Received: trim_number={trim_number!r}"
            )
        self.trim_number = int(trim_number)

    def combine(self, jacobian: Any, losses: Any, present: Any) -> Any:
        """The trimmed mean `(P,)` of the rows of a Jacobian `(T, P)`."""
        count = ops.sum(ops.cast(present, "int32"))
        trim = ops.minimum(self.trim_number, ops.maximum(count - 1, 0) // 2)
        # Absent tasks end up behind all present ones.
        infinite = ops.full_like(jacobian, float("inf"))
        rows = sorted_rows(ops.where(present[:, None], jacobian, infinite))
        total = ops.zeros_like(rows[0])
        for i, row in enumerate(rows):
            kept = ops.logical_and(i >= trim, i < count - trim)
            total = total + ops.where(kept, row, ops.zeros_like(row))
        return total / ops.cast(
            ops.maximum(count - 2 * trim, 1), jacobian.dtype
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "trim_number": self.trim_number}
