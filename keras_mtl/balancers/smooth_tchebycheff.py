"""A smooth maximum of the losses."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import registry
from keras_mtl.balancers.positive import positive_losses
from keras_mtl.balancers.preference_balancer import PreferenceBalancer


@registry.register("smooth_tchebycheff")
class SmoothTchebycheff(PreferenceBalancer):
    """Descends a smooth maximum of the losses: STCH.

    For positive losses of which the worst should be helped most; unlike a
    weighted sum it reaches every part of a Pareto front. As in the paper's
    code, it looks at log losses over a nadir N, with n present tasks and λ =
    n · preference:

        n μ log Σ_t exp(λ_t log(L_t / N_t) / μ)
        w_t = n λ_t p_t / L_t,   p = softmax(λ log(L / N) / μ)

    For `warmup_epochs` and one epoch more it descends Σ λ_t log L_t. The
    means of the losses over the last of these epochs become N. Epochs end by
    `on_epoch_end`, and only those count in which the task was seen; as long
    as a present task has no nadir, the warm-up goes on. A task whose loss is
    not positive counts as absent.

    Args:
        mu: μ; the smaller, the closer to the maximum, the larger, the closer
            to the sum of log losses.
        warmup_epochs: Epochs before the one that measures the nadir.
        preference: Positive numbers, a list or a dict by task, of which only
            the proportions count: the larger, the more a loss over its nadir
            weighs. Even by default.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> stch, jacobian = SmoothTchebycheff(warmup_epochs=0), [[-4.0], [6.0]]
    >>> _, weights = aggregate(stch, jacobian, losses=[1.0, 2.0])
    >>> weights.tolist()
    [1.0, 0.5]
    >>> stch.on_epoch_end()
    >>> _, weights = aggregate(stch, jacobian, losses=[0.5, 2.0])
    >>> [round(w, 4) for w in weights.tolist()]
    [1.3333, 0.6667]

    Reference:
        Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective
        Optimization", ICML 2024, arXiv:2402.19078. LibMTL's STCH agrees, adds
        1e-20 inside the logarithms and takes no preference; TorchJD's STCH is
        the bare formula on the losses, without logarithm, nadir or warm-up.
    """

    needs_positive_losses = True

    def __init__(
        self,
        mu: float = 1.0,
        warmup_epochs: int = 4,
        preference: Sequence[float] | Mapping[str, float] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(preference, name=name, **kwargs)
        if not mu > 0:
            raise ValueError(f"`mu` must be positive. Received: mu={mu!r}")
        if int(warmup_epochs) != warmup_epochs or warmup_epochs < 0:
            raise ValueError(
                "`warmup_epochs` must be an integer of 0 or more. "
                f"Received: warmup_epochs={warmup_epochs!r}"
            )
        self.mu = float(mu)
        self.warmup_epochs = int(warmup_epochs)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the running sums and the nadir, all `(T,)`."""
        self.loss_sums = self.add_state("loss_sums", input_shape)
        self.loss_counts = self.add_state("loss_counts", input_shape)
        self.epochs_seen = self.add_state("epochs_seen", input_shape)
        self.nadirs = self.add_state("nadirs", input_shape)
        super().build(input_shape)

    def observe(self, losses: Any, present: Any) -> None:
        """Adds the losses of present tasks to the epoch's sums."""
        values, here = positive_losses(losses, present)
        # A loss that overflowed must not spoil the mean of its epoch.
        counted = ops.logical_and(here, ops.isfinite(values))
        values = ops.where(counted, values, ops.zeros_like(values))
        self.loss_sums.assign_add(ops.cast(values, self.loss_sums.dtype))
        self.loss_counts.assign_add(ops.cast(counted, self.loss_counts.dtype))

    def task_weights(self, losses: Any, present: Any) -> Any:
        """Softmax weights n λ_t p_t / L_t, or λ_t / L_t in the warm-up."""
        values, here = positive_losses(losses, present)
        scales, scores, _, smooth = self._scores(values, here)
        total = ops.maximum(ops.sum(scores), 1e-30)
        parts = ops.where(smooth, _count(scores, here) * scores / total, 1.0)
        return ops.cast(parts * scales / values, losses.dtype)

    def loss(self, losses: Any, present: Any) -> Any:
        """The smooth maximum, or Σ λ_t log L_t in the warm-up."""
        self.observe(ops.stop_gradient(losses), present)
        values, here = positive_losses(losses, present)
        scales, scores, top, smooth = self._scores(values, here)
        total = ops.maximum(ops.sum(scores), 1e-30)
        maximum = _count(scores, here) * (self.mu * ops.log(total) + top)
        warmup = ops.sum(scales * ops.log(values))
        return ops.cast(ops.where(smooth, maximum, warmup), losses.dtype)

    def _scores(self, values: Any, here: Any) -> tuple[Any, Any, Any, Any]:
        """λ, exp((λ log(L/N) − top) / μ), top, and whether N is known."""
        scales = _count(values, here) * self.shares(values, here)
        nadirs = ops.cast(self.nadirs, values.dtype)
        known = nadirs > 0
        smooth = ops.all(ops.logical_or(known, ops.logical_not(here)))
        nadirs = ops.where(known, nadirs, ops.ones_like(nadirs))
        heights = scales * (ops.log(values) - ops.log(nadirs))
        top = ops.max(ops.where(here, heights, ops.min(heights)))
        top = ops.stop_gradient(top)
        mask = ops.cast(here, values.dtype)
        scores = mask * ops.exp(mask * (heights - top) / self.mu)
        return scales, scores, top, smooth

    def on_epoch_end(self) -> None:
        """Takes the epoch's means as the nadir, if it is the epoch for it."""
        seen = self.loss_counts > 0
        due = ops.logical_and(seen, self.epochs_seen == self.warmup_epochs)
        means = self.loss_sums / ops.maximum(self.loss_counts, 1.0)
        self.nadirs.assign(ops.where(due, means, self.nadirs))
        self.epochs_seen.assign_add(ops.cast(seen, self.epochs_seen.dtype))
        self.loss_sums.assign(ops.zeros_like(self.loss_sums))
        self.loss_counts.assign(ops.zeros_like(self.loss_counts))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "mu": self.mu,
            "warmup_epochs": self.warmup_epochs,
        }


def _count(like: Any, here: Any) -> Any:
    return ops.sum(ops.cast(here, like.dtype))
