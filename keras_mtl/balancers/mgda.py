"""The shortest vector in the gradients' convex hull."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.balancers.normalization import (
    check_normalization,
    gradient_scales,
)
from keras_mtl.linalg import at_least_float32, min_norm_point


@registry.register("mgda")
class MGDA(GradientBalancer):
    """Takes the shortest convex combination of the gradients.

    No task's loss rises along it, and it vanishes only where no direction
    improves all tasks. It favours tasks with short gradients; `normalize`
    tempers that. The minimum is exact for any number of tasks:

        min ‖Σ_t α_t g_t / m_t‖²  over α ≥ 0, Σα = 1;   w_t ∝ α_t / m_t

    A present task whose gradient is zero is content: the direction is 0.

    Args:
        normalize: m_t: `"none"`, `"l2"` (‖g_t‖), `"loss"` (L_t) or `"loss+"`
            (L_t ‖g_t‖). Losses must be positive where they are used. Weights
            sum to 1 in any case.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     MGDA(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.6, 0.4]

    Reference:
        Désidéri, "Multiple-gradient descent algorithm", 2012; Sener and
        Koltun, "Multi-Task Learning as Multi-Objective Optimization",
        NeurIPS 2018, arXiv:1810.04650, whose code applies α to the gradients
        as they were. LibMTL applies α to g/m without making weights sum to 1
        and clips its Frank-Wolfe step to [.001, .999]; TorchJD stops
        Frank-Wolfe early and does not normalize.
    """

    def __init__(
        self,
        normalize: str = "none",
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        check_normalization(normalize)
        self.normalize = normalize
        self.needs_losses = normalize.startswith("loss")
        self.needs_positive_losses = self.needs_losses

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The min-norm weights; they sum to 1."""
        if self.normalize == "none":
            return min_norm_point(gram, present)
        wide = at_least_float32(gram)
        scales = gradient_scales(self.normalize, wide, losses)
        normalized = wide / scales[:, None] / scales[None, :]
        shares = min_norm_point(normalized, present)
        # Relative to the largest, so that no 1/m_t overflows.
        shares = shares * (ops.min(scales) / scales)
        total = ops.sum(shares)
        weights = shares / ops.where(total > 0, total, ops.ones_like(total))
        return ops.cast(weights, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "normalize": self.normalize}
