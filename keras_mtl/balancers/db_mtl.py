"""Equal losses by the logarithm, equal gradients by their lengths."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import TrackingBalancer, registry
from keras_mtl.linalg import at_least_float32

_SMALLEST_LOSS = 1e-8


@registry.register("db_mtl")
class DBMTL(TrackingBalancer):
    """Descends log losses along gradients that are made equally long.

    For losses and gradients of different scale, with nothing to tune. The
    gradients of the log losses are averaged over the steps and scaled to the
    length of the longest:

        ĝ_t ← β_k ĝ_t + (1 − β_k) g_t / L_t,   β_k = β / k^σ
        d = max_u ‖ĝ_u‖ · Σ_t ĝ_t / ‖ĝ_t‖

    in step k; ĝ starts at zero. Heads descend their log losses, too. Losses
    must be positive. A task that is absent keeps its ĝ. It keeps as much
    memory as the gradients of all tasks.

    Args:
        beta: β: how much of ĝ stays in each step, in [0, 1).
        beta_sigma: σ: how fast that falls; 0 for a constant.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, _ = aggregate(
    ...     DBMTL(beta=0.0), [[6.0, 8.0], [1.0, 0.0]], losses=[2.0, 1.0]
    ... )
    >>> [round(d, 4) for d in direction.tolist()]
    [8.0, 4.0]

    Reference:
        Lin et al., "Dual-Balancing for Multi-Task Learning", 2023,
        arXiv:2308.12029. LibMTL's DB_MTL, by its authors, agrees, with the
        same σ; TorchJD has none.
    """

    needs_losses = True
    needs_positive_losses = True

    def __init__(
        self,
        beta: float = 0.9,
        beta_sigma: float = 0.0,
        wrt: str = "variables",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if not 0 <= beta < 1:
            raise ValueError(
                f"`beta` must be in [0, 1). Received: beta={beta!r}"
            )
        if not beta_sigma >= 0:
            raise ValueError(
                "`beta_sigma` must not be negative. "
                f"Received: beta_sigma={beta_sigma!r}"
            )
        self.beta = float(beta)
        self.beta_sigma = float(beta_sigma)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the number of steps taken, `(T,)`."""
        self.steps_taken = self.add_state("steps_taken", input_shape)
        super().build(input_shape)

    def track(
        self, index: int, rows: Any, losses: Any, present: Any
    ) -> tuple[Any, Any]:
        """Moves ĝ by the new gradients; ĝ is judged, and combined."""
        kept = ops.cast(self.tracks[index], rows.dtype)
        step = ops.cast(self.steps_taken, rows.dtype) + 1.0
        old = self.beta * ops.power(step, -self.beta_sigma)
        new = (1.0 - old) * ops.cast(_slopes(losses, present), rows.dtype)
        here = present[:, None]
        moved = ops.where(here, old[:, None] * kept + new[:, None] * rows, kept)
        self.tracks[index].assign(ops.cast(moved, self.tracks[index].dtype))
        counted = ops.where(here, moved, ops.zeros_like(moved))
        return counted, counted

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The longest ĝ's length over each one's; zero for a zero ĝ."""
        wide = at_least_float32(gram)
        lengths = ops.sqrt(ops.maximum(ops.diagonal(wide), 0.0))
        active = ops.logical_and(present, lengths > 0)
        divisors = ops.where(active, lengths, ops.ones_like(lengths))
        longest = ops.max(ops.where(active, lengths, ops.zeros_like(lengths)))
        weights = ops.where(active, longest / divisors, 0.0 * divisors)
        self.steps_taken.assign_add(ops.cast(present, self.steps_taken.dtype))
        return ops.cast(weights, gram.dtype)

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """1 / L_t, which makes the gradient that of the log loss."""
        return ops.cast(_slopes(losses, present), weights.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "beta_sigma": self.beta_sigma,
        }


def _slopes(losses: Any, present: Any) -> Any:
    """The derivatives of the log losses; zero for absent tasks."""
    wide = at_least_float32(losses)
    ones = ops.ones_like(wide)
    slopes = ones / (ops.where(present, wide, ones) + _SMALLEST_LOSS)
    return ops.where(present, slopes, ops.zeros_like(slopes))
