"""Gradients made orthogonal and equally strong."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.averaging import AveragingBalancer
from keras_mtl.balancers.base import registry
from keras_mtl.linalg import aligned_weights, at_least_float32

SCALE_MODES = ("min", "median", "rmse")


@registry.register("aligned_mtl")
class AlignedMTL(AveragingBalancer):
    """Aligns the principal components of the gradients, then averages them.

    For training that dominant or conflicting tasks make unstable: all
    singular values of J = U S Vᵀ become equal, so that the linear system of
    gradients has condition number 1. With G = U Λ Uᵀ, over its rank:

        Ĵ = B J,   B = σ · U Λ^{−1/2} Uᵀ,   d = (1/T) Σ_t ĝ_t

    Eigenvalues of G below `8·T·eps` times the largest count as zero.

    Args:
        scale_mode: σ, the common singular value: the smallest one (`"min"`,
            the paper's, which converges), `"median"` (the lower of two) or
            `"rmse"`, the root of the mean square.
        reduction: `"mean"` or `"sum"` of the aligned gradients.
        preference: How much each task counts: one number, a list, or a dict
            by task. By default 1 each; a mean is divided by their sum.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     AlignedMTL(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.5591, 0.4083]

    Reference:
        Senushkin, Patakin, Kuznetsov and Konushin, "Independent Component
        Alignment for Multi-Task Learning", CVPR 2023, arXiv:2305.19000. The
        authors' code and LibMTL take the sum, T times the mean that TorchJD
        takes, and count eigenvalues below T·eps as zero; LibMTL has `"min"`
        alone.
    """

    def __init__(
        self,
        scale_mode: str = "min",
        reduction: str = "mean",
        preference: float | Sequence[float] | Mapping[str, float] = 1.0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            reduction=reduction,
            preference=preference,
            wrt=wrt,
            update_every=update_every,
            name=name,
            **kwargs,
        )
        if scale_mode not in SCALE_MODES:
            raise ValueError(
                f"`scale_mode` must be one of {', '.join(SCALE_MODES)}. "
                f"Received: scale_mode={scale_mode!r}"
            )
        self.scale_mode = scale_mode

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of the mean or the sum of the aligned gradients."""
        wide = at_least_float32(gram)
        shares = self.shares(present, wide.dtype)
        weights = aligned_weights(wide, shares, self.scale_mode)
        weights = ops.where(present, weights, ops.zeros_like(weights))
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "scale_mode": self.scale_mode}
