"""Another method's weights, smoothed over the steps."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import registry, serialize
from keras_mtl.balancers.wrapper import (
    Wrapper,
    inner_balancer,
    inner_head_weights,
    inner_weights,
)
from keras_mtl.linalg import at_least_float32


@registry.register("momentum")
class Momentum(Wrapper):
    """Averages the weights of another method over the steps (CR-MOGM).

    For methods whose weights jump from batch to batch: a solver of one
    batch's problem is biased by that batch's noise, and need not converge.
    With ŵ the weights that the inner method gives in a step,

        w ← α w + (1 − α) ŵ

    for each task by itself. The average of a task starts at its first ŵ_t; an
    absent task weighs nothing and its average waits.

    Args:
        balancer: The inner method: a name, a config or a balancer of losses
            or gradients.
        alpha: α, what is kept of the average, in [0, 1).
        wrt: `"variables"` or `"features"`; by default the inner method's.
        update_every: By default the inner method's.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> momentum = Momentum("mgda")
    >>> _, weights = aggregate(momentum, [[1.0, 0.0], [0.0, 1.0]])
    >>> _, weights = aggregate(momentum, [[2.0, 0.0], [0.0, 1.0]])
    >>> [round(w, 4) for w in weights.tolist()]
    [0.47, 0.53]

    Reference:
        Zhou, Zhang, Jiang, Zhong, Gu and Zhu, "On the Convergence of
        Stochastic Multi-Objective Gradient Manipulation and Beyond", NeurIPS
        2022, https://openreview.net/forum?id=ScwfQ7hdwyP, where α grows toward
        1 as the learning rate falls; here it stays. LibMTL has no such wrapper;
        TorchJD's CRMOGM starts at the first weights, too, or at given ones.
    """

    def __init__(
        self,
        balancer: Any,
        alpha: float = 0.9,
        wrt: str | None = None,
        update_every: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        inner = inner_balancer(balancer, "balancer")
        super().__init__(
            [inner], wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not 0 <= alpha < 1:
            raise ValueError(
                "`alpha` must lie in [0, 1): the part of the average that is "
                f"kept in a step. Received: alpha={alpha!r}"
            )
        self.alpha = float(alpha)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the average, and which tasks have one, `(T,)`."""
        self.average = self.add_state("average", input_shape)
        self.started = self.add_state("started", input_shape)
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The average; moves it first."""
        dtype = losses.dtype if gram is None else gram.dtype
        new = inner_weights(self.inner[0], gram, losses, present)
        new = at_least_float32(ops.cast(new, dtype))
        old = ops.cast(self.average, new.dtype)
        moved = self.alpha * old + (1.0 - self.alpha) * new
        moved = ops.where(self.started > 0.5, moved, new)
        kept = ops.cast(moved, self.average.dtype)
        # A step that overflowed under loss scaling must leave no trace.
        moves = ops.logical_and(present, ops.isfinite(kept))
        self.average.assign(ops.where(moves, kept, self.average))
        self.started.assign(
            ops.where(moves, ops.ones_like(self.started), self.started)
        )
        return ops.cast(ops.where(present, moved, ops.zeros_like(moved)), dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """The inner method's, of the averaged weights."""
        return inner_head_weights(self.inner[0], weights, losses, present)

    def logged_loss(self, losses: Any) -> Any:
        """The inner method's."""
        return self.inner[0].logged_loss(losses)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "balancer": serialize(self.inner[0]),
            "alpha": self.alpha,
        }
