"""Constant loss weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, plain_numbers, registry


@registry.register("fixed")
class Fixed(LossBalancer):
    """Sums the losses with constant weights: Keras' own way.

    The baseline of every comparison. Weights are to be tuned by hand or by a
    search; with the right ones it is hard to beat.

        Σ_t c_t L_t

    Args:
        weights: One number for all tasks, a list, or a dict by task. By
            default 1 for each.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     Fixed([1.0, 0.5]), [[-4.0, 1.0], [6.0, 1.0]], losses=[1.0, 1.0]
    ... )
    >>> direction.tolist()
    [-1.0, 1.5]

    Reference:
        Caruana, "Multitask Learning", Machine Learning 28, 1997,
        https://doi.org/10.1023/A:1007379606734. LibMTL's EW and TorchJD's Sum
        are the case c = 1; TorchJD's Mean is c = 1/T.
    """

    task_arguments = ("weights",)

    def __init__(
        self,
        weights: float | Sequence[float] | Mapping[str, float] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        # `weights` is what Keras calls a layer's variables.
        self.coefficients = (
            1.0 if weights is None else plain_numbers(weights, "weights")
        )

    def task_weights(self, losses: Any, present: Any) -> Any:
        """The constants; zero for absent tasks."""
        constants = self.per_task(self.coefficients, "weights")
        return ops.where(
            present,
            ops.convert_to_tensor(constants, dtype=losses.dtype),
            ops.zeros_like(losses),
        )

    def logged_loss(self, losses: Any) -> Any:
        """The weighted sum, as Keras logs it under `loss_weights`."""
        everyone = ops.ones_like(losses, dtype="bool")
        return ops.sum(self.task_weights(losses, everyone) * losses)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "weights": self.coefficients}
