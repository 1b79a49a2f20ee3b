"""Projection of the mean gradient on the directions that harm no task."""

from typing import Any

from keras import ops

from keras_mtl.balancers.averaging import AveragingBalancer
from keras_mtl.balancers.base import registry
from keras_mtl.linalg import at_least_float32, dual_cone_projection


@registry.register("dualproj")
class DualProj(AveragingBalancer):
    """Takes the harmless direction that is nearest to the mean gradient.

    For tasks whose mean loss is the aim, as long as no task's loss rises:

        d = argmin ‖d − ḡ‖  subject to  g_tᵀd ≥ 0 for each t

    with ḡ the mean gradient, which is left as it is where no task objects to
    it. Solved exactly.

    Args:
        reduction: ḡ is the `"mean"` or the `"sum"` of the gradients.
        preference: How much each task counts in ḡ: one number, a list, or a
            dict by task. By default 1 each; a mean is divided by their sum.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     DualProj(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.6111, 0.5]

    Reference:
        Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual
        Learning", NeurIPS 2017, arXiv:1706.08840, there for one current task
        and the memories of earlier ones. LibMTL has none; TorchJD solves the
        problem of G/tr(G) + 1e-4·I instead, so that it is not exact, least of
        all where gradients differ in length.
    """

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of the projected mean or sum."""
        wide = at_least_float32(gram)
        shares = self.shares(present, wide.dtype)
        weights = dual_cone_projection(wide, present, shares)
        return ops.cast(weights, gram.dtype)
