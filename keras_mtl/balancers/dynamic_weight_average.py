"""Weights by how slowly each loss fell over the last epochs."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.linalg import at_least_float32


@registry.register("dynamic_weight_average")
class DynamicWeightAverage(LossBalancer):
    """Gives more weight to tasks whose loss fell least, once per epoch.

    For losses that fall at different speeds, at no cost. Between epoch means
    r_t = L_t(epoch − 1) / L_t(epoch − 2), with a temperature τ:

        w = T · softmax(r / τ)

    A task counts as r = 1 until it has been seen in two epochs, so weights
    are even for the first two. Epochs end by `on_epoch_end`.

    Args:
        temperature: τ; the larger, the more even the weights.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> dwa, jacobian = DynamicWeightAverage(), [[-4.0, 1.0], [6.0, 1.0]]
    >>> for losses in ([1.0, 1.0], [1.0, 0.5]):
    ...     _ = aggregate(dwa, jacobian, losses=losses)
    ...     dwa.on_epoch_end()
    >>> _, weights = aggregate(dwa, jacobian, losses=[1.0, 0.5])
    >>> [round(w, 4) for w in weights.tolist()]
    [1.1244, 0.8756]

    Reference:
        Liu, Johns and Davison, "End-to-End Multi-Task Learning with
        Attention", CVPR 2019, arXiv:1803.10704. LibMTL's DWA and
        TorchJD's agree.
    """

    def __init__(
        self, temperature: float = 2.0, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be positive. "
                f"Received: temperature={temperature!r}"
            )
        self.temperature = float(temperature)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the running sums and the means of two epochs, all `(T,)`."""
        self.loss_sums = self.add_state("loss_sums", input_shape)
        self.loss_counts = self.add_state("loss_counts", input_shape)
        self.last_means = self.add_state("last_means", input_shape)
        self.earlier_means = self.add_state("earlier_means", input_shape)
        self.epochs_seen = self.add_state("epochs_seen", input_shape)
        super().build(input_shape)

    def observe(self, losses: Any, present: Any) -> None:
        """Adds the losses of present tasks to the epoch's sums."""
        # A loss that overflowed must not spoil the mean of its epoch.
        counted = ops.logical_and(present, ops.isfinite(losses))
        values = ops.where(counted, losses, ops.zeros_like(losses))
        self.loss_sums.assign_add(ops.cast(values, self.loss_sums.dtype))
        self.loss_counts.assign_add(ops.cast(counted, self.loss_counts.dtype))

    def task_weights(self, losses: Any, present: Any) -> Any:
        """T · softmax(r / τ) over the present tasks."""
        wide = at_least_float32(losses)
        last = ops.cast(self.last_means, wide.dtype)
        earlier = ops.cast(self.earlier_means, wide.dtype)
        known = ops.logical_and(self.epochs_seen > 1.5, earlier != 0)
        ratios = last / ops.where(known, earlier, ops.ones_like(earlier))
        known = ops.logical_and(known, ops.isfinite(ratios))
        ratios = ops.where(known, ratios, ops.ones_like(ratios))
        here = ops.cast(present, wide.dtype)
        highest = ops.max(ops.where(present, ratios, ops.min(ratios)))
        scores = here * ops.exp((ratios - highest) / self.temperature * here)
        count, total = ops.sum(here), ops.sum(scores)
        weights = count * scores / ops.maximum(total, 1e-30)
        return ops.cast(weights, losses.dtype)

    def on_epoch_end(self) -> None:
        """Takes the epoch's means into the history and starts anew."""
        seen = self.loss_counts > 0
        means = self.loss_sums / ops.maximum(self.loss_counts, 1.0)
        # A task without a label in the whole epoch keeps its history.
        self.earlier_means.assign(
            ops.where(seen, self.last_means, self.earlier_means)
        )
        self.last_means.assign(ops.where(seen, means, self.last_means))
        self.epochs_seen.assign_add(ops.cast(seen, self.epochs_seen.dtype))
        self.loss_sums.assign(ops.zeros_like(self.loss_sums))
        self.loss_counts.assign(ops.zeros_like(self.loss_counts))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "temperature": self.temperature}
