"""Methods that average over the tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, plain_numbers

REDUCTIONS = ("mean", "sum")


class AveragingBalancer(GradientBalancer):
    """A method that takes the mean or the sum over tasks, weighted or not.

    Args:
        reduction: `"mean"` or `"sum"`, over the tasks with labels.
        preference: How much each task counts: one number, a list, or a dict
            by task. By default 1 each; a mean is divided by their sum.
        wrt: `"variables"` (exact) or `"features"` (one backward pass).
        update_every: Solve for the weights every so many steps.
    """

    task_arguments = ("preference",)

    def __init__(
        self,
        reduction: str = "mean",
        preference: float | Sequence[float] | Mapping[str, float] = 1.0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if reduction not in REDUCTIONS:
            raise ValueError(
                "`reduction` must be 'mean' or 'sum'. "
                f"Received: reduction={reduction!r}"
            )
        self.reduction = reduction
        self.preference = plain_numbers(preference, "preference", low=0.0)

    def shares(self, present: Any, dtype: Any) -> Any:
        """What each task counts `(T,)`; zero for absent tasks."""
        preference = ops.convert_to_tensor(
            self.per_task(self.preference, "preference"), dtype=dtype
        )
        shares = ops.where(present, preference, ops.zeros_like(preference))
        if self.reduction == "sum":
            return shares
        total = ops.sum(shares)
        return shares / ops.where(total > 0, total, ops.ones_like(total))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "preference": self.preference,
        }
