"""Weights that even out the lengths of the gradients."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32


@registry.register("gradnorm")
class GradNorm(GradientBalancer):
    """Moves the weights until gradients are as long as tasks are behind.

    For losses of different scale that should train at similar rates. With
    n_t = ‖g_t‖ and r_t the ratio L_t / L_t(0) over its mean, each step moves
    w down the gradient of

        Σ_t |w_t n_t − mean(w n) · r_t^α|,   mean(w n) · r_t^α held constant

    divided by mean(w n), so that `learning_rate` means the same at any scale
    of the losses, and goes no farther than the term's minimum, so that long
    gradients do not swing. Weights stay non-negative and sum to the number of
    tasks. L_t(0) is the task's loss in the first batch that has labels for it;
    a task that is absent moves nothing.

    Args:
        alpha: How much faster tasks that are behind should be made to train;
            0 makes all gradients equally long.
        learning_rate: Step of the weights.
        wrt: Where the norms are taken; by default at the features, at the cost
            of one backward pass. The paper takes them at the weights of the
            last shared layer.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> gradnorm, jacobian = GradNorm(), [[3.0, 4.0], [1.0, 0.0]]
    >>> for _ in range(2):
    ...     _, weights = aggregate(gradnorm, jacobian, losses=[1.0, 1.0])
    >>> [round(w, 4) for w in weights.tolist()]
    [0.9746, 1.0254]

    Reference:
        Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm", ICML 2018,
        arXiv:1711.02257, which leaves the optimizer of w open. LibMTL's
        GradNorm passes w through a softmax and takes for L_t(0) the mean over
        a first epoch of even weights; TorchJD has none.
    """

    needs_losses = True

    def __init__(
        self,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        wrt: str = "features",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not alpha >= 0:
            raise ValueError(
                f"`alpha` must not be negative. Received: alpha={alpha!r}"
            )
        if not learning_rate > 0:
            raise ValueError(
                "`learning_rate` must be positive. "
                f"Received: learning_rate={learning_rate!r}"
            )
        self.alpha = float(alpha)
        self.learning_rate = float(learning_rate)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the weights, the initial losses and who has one, `(T,)`."""
        self.balance = self.add_state("balance", input_shape, "ones")
        self.initial_losses = self.add_state("initial_losses", input_shape)
        self.started = self.add_state("started", input_shape)
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of this step; then moves them for the next."""
        wide = at_least_float32(gram)
        losses = ops.cast(losses, wide.dtype)
        ones = ops.ones_like(losses)
        here = ops.cast(present, wide.dtype)
        count = ops.maximum(ops.sum(here), 1.0)
        balance = ops.cast(self.balance, wide.dtype) * here
        total = ops.sum(balance)
        result = balance * count / ops.where(total > 0, total, 1.0)

        # A step that overflowed under loss scaling must leave no trace.
        sound = ops.logical_and(
            ops.all(ops.isfinite(wide)), ops.all(ops.isfinite(losses))
        )
        begins = ops.logical_and(present, self.started < 0.5)
        initial = ops.where(
            begins, losses, ops.cast(self.initial_losses, wide.dtype)
        )
        progress = ops.where(initial > 0, losses, ones) / ops.where(
            initial > 0, initial, ones
        )
        progress = ops.maximum(progress, 0.0) * here
        mean_progress = ops.sum(progress) / count
        rate = progress / ops.where(mean_progress > 0, mean_progress, 1.0)

        norms = ops.sqrt(ops.maximum(ops.diagonal(wide), 0.0)) * here
        lengths = result * norms
        mean_length = ops.sum(lengths) / count
        scale = ops.where(mean_length > 0, mean_length, 1.0)
        # d/dw_t Σ|w_t n_t − target_t| = sign(w_t n_t − target_t) n_t; the step
        # ends where w_t n_t = target_t, for beyond it the sign turns.
        target = mean_length * ops.power(rate, self.alpha)
        goal = target / ops.where(norms > 0, norms, ones)
        reach = self.learning_rate * norms / scale
        moved = result + ops.clip(goal - result, -reach, reach)
        # The present tasks share what they had, so absent ones do not move.
        new_total = ops.sum(moved)
        usable = ops.logical_and(sound, new_total > 0)
        moved = moved * total / ops.where(new_total > 0, new_total, 1.0)

        def store(variable: Any, mask: Any, value: Any) -> None:
            value = ops.cast(value, variable.dtype)
            variable.assign(ops.where(mask, value, variable))

        store(self.balance, ops.logical_and(present, usable), moved)
        begins = ops.logical_and(begins, sound)
        store(self.initial_losses, begins, initial)
        store(self.started, begins, ones)
        return ops.cast(result, gram.dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """The weights: GradNorm weighs losses, so heads are scaled, too."""
        return weights

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "learning_rate": self.learning_rate,
        }
