"""Conflict-averse gradient descent."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, max_min_in_ball


@registry.register("cagrad")
class CAGrad(GradientBalancer):
    """Helps the worst-served task, within a ball around the mean gradient.

    Between the mean gradient (c = 0) and MGDA (large c): it still converges
    to a minimum of the mean loss for c < 1. With g₀ the mean gradient,

        max_d min_t g_tᵀd   subject to   ‖d − g₀‖ ≤ c ‖g₀‖

    Solved exactly. Where the gradients balance each other out within the
    ball, the shortest of the best moves is taken.

    Args:
        c: Radius of the ball in lengths of g₀.
        rescale: 0: d itself, as in the paper; 1: d / (1 + c²); 2: d / (1 + c),
            as the authors' code numbers them.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     CAGrad(c=0.5), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.7041, 0.5]

    Reference:
        Liu, Liu, Jin, Stone and Liu, "Conflict-Averse Gradient Descent",
        NeurIPS 2021, arXiv:2110.14048. The authors' code and LibMTL rescale
        by default (`rescale=1`) and solve by SLSQP, off by half on badly
        scaled rows; TorchJD does not rescale.
    """

    def __init__(
        self,
        c: float = 0.4,
        rescale: int = 0,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not c >= 0:
            raise ValueError(f"`c` must not be negative. Received: c={c!r}")
        if rescale not in (0, 1, 2):
            raise ValueError(
                "`rescale` must be 0 (as in the paper), 1 (by 1 + c²) or 2 "
                f"(by 1 + c). Received: rescale={rescale!r}"
            )
        self.c = float(c)
        self.rescale = int(rescale)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """1/T plus the move within the ball."""
        wide = at_least_float32(gram)
        here = ops.cast(present, wide.dtype)
        mean = here / ops.maximum(ops.sum(here), 1.0)
        weights = mean + max_min_in_ball(wide, present, self.c)
        divisor = (1.0, 1.0 + self.c**2, 1.0 + self.c)[self.rescale]
        return ops.cast(weights / divisor, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "c": self.c, "rescale": self.rescale}
