"""Fair shares of the loss decrease."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, fair_fixed_point


@registry.register("fairgrad")
class FairGrad(GradientBalancer):
    """Shares the decrease of the losses among the tasks α-fairly.

    The fair resource allocation of networks: d, over a ball, makes
    Σ_t (g_tᵀd)^{1−α} / (1−α) largest, which is d = Σ_t w_t g_t with

        (G w)_t = w_t^{−1/α},   w > 0

    so no task's loss rises. Small α favours the sum of the gains, α = 1 their
    product (Nash bargaining, and then the losses' scales do not matter),
    large α the smallest gain. Where gradients balance each other out, the
    weights would be infinite: they are bounded, and d is near zero.

    Args:
        alpha: α > 0, to be tuned; 1 in the authors' code by default.
        wrt: `"variables"` (exact) or `"features"` (one backward pass).
        update_every: Solve for the weights every so many steps.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     FairGrad(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.5915, 0.4071]

    Reference:
        Ban and Ji, "Fair Resource Allocation in Multi-Task Learning",
        ICML 2024, arXiv:2402.15638. The authors' code, LibMTL and TorchJD
        take SciPy's bounded least squares from w = 1/T, which may end early
        on badly scaled rows; the authors' also cuts the shared gradient to a
        norm of 1, LibMTL and TorchJD do not.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not 0 < alpha < float("inf"):
            raise ValueError(
                f"`alpha` must be a positive number. Received: alpha={alpha!r}"
            )
        self.alpha = float(alpha)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The α-fair weights."""
        wide = at_least_float32(gram)
        weights = fair_fixed_point(wide, present, self.alpha)
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "alpha": self.alpha}
