"""Another method, on gradients of even scale."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import registry, serialize
from keras_mtl.balancers.normalization import (
    check_normalization,
    gradient_scales,
)
from keras_mtl.balancers.wrapper import (
    Wrapper,
    inner_balancer,
    inner_head_weights,
    inner_weights,
)
from keras_mtl.linalg import at_least_float32


@registry.register("gradient_normalization")
class GradientNormalization(Wrapper):
    """Lets another method see gradients that are divided by their scale.

    For methods that follow the longest gradient, or the shortest, where
    lengths come from units and say nothing. The inner method sees the Gram
    matrix of the rows g_t / m_t and gives weights w′ to them, so that

        d = Σ_t w′_t g_t / m_t,   w_t = w′_t / m_t

    With `"l2"` or `"loss"` and a method that does not look at losses, a
    constant factor on a task's loss then changes nothing. `MGDA(normalize=…)`
    goes in the same direction as MGDA in here, but divides its weights by
    their sum: its step keeps the gradients' length, this one's loses it.

    Args:
        balancer: The inner method: a name, a config or a balancer of losses
            or gradients.
        normalize: m_t: `"none"`, `"l2"` (‖g_t‖), `"loss"` (L_t) or `"loss+"`
            (L_t ‖g_t‖). With the latter two, a task whose loss is not
            positive counts as absent.
        wrt: `"variables"` or `"features"`; by default the inner method's.
        update_every: By default the inner method's.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     GradientNormalization("mgda"), [[3.0, 0.0], [0.0, 0.5]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.1667, 1.0]

    Reference:
        The four scales are those of the code to Sener and Koltun,
        "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018,
        arXiv:1810.04650. LibMTL has them for MGDA alone and applies w′ to the
        divided gradients, as here; TorchJD has none.
    """

    def __init__(
        self,
        balancer: Any,
        normalize: str = "l2",
        wrt: str | None = None,
        update_every: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        inner = inner_balancer(balancer, "balancer")
        super().__init__(
            [inner], wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        check_normalization(normalize)
        if self.double_sampled and normalize in ("l2", "loss+"):
            raise ValueError(
                "`normalize` must be 'none' or 'loss' for "
                f"{type(inner).__name__}: the Gram matrix of two samples does "
                f"not tell lengths. Received: normalize={normalize!r}"
            )
        self.normalize = normalize
        self.needs_gradients = True
        if normalize.startswith("loss"):
            self.needs_losses = self.needs_positive_losses = True

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates w′ `(T,)`, for the heads."""
        self.inner_weights = self.add_state(
            "inner_weights", input_shape, "ones"
        )
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """w′ / m."""
        wide = at_least_float32(gram)
        scales = gradient_scales(self.normalize, wide, losses)
        normalized = wide / scales[:, None] / scales[None, :]
        inner = inner_weights(
            self.inner[0], normalized, ops.cast(losses, wide.dtype), present
        )
        kept = ops.cast(inner, self.inner_weights.dtype)
        moves = ops.logical_and(present, ops.isfinite(kept))
        self.inner_weights.assign(ops.where(moves, kept, self.inner_weights))
        return ops.cast(inner / scales, gram.dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """The inner method's, of w′: heads are not normalized."""
        inner = ops.cast(self.inner_weights, weights.dtype)
        return inner_head_weights(
            self.inner[0],
            ops.where(present, inner, ops.zeros_like(inner)),
            losses,
            present,
        )

    def logged_loss(self, losses: Any) -> Any:
        """The inner method's."""
        return self.inner[0].logged_loss(losses)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "balancer": serialize(self.inner[0]),
            "normalize": self.normalize,
        }
