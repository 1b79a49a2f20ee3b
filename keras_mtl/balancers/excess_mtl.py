"""Weights by how far each task is from its own optimum."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import TrackingBalancer, registry
from keras_mtl.linalg import at_least_float32

_SMALLEST_SQUARE = 1e-7


@registry.register("excess_mtl")
class ExcessMTL(TrackingBalancer):
    """Gives more weight to tasks with more to gain, not to those with noise.

    For tasks with noisy labels, whose losses stay high however well they are
    trained. The excess risk E_t, the loss less the lowest that is possible,
    is estimated from the gradient and the sum of its squares over the steps,
    and weights move by it relative to what it was at first:

        E_t = Σ_i g_ti² / √(Σ_steps g_ti²),   w_t ∝ w_t exp(η E_t / E_t(0))

    Weights sum to 1 and are those of the losses: heads are scaled by them,
    too. A task that is absent keeps its share. It keeps as much memory as the
    gradients of all tasks.

    Args:
        robust_step_size: η: step of the weights.
        warmup_steps: Over how many steps E_t(0) is averaged; weights stay
            even so long. The paper recommends a few epochs.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> excess = ExcessMTL(robust_step_size=1.0)
    >>> for jacobian in ([[1.0], [1.0]], [[1.0], [0.0]]):
    ...     _, weights = aggregate(excess, jacobian)
    >>> [round(w, 4) for w in weights.tolist()]
    [0.6698, 0.3302]

    Reference:
        He, Zhou, Zhang, Yun, Xu, Zeng, Chilimbi and Zhao, "Robust Multi-Task
        Learning with Excess Risks", ICML 2024, arXiv:2402.02009. LibMTL's
        weights sum to T; TorchJD's take a first step by E_t itself and
        η = 1. Both take E_t(0) from the first step by default, as here.
    """

    def __init__(
        self,
        robust_step_size: float = 0.01,
        warmup_steps: int = 1,
        wrt: str = "variables",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if not robust_step_size > 0:
            raise ValueError(
                "`robust_step_size` must be positive. "
                f"Received: robust_step_size={robust_step_size!r}"
            )
        if int(warmup_steps) != warmup_steps or warmup_steps < 1:
            raise ValueError(
                "`warmup_steps` must be a positive integer: over how many "
                "steps the first excess risks are averaged. "
                f"Received: warmup_steps={warmup_steps!r}"
            )
        self.robust_step_size = float(robust_step_size)
        self.warmup_steps = int(warmup_steps)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates log weights, first excess risks and their counts, `(T,)`."""
        # As logarithms, no weight can fall to a zero that it never leaves.
        self.log_weights = self.add_state("log_weights", input_shape)
        self.first_excess = self.add_state("first_excess", input_shape)
        self.warmed_up = self.add_state("warmed_up", input_shape)
        super().build(input_shape)

    def track(
        self, index: int, rows: Any, losses: Any, present: Any
    ) -> tuple[Any, Any]:
        """Adds the squares; judges gradients by g / ⁴√Σg², combines them."""
        # Absent tasks' rows are zero, so their sums stay.
        squares = ops.cast(self.tracks[index], rows.dtype) + rows * rows
        self.tracks[index].assign(ops.cast(squares, self.tracks[index].dtype))
        scales = ops.sqrt(ops.rsqrt(squares + _SMALLEST_SQUARE))
        return rows * scales, rows

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights after their step; they sum to 1."""
        wide = at_least_float32(gram)
        zeros = ops.zeros_like(ops.diagonal(wide))
        excess = ops.maximum(ops.diagonal(wide), 0.0)
        counted = ops.logical_and(present, ops.isfinite(excess))
        excess = ops.where(counted, excess, zeros)

        first = ops.cast(self.first_excess, wide.dtype)
        warmed_up = ops.cast(self.warmed_up, wide.dtype)
        collects = warmed_up < self.warmup_steps
        usable = ops.logical_and(ops.logical_not(collects), first > 0)
        ratios = ops.where(usable, excess, zeros + 1.0) / ops.where(
            usable, first, zeros + 1.0
        )
        before = ops.cast(self.log_weights, wide.dtype)
        after = before + ops.where(
            counted, self.robust_step_size * ratios, zeros
        )
        shares, size = _softmax(after, present)
        # The present tasks share what they had, so absent ones do not move.
        after = after - size + _softmax(before, present)[1]

        def store(variable: Any, mask: Any, value: Any) -> None:
            value = ops.cast(value, variable.dtype)
            variable.assign(ops.where(mask, value, variable))

        store(self.log_weights, counted, after)
        collects = ops.logical_and(counted, collects)
        store(self.first_excess, collects, first + excess / self.warmup_steps)
        store(self.warmed_up, collects, warmed_up + 1.0)
        return ops.cast(shares, gram.dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """The weights: they are those of the losses."""
        return weights

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "robust_step_size": self.robust_step_size,
            "warmup_steps": self.warmup_steps,
        }


def _softmax(logits: Any, present: Any) -> tuple[Any, Any]:
    """Shares of the present tasks, and the log of their sum of exponentials."""
    zeros = ops.zeros_like(logits)
    highest = ops.max(ops.where(present, logits, ops.min(logits)))
    scores = ops.where(present, ops.exp(logits - highest), zeros)
    total = ops.sum(scores)
    total = ops.where(total > 0, total, ops.ones_like(total))
    return scores / total, ops.log(total) + highest
