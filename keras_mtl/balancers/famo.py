"""Equal rates of decrease, from the losses alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, plain_numbers, registry
from keras_mtl.linalg import at_least_float32

_SMALLEST_LOSS = 1e-8


@registry.register("famo")
class FAMO(LossBalancer):
    """Makes all losses fall at the same rate, without taking gradients.

    For many tasks, at the cost of a loss-weighting method. With losses above
    their lower bounds, D_t = L_t − b_t, and z = softmax(ξ):

        w_t = c z_t / D_t,   Σ_t w_t = 1
        ξ ← ξ − β (Jᵀδ + γ ξ),   δ_t = log D_t − log D_t after the step

    where J is the Jacobian of the softmax and the step of ξ is Adam's. A task
    that fell faster than the others gets less weight.

    Args:
        learning_rate: β: step of ξ.
        weight_decay: γ: pull of ξ toward even shares.
        min_losses: b_t: lower bounds of the losses; one number for all tasks,
            a list, or a dict by task.
        losses_after: Where the losses after the step come from.
            `"same_batch"`, as in the paper: the same batch is looked at
            again, for one more forward pass. `"next_batch"`: the next
            batch's, for nothing; changes are then noisier.
        optimizer: How ξ moves: `"adam"`, as in the paper's appendix C and its
            experiments, or `"sgd"`, as in its algorithm 1.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> famo = FAMO(losses_after="next_batch")
    >>> for losses in ([1.0, 1.0], [1.0, 0.5]):
    ...     _, weights = aggregate(famo, [[1.0], [1.0]], losses=losses)
    >>> [round(w, 4) for w in weights.tolist()]
    [0.3445, 0.6555]

    Reference:
        Liu, Feng, Stone and Liu, "FAMO: Fast Adaptive Multitask
        Optimization", NeurIPS 2023, arXiv:2306.03792. LibMTL's and TorchJD's
        FAMO agree with the defaults; the second look at the batch is left to
        the caller by TorchJD.
    """

    needs_positive_losses = True
    task_arguments = ("min_losses",)

    def __init__(
        self,
        learning_rate: float = 0.025,
        weight_decay: float = 1e-3,
        min_losses: float | Sequence[float] | Mapping[str, float] = 0.0,
        losses_after: str = "same_batch",
        optimizer: str = "adam",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not learning_rate > 0:
            raise ValueError(
                "`learning_rate` must be positive. "
                f"Received: learning_rate={learning_rate!r}"
            )
        if not weight_decay >= 0:
            raise ValueError(
                "`weight_decay` must not be negative. "
                f"Received: weight_decay={weight_decay!r}"
            )
        if losses_after not in ("same_batch", "next_batch"):
            raise ValueError(
                "`losses_after` must be 'same_batch' (the paper's, one more "
                "forward pass) or 'next_batch'. "
                f"Received: losses_after={losses_after!r}"
            )
        if optimizer not in ("adam", "sgd"):
            raise ValueError(
                "`optimizer` must be 'adam' or 'sgd'. "
                f"Received: optimizer={optimizer!r}"
            )
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self.min_losses = plain_numbers(min_losses, "min_losses", low=0.0)
        self.losses_after = losses_after
        self.optimizer = optimizer
        self.looks_again = losses_after == "same_batch"

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates ξ, Adam's moments and steps, and the last losses `(T,)`."""
        self.logits = self.add_state("logits", input_shape)
        self.last_losses = self.add_state(
            "last_losses", input_shape
        )  # 0 if there is none
        if self.optimizer == "adam":
            self.momentum = self.add_state("momentum", input_shape)
            self.velocity = self.add_state("velocity", input_shape)
            self.steps_taken = self.add_state("steps_taken", input_shape)
        super().build(input_shape)

    def task_weights(self, losses: Any, present: Any) -> Any:
        """The c z_t / D_t of the present tasks; they sum to 1."""
        wide = at_least_float32(losses)
        scores = self._shares(wide.dtype, present) / self._above(wide)
        scores = ops.where(present, scores, ops.zeros_like(scores))
        # Relative to the largest, so that the sum cannot overflow.
        largest = ops.max(scores)
        scores = scores / ops.where(largest > 0, largest, 1.0)
        weights = scores / ops.maximum(ops.sum(scores), 1.0)
        return ops.cast(weights, losses.dtype)

    def observe(self, losses: Any, present: Any) -> None:
        """Keeps the losses before the step; moves ξ if they are also after."""
        if not self.looks_again:
            self._move(losses, present)
        known = _known(losses, present)
        losses = ops.cast(losses, self.last_losses.dtype)
        self.last_losses.assign(ops.where(known, losses, self.last_losses))

    def observe_again(self, losses: Any, present: Any) -> None:
        """Moves ξ by what the step changed in the losses of its batch."""
        self._move(losses, present)

    def _move(self, losses: Any, present: Any) -> None:
        after = at_least_float32(losses)
        before = ops.cast(self.last_losses, after.dtype)
        moves = ops.logical_and(_known(losses, present), before > 0)
        ones, zeros = ops.ones_like(after), ops.zeros_like(after)
        after, before = (
            ops.log(self._above(ops.where(moves, value, ones)))
            for value in (after, before)
        )
        change = ops.where(moves, before - after, zeros)
        shares = self._shares(change.dtype, moves)
        slope = shares * (change - ops.sum(shares * change))
        logits = ops.cast(self.logits, slope.dtype)
        step = self._step(slope + self.weight_decay * logits, moves)
        moved = ops.cast(logits - self.learning_rate * step, self.logits.dtype)
        self.logits.assign(ops.where(moves, moved, self.logits))

    def _step(self, gradient: Any, moves: Any) -> Any:
        """Adam's step, or the gradient itself."""
        if self.optimizer == "sgd":
            return gradient

        def average(variable: Any, value: Any, rate: float) -> Any:
            old = ops.cast(variable, value.dtype)
            new = ops.where(moves, rate * old + (1.0 - rate) * value, old)
            variable.assign(ops.cast(new, variable.dtype))
            return new

        self.steps_taken.assign_add(ops.cast(moves, self.steps_taken.dtype))
        taken = ops.maximum(ops.cast(self.steps_taken, gradient.dtype), 1.0)
        mean = average(self.momentum, gradient, 0.9)
        square = average(self.velocity, gradient * gradient, 0.999)
        mean = mean / (1.0 - ops.power(0.9 * ops.ones_like(taken), taken))
        square = square / (1.0 - ops.power(0.999 * ops.ones_like(taken), taken))
        return mean / (ops.sqrt(square) + 1e-8)

    def _shares(self, dtype: str, present: Any) -> Any:
        """Softmax(ξ) over the present tasks."""
        logits = ops.cast(self.logits, dtype)
        highest = ops.max(ops.where(present, logits, ops.min(logits)))
        scores = ops.where(present, ops.exp(logits - highest), 0.0 * logits)
        return scores / ops.maximum(ops.sum(scores), 1.0)

    def _above(self, losses: Any) -> Any:
        """D: the losses above their lower bounds, always positive."""
        bounds = self.per_task(self.min_losses, "min_losses")
        bounds = ops.convert_to_tensor(bounds, dtype=losses.dtype)
        return ops.maximum(losses - bounds, 0.0) + _SMALLEST_LOSS

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "min_losses": self.min_losses,
            "losses_after": self.losses_after,
            "optimizer": self.optimizer,
        }


def _known(losses: Any, present: Any) -> Any:
    """Which tasks have a loss with a logarithm."""
    return ops.logical_and(
        present, ops.logical_and(ops.isfinite(losses), losses > 0)
    )
