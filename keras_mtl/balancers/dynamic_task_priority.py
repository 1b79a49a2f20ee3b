"""More weight to the tasks that are hard now."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, plain_numbers, registry
from keras_mtl.linalg import at_least_float32


@registry.register("dynamic_task_priority")
class DynamicTaskPriority(LossBalancer):
    """Weighs each task by how far it is from being mastered.

    For tasks of which the easy ones should give way to the hard ones. A
    moving average κ̄ of a key metric κ in [0, 1] enters as the probability
    does in a focal loss:

        w_t = −(1 − κ̄_t)^γ_t log κ̄_t,   κ̄_t ← α κ_t + (1 − α) κ̄_t

    The paper takes a metric such as accuracy or average precision. Here, only
    losses are at hand, so κ_t = exp(−max(L_t, 0)): for a mean negative log
    likelihood (cross-entropies) that is the geometric mean of the
    probability given to the truth, what a focal loss is about. Other losses
    should be of that order: above 3 a task counts as not learned at all, at 0
    or less as mastered, with a weight of 0.

    Args:
        gamma: γ: one number for all tasks, a list, or a dict by task; the
            larger, the less weight easy tasks get.
        alpha: α in (0, 1]: how much the newest step counts. A task's average
            starts at its first κ.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     "dynamic_task_priority",
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[0.1, 2.0],
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.0095, 1.7293]

    Reference:
        Guo et al., "Dynamic Task Prioritization for Multitask Learning",
        ECCV 2018, doi:10.1007/978-3-030-01270-0_17. The default of α is ours.
        LibMTL has none; TorchJD has none.
    """

    task_arguments = ("gamma",)

    def __init__(
        self,
        gamma: float | Sequence[float] | Mapping[str, float] = 1.0,
        alpha: float = 0.1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 < alpha <= 1:
            raise ValueError(
                "`alpha` must be in (0, 1]: the weight of the newest step. "
                f"Received: alpha={alpha!r}"
            )
        self.gamma = plain_numbers(gamma, "gamma", low=0.0)
        self.alpha = float(alpha)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates κ̄ and whether there is one yet, both `(T,)`."""
        self.averages = self.add_state("averages", input_shape)
        self.started = self.add_state("started", input_shape)
        super().build(input_shape)

    def observe(self, losses: Any, present: Any) -> None:
        """Moves κ̄ of present tasks."""
        # A loss that overflowed must not spoil the average.
        counted = ops.logical_and(present, ops.isfinite(losses))
        newest = ops.cast(_key_metrics(losses), self.averages.dtype)
        moved = self.alpha * newest + (1.0 - self.alpha) * self.averages
        moved = ops.where(self.started > 0, moved, newest)
        self.averages.assign(ops.where(counted, moved, self.averages))
        self.started.assign(
            ops.where(counted, ops.ones_like(self.started), self.started)
        )

    def task_weights(self, losses: Any, present: Any) -> Any:
        """Focal weights of κ̄; zero for absent tasks."""
        newest = _key_metrics(losses)
        averages = ops.cast(self.averages, newest.dtype)
        metrics = ops.where(self.started > 0, averages, newest)
        metrics = ops.clip(metrics, 1e-30, 1.0)
        gamma = ops.convert_to_tensor(
            self.per_task(self.gamma, "gamma"), dtype=metrics.dtype
        )
        weights = -ops.power(1.0 - metrics, gamma) * ops.log(metrics)
        weights = ops.where(present, weights, ops.zeros_like(weights))
        return ops.cast(weights, losses.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "alpha": self.alpha,
        }


def _key_metrics(losses: Any) -> Any:
    return ops.exp(-ops.maximum(at_least_float32(losses), 0.0))
