"""Penalty boundary intersection."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import plain_numbers, registry
from keras_mtl.balancers.preference_balancer import PreferenceBalancer
from keras_mtl.linalg import at_least_float32


@registry.register("pbi")
class PBI(PreferenceBalancer):
    """Descends along a ray of preferred proportions of the losses.

    For picking the point of the Pareto front where the losses have given
    proportions. With the ideal point z, the preference c and its direction
    u = c / ‖c‖, the vector v = L − z has a part along the ray and one across:

        d₁ + θ d₂,   d₁ = vᵀu,   d₂ = ‖v − d₁ u‖
        w = u + θ (v − d₁ u) / d₂

    Here a larger preference asks for a larger loss: [1, 2] for a second loss
    twice as far from its ideal as the first. Weights may be negative: a task
    that is too good for its proportion is pushed back. On the ray itself, d₂
    has no derivative; there w = u.

    Args:
        preference: c: positive numbers, a list or a dict by task, of which
            only the proportions count.
        theta: θ: how much the distance from the ray counts. Large values
            follow the ray, 0 gives a weighted sum.
        ideal: z: the best that each loss can be: one number for all tasks, a
            list, or a dict by task.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     PBI(preference=[3.0, 4.0], theta=1.0),
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[2.0, 1.0],
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [1.4, 0.2]

    Reference:
        Zhang and Li, "MOEA/D: A Multiobjective Evolutionary Algorithm Based
        on Decomposition", IEEE Transactions on Evolutionary Computation
        11(6), 2007, https://doi.org/10.1109/TEVC.2007.892759. LibMTL has none;
        TorchJD's PBI agrees, but adds 1e-12 under the root of d₂ in place of a
        rule for the ray itself.
    """

    task_arguments = ("preference", "ideal")

    def __init__(
        self,
        preference: Sequence[float] | Mapping[str, float],
        theta: float = 5.0,
        ideal: float | Sequence[float] | Mapping[str, float] = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(preference, name=name, **kwargs)
        if not theta >= 0:
            raise ValueError(
                "`theta` must be 0 or more: how much the distance from the "
                f"ray counts. Received: theta={theta!r}"
            )
        self.theta = float(theta)
        self.ideal = plain_numbers(ideal, "ideal")

    def task_weights(self, losses: Any, present: Any) -> Any:
        """The ray plus θ (v − d₁ u) / d₂; zero for absent tasks."""
        v, _, ray = self._vectors(losses, present)
        across, distance, off = _apart(v, ray)
        outward = ops.where(off, across / distance, 0.0)
        return ops.cast(ray + self.theta * outward, losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """The distance d₁ along the ray plus θ d₂."""
        v, size, ray = self._vectors(losses, present)
        _, distance, off = _apart(v, ray)
        penalty = self.theta * ops.where(off, distance, 0.0)
        return ops.cast(size * (ops.sum(v * ray) + penalty), losses.dtype)

    def _vectors(self, losses: Any, present: Any) -> tuple[Any, Any, Any]:
        """The vector v over its size, that size, and u.

        The size is a constant: the square of a large loss might overflow.
        """
        wide = at_least_float32(losses)
        shares = self.shares(wide, present)
        ray = shares / ops.maximum(ops.sqrt(ops.sum(shares**2)), 1e-30)
        ideal = ops.convert_to_tensor(
            self.per_task(self.ideal, "ideal"), dtype=wide.dtype
        )
        v = ops.where(present, wide - ideal, ops.zeros_like(wide))
        size = ops.stop_gradient(ops.max(ops.abs(v)))
        size = ops.where(size > 0, size, ops.ones_like(size))
        return v / size, size, ray

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "theta": self.theta,
            "ideal": self.ideal,
        }


def _apart(v: Any, ray: Any) -> tuple[Any, Any, Any]:
    """The part of v across the ray, its length or 1, and whether it is real."""
    across = v - ops.sum(v * ray) * ray
    squared = ops.sum(across**2)
    # Nearer than a millionth, `across` is what rounding left of v.
    off = squared > 1e-12
    squared = ops.where(off, squared, ops.ones_like(squared))
    return across, ops.sqrt(squared), off
