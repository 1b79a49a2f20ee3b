"""A weighted sum with a reward for the preferred proportions."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import registry
from keras_mtl.balancers.positive import least_invertible
from keras_mtl.balancers.preference_balancer import PreferenceBalancer
from keras_mtl.linalg import at_least_float32


@registry.register("cosmos")
class COSMOS(PreferenceBalancer):
    """Descends a weighted sum, drawn towards the ray of the preference.

    For picking a point of the Pareto front, with positive losses of one
    order. With the preference r, summing to 1 over the present tasks:

        rᵀL − λ cos(r, L),   cos(r, L) = rᵀL / (‖r‖ ‖L‖)
        w = r − λ (r / ‖r‖ − cos(r, L) L / ‖L‖) / ‖L‖

    The sum pulls at the preferred losses; the cosine draws the losses into
    the proportions of r. Weights may be negative. The paper draws r anew in
    each step and gives it to the network as an input; this is its objective
    for one r.

    Args:
        preference: r: positive numbers, a list or a dict by task, of which
            only the proportions count.
        lambda_: λ: how much the proportions count. The paper takes .01 to 8,
            and 2 for Multi-MNIST.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     COSMOS(preference=[1.0, 1.0], lambda_=1.0),
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[3.0, 4.0],
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.4774, 0.517]

    Reference:
        Ruchte and Grabocka, "Scalable Pareto Front Approximation for Deep
        Multi-Objective Learning", ICDM 2021, arXiv:2103.13392. LibMTL has
        none; TorchJD's COSMOS agrees, but takes r as it is given.
    """

    def __init__(
        self,
        preference: Sequence[float] | Mapping[str, float],
        lambda_: float = 2.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(preference, name=name, **kwargs)
        if not lambda_ >= 0:
            raise ValueError(
                "`lambda_` must be 0 or more: how much the proportions count. "
                f"Received: lambda_={lambda_!r}"
            )
        self.lambda_ = float(lambda_)

    def task_weights(self, losses: Any, present: Any) -> Any:
        """The preference less λ times the derivative of the cosine."""
        shares, ray, unit, length = self._parts(losses, present)
        turn = (ray - ops.sum(ray * unit) * unit) / length
        # All losses zero: there is no angle to speak of.
        turn = ops.where(ops.any(unit != 0), turn, ops.zeros_like(turn))
        return ops.cast(shares - self.lambda_ * turn, losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """rᵀL − λ cos(r, L)."""
        shares, ray, unit, _ = self._parts(losses, present)
        wide = at_least_float32(losses)
        wide = ops.where(present, wide, ops.zeros_like(wide))
        total = ops.sum(shares * wide) - self.lambda_ * ops.sum(ray * unit)
        return ops.cast(total, losses.dtype)

    def _parts(self, losses: Any, present: Any) -> tuple[Any, Any, Any, Any]:
        """r, r / ‖r‖, L / ‖L‖ or 0, and ‖L‖ or 1."""
        wide = at_least_float32(losses)
        wide = ops.where(present, wide, ops.zeros_like(wide))
        shares = self.shares(wide, present)
        ray = shares / ops.maximum(ops.sqrt(ops.sum(shares**2)), 1e-30)
        # Over the largest first, whose square might overflow.
        size = ops.stop_gradient(ops.max(ops.abs(wide)))
        real = size > least_invertible(losses)
        size = ops.where(real, size, ops.ones_like(size))
        scaled = ops.where(real, wide / size, ops.zeros_like(wide))
        length = ops.sqrt(ops.where(real, ops.sum(scaled**2), 1.0))
        return shares, ray, scaled / length, size * length

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "lambda_": self.lambda_}
