"""The sum of the logarithms of the losses."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.balancers.positive import positive_losses


@registry.register("log_sum")
class LogSum(LossBalancer):
    """Descends the sum of log losses: what counts is the relative change.

    For positive losses of different units, at no cost and without anything
    to tune; a loss may be multiplied by any constant without any effect.

        Σ_t log L_t,   w_t = 1 / L_t

    A task whose loss is not positive counts as absent. A loss close to zero
    gets a large weight: clip gradients, or let the optimizer normalise them.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     "log_sum", [[-4.0, 1.0], [6.0, 1.0]], losses=[0.5, 4.0]
    ... )
    >>> weights.tolist()
    [2.0, 0.25]

    Reference:
        Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022,
        arXiv:2202.01017, as the baseline SI (scale-invariant). LibMTL has it
        only inside DB_MTL and STCH, with 1e-8 or less added to the loss;
        TorchJD has none.
    """

    needs_positive_losses = True

    def task_weights(self, losses: Any, present: Any) -> Any:
        """1 / L_t; zero for absent tasks."""
        values, here = positive_losses(losses, present)
        return ops.cast(ops.where(here, 1.0 / values, 0.0), losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """Σ log L_t over present tasks."""
        values, _ = positive_losses(losses, present)
        return ops.cast(ops.sum(ops.log(values)), losses.dtype)
