"""Learned scales that make all losses alike."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.balancers.uncertainty import Bounded


@registry.register("imtl_loss")
class IMTLLoss(LossBalancer):
    """Learns one scale per task that brings its loss to 1.

    For positive losses of different units, at the cost of one number per
    task. The optimizer learns s_t with the model:

        Σ_t e^{s_t} L_t − s_t

    At the optimum e^{s_t} L_t = 1: all scaled losses are alike, whatever
    their units. A task that is absent from the batch adds neither loss nor
    gradient to s_t. IMTL of the paper is this together with `IMTLG`.

    Args:
        bound: The largest |s_t|. A loss that goes to zero or below would
            otherwise drive s_t and its weight to ∞.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     IMTLLoss(), [[-4.0, 1.0], [6.0, 1.0]], losses=[1.0, 2.0]
    ... )
    >>> weights.tolist()
    [1.0, 1.0]

    Reference:
        Liu et al., "Towards Impartial Multi-Task Learning", ICLR 2021,
        https://openreview.net/forum?id=IMPnRXEWpvr. LibMTL's IMTL always
        joins it with IMTL-G, without a bound; TorchJD's IMTLL agrees, without
        a bound.
    """

    def __init__(
        self, bound: float = 10.0, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not bound > 0:
            raise ValueError(
                "`bound` must be positive: the largest absolute log scale. "
                f"Received: bound={bound!r}"
            )
        self.bound = float(bound)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates s `(T,)`."""
        self.log_scales = self.add_weight(
            shape=(int(input_shape[0]),),
            initializer="zeros",
            constraint=Bounded(self.bound),
            name="log_scales",
        )
        super().build(input_shape)

    def task_weights(self, losses: Any, present: Any) -> Any:
        """e^{s_t}; zero for absent tasks."""
        s = ops.cast(self.log_scales, losses.dtype)
        return ops.where(present, ops.exp(s), ops.zeros_like(losses))

    def loss(self, losses: Any, present: Any) -> Any:
        """Σ e^{s_t} L_t − s_t over present tasks."""
        s = ops.cast(self.log_scales, losses.dtype)
        reward = ops.where(present, s, ops.zeros_like(s))
        return ops.sum(self.task_weights(losses, present) * losses - reward)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "bound": self.bound}
