"""Uncertainty weights in closed form, tempered by a softmax."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.balancers.positive import positive_losses


@registry.register("soft_optimal_uncertainty")
class SoftOptimalUncertainty(LossBalancer):
    """Weighs by the softmax of inverse losses: UW-SO.

    For what `Uncertainty` is for, without its inertia: its weights at the
    optimum go with 1 / L_t, so nothing has to be learned, and a softmax with
    temperature τ keeps small losses from taking all.

        w = softmax((1 / L) / τ)

    No gradient flows through w. A task whose loss is not positive counts as
    absent.

    Args:
        temperature: τ; the larger, the more even the weights. To be tuned:
            it is of the order of the differences between 1 / L_t.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     "soft_optimal_uncertainty",
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[1.0, 0.5],
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.2689, 0.7311]

    Reference:
        Kirchdorfer et al., "Analytical Uncertainty-Based Loss Weighting in
        Multi-Task Learning", GCPR 2024, arXiv:2408.07985. LibMTL has none;
        TorchJD has none.
    """

    needs_positive_losses = True

    def __init__(
        self, temperature: float = 1.0, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be positive. "
                f"Received: temperature={temperature!r}"
            )
        self.temperature = float(temperature)

    def task_weights(self, losses: Any, present: Any) -> Any:
        """softmax((1 / L) / τ) over the present tasks."""
        values, here = positive_losses(losses, present)
        mask = ops.cast(here, values.dtype)
        inverses = mask / values
        # The largest first, for an inverse over τ may overflow.
        below = inverses - ops.max(inverses)
        scores = mask * ops.exp(below / self.temperature)
        weights = scores / ops.maximum(ops.sum(scores), 1e-30)
        return ops.cast(weights, losses.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "temperature": self.temperature}
