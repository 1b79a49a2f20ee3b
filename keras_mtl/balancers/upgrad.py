"""Projections of every gradient on the directions that harm no task."""

from typing import Any

from keras import ops

from keras_mtl.balancers.averaging import AveragingBalancer
from keras_mtl.balancers.base import registry
from keras_mtl.linalg import at_least_float32, dual_cone_projection


@registry.register("upgrad")
class UPGrad(AveragingBalancer):
    """Averages the gradients after making each harmless to all tasks.

    For conflicting tasks whose gradients' lengths should count: no loss
    rises, and a task with a longer gradient has a proportionally larger say.
    Each gradient is projected on the dual cone of the gradients:

        d = (1/T) Σ_t π(g_t),   π(g) = argmin_{d: Jd ≥ 0} ‖d − g‖

    Gradients that do not conflict are left as they are. Solved exactly, as
    T quadratic programs of size T side by side.

    Args:
        reduction: `"mean"` (the paper's) or `"sum"` of the projections.
        preference: How much each task counts: one number, a list, or a dict
            by task. By default 1 each; a mean is divided by their sum.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     UPGrad(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [1.1111, 0.7895]

    Reference:
        Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization",
        2024, arXiv:2406.16232. LibMTL and TorchJD solve the problem of
        G/tr(G) + 1e-4·I instead, which is another one where gradients differ
        in length or balance each other out; theirs is the mean, and TorchJD's
        `pref_vector` is our `preference` with the sum.
    """

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of the mean or the sum of the projections."""
        wide = at_least_float32(gram)
        gradients = ops.eye(wide.shape[0], dtype=wide.dtype)
        projections = dual_cone_projection(wide, present, gradients)
        shares = self.shares(present, wide.dtype)
        weights = ops.matmul(shares[None, :], projections)[0]
        return ops.cast(weights, gram.dtype)
