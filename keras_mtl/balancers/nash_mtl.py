"""Nash bargaining between the tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, plain_numbers, registry
from keras_mtl.linalg import at_least_float32, fair_fixed_point


@registry.register("nash_mtl")
class NashMTL(GradientBalancer):
    """Takes the direction on which the tasks agree by Nash bargaining.

    The product of the tasks' gains g_tᵀd over a ball is largest along
    d = Σ_t w_t g_t with

        (G w)_t = p_t / w_t,   p = 1

    Multiplying a loss by a constant changes nothing, as every task's gain is
    weighed against itself. Then ‖d‖² = Σ p, however long the gradients are,
    and d is cut to `max_norm`. Where gradients balance each other out, the
    weights would be infinite: they are bounded, and d is near zero.

    Args:
        max_norm: The largest ‖d‖; None for d as it is.
        preference: p, the bargaining power of each task (the asymmetric Nash
            solution): one number from 1e-6 up, a list, or a dict by task.
        wrt: `"variables"` (exact) or `"features"` (one backward pass).
        update_every: Bargain every so many steps.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     NashMTL(max_norm=None), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.5915, 0.4071]

    Reference:
        Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022,
        arXiv:2202.01017; unequal powers are Kalai's, 1977. The authors' code
        divides G by its Frobenius norm, so that its d is √‖G‖ times as long
        before it is cut to 1: the same unless the gradients are short. It
        solves a sequence of convex problems to 1e-3, starting from the last
        step's weights. LibMTL and TorchJD do as it does, off by a tenth and
        more on parallel and badly scaled rows.
    """

    task_arguments = ("preference",)

    def __init__(
        self,
        max_norm: float | None = 1.0,
        preference: float | Sequence[float] | Mapping[str, float] = 1.0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if max_norm is not None and not max_norm > 0:
            raise ValueError(
                "`max_norm` must be a positive number, or None for no bound. "
                f"Received: max_norm={max_norm!r}"
            )
        self.max_norm = None if max_norm is None else float(max_norm)
        self.preference = plain_numbers(preference, "preference", low=1e-6)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The bargaining solution, cut to `max_norm`."""
        wide = at_least_float32(gram)
        powers = ops.convert_to_tensor(
            self.per_task(self.preference, "preference"), dtype=wide.dtype
        )
        weights = fair_fixed_point(wide, present, preference=powers)
        if self.max_norm is not None:
            gains = ops.matmul(wide, weights[:, None])[:, 0]
            norm = ops.sqrt(ops.maximum(ops.sum(weights * gains), 0.0))
            weights = weights * self.max_norm
            weights = weights / ops.maximum(norm, self.max_norm)
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "max_norm": self.max_norm,
            "preference": self.preference,
        }
