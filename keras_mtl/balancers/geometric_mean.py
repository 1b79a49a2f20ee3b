"""The geometric mean of the losses."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.balancers.positive import positive_losses


@registry.register("geometric_mean")
class GeometricMean(LossBalancer):
    """Descends the geometric mean of the losses.

    For positive losses of different units: a loss may be multiplied by any
    constant without any effect on the proportions of the weights. With n
    present tasks:

        (Π_t L_t)^{1/n},   w_t = (Π_s L_s)^{1/n} / (n L_t)

    A task whose loss is not positive counts as absent.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     "geometric_mean", [[-4.0, 1.0], [6.0, 1.0]], losses=[1.0, 4.0]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [1.0, 0.25]

    Reference:
        Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and
        Geometric Loss Strategy for Multi-Task Learning", CVPR Workshops 2019,
        arXiv:1904.08492. LibMTL's GLS multiplies before it takes the root,
        which overflows with many tasks; TorchJD's GeometricMean agrees and
        gives NaN gradients at a loss of 0.
    """

    needs_positive_losses = True

    def task_weights(self, losses: Any, present: Any) -> Any:
        """The mean over n L_t; zero for absent tasks."""
        values, here = positive_losses(losses, present)
        mean, count = _mean_and_count(values, here)
        weights = ops.where(here, mean / (count * values), 0.0)
        return ops.cast(weights, losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """The geometric mean over present tasks."""
        values, here = positive_losses(losses, present)
        mean, _ = _mean_and_count(values, here)
        return ops.cast(ops.where(ops.any(here), mean, 0.0), losses.dtype)


def _mean_and_count(values: Any, here: Any) -> tuple[Any, Any]:
    count = ops.maximum(ops.sum(ops.cast(here, values.dtype)), 1.0)
    # Absent tasks have the value 1, whose logarithm is 0.
    return ops.exp(ops.sum(ops.log(values)) / count), count
