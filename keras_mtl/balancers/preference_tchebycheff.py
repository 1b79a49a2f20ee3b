"""The worst of the losses by a preference."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import plain_numbers, registry
from keras_mtl.balancers.preference_balancer import PreferenceBalancer
from keras_mtl.linalg import at_least_float32


@registry.register("preference_tchebycheff")
class PreferenceTchebycheff(PreferenceBalancer):
    """Descends the loss that is worst by a preference.

    For picking any point of the Pareto front, convex or not. With the
    preference c, summing to 1 over the present tasks, and the ideal point z:

        max_t c_t (L_t − z_t)

    At the optimum the products are alike: a loss with twice the preference
    ends up half as far from its ideal. Only the worst task descends in each
    step; tasks that tie share the weight. `SmoothTchebycheff` is smoother.

    Args:
        preference: c: positive numbers, a list or a dict by task, of which
            only the proportions count.
        ideal: z: the best that each loss can be: one number for all tasks, a
            list, or a dict by task.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     PreferenceTchebycheff(preference=[3.0, 1.0]),
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[1.0, 2.0],
    ... )
    >>> weights.tolist()
    [0.75, 0.0]

    Reference:
        Bowman, "On the Relationship of the Tchebycheff Norm and the Efficient
        Frontier of Multiple-Criteria Objectives", 1976; with gradients, Lin
        et al., ICML 2024, arXiv:2402.19078. LibMTL has none; TorchJD has none
        but the smooth one.
    """

    task_arguments = ("preference", "ideal")

    def __init__(
        self,
        preference: Sequence[float] | Mapping[str, float],
        ideal: float | Sequence[float] | Mapping[str, float] = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(preference, name=name, **kwargs)
        self.ideal = plain_numbers(ideal, "ideal")

    def task_weights(self, losses: Any, present: Any) -> Any:
        """c_t of the worst task, shared among those that tie."""
        shares, heights = self._heights(losses, present)
        worst = ops.logical_and(present, heights == ops.max(heights))
        worst = ops.cast(worst, shares.dtype)
        weights = shares * worst / ops.maximum(ops.sum(worst), 1.0)
        return ops.cast(weights, losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """The largest c_t (L_t − z_t) of the present tasks."""
        _, heights = self._heights(losses, present)
        worst = ops.where(ops.any(present), ops.max(heights), 0.0)
        return ops.cast(worst, losses.dtype)

    def _heights(self, losses: Any, present: Any) -> tuple[Any, Any]:
        """The preference, and c_t (L_t − z_t) or −∞ for absent tasks."""
        wide = at_least_float32(losses)
        shares = self.shares(wide, present)
        ideal = ops.convert_to_tensor(
            self.per_task(self.ideal, "ideal"), dtype=wide.dtype
        )
        heights = shares * (wide - ideal)
        return shares, ops.where(present, heights, float("-inf"))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "ideal": self.ideal}
