"""Learned homoscedastic uncertainty."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.balancers.base import LossBalancer, plain_numbers, registry


@registry.register("uncertainty")
class Uncertainty(LossBalancer):
    """Learns one noise level per task and weighs losses by its inverse.

    For losses of different units and noise, at the cost of one number per
    task. The optimizer learns s_t, the log variance, with the model:

        Σ_t a_t e^{−s_t} L_t + ½ s_t

    At the optimum e^{s_t} = 2 a_t L_t. A task that is absent from the batch
    adds neither loss nor gradient to s_t.

    Args:
        coefficients: a_t: one number for all tasks, a list, or a dict by
            task. By default ½ for regression tasks and 1 for all others,
            as the likelihoods have it.
        bound: The largest |s_t|. A loss that goes negative would otherwise
            drive s_t to −∞ and its weight to ∞.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     Uncertainty(coefficients=0.5),
    ...     [[-4.0, 1.0], [6.0, 1.0]],
    ...     losses=[1.0, 2.0],
    ... )
    >>> weights.tolist()
    [0.5, 0.5]

    Reference:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to
        Weigh Losses", CVPR 2018, arXiv:1705.07115. LibMTL's UW takes a = ½
        for every task and starts at s = −0.5; TorchJD's takes a = ½, too.
    """

    task_arguments = ("coefficients",)

    def __init__(
        self,
        coefficients: float
        | Sequence[float]
        | Mapping[str, float]
        | None = None,
        bound: float = 10.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not bound > 0:
            raise ValueError(
                "`bound` must be positive: the largest absolute log variance. "
                f"Received: bound={bound!r}"
            )
        if coefficients is not None:
            coefficients = plain_numbers(coefficients, "coefficients")
        self.coefficients = coefficients
        self.bound = float(bound)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates s `(T,)`."""
        self.log_variances = self.add_weight(
            shape=(int(input_shape[0]),),
            initializer="zeros",
            constraint=Bounded(self.bound),
            name="log_variances",
        )
        super().build(input_shape)

    def task_weights(self, losses: Any, present: Any) -> Any:
        """a_t e^{−s_t}; zero for absent tasks."""
        if self.coefficients is not None:
            constants = self.per_task(self.coefficients, "coefficients")
        elif self.tasks is not None:
            constants = [
                1.0 if task.classifies else 0.5 for task in self.tasks.values()
            ]
        else:
            constants = [1.0] * self.num_tasks
        s = ops.cast(self.log_variances, losses.dtype)
        a = ops.convert_to_tensor(constants, dtype=losses.dtype)
        return ops.where(present, a * ops.exp(-s), ops.zeros_like(losses))

    def loss(self, losses: Any, present: Any) -> Any:
        """Σ a_t e^{−s_t} L_t + ½ s_t over present tasks."""
        s = ops.cast(self.log_variances, losses.dtype)
        penalty = ops.where(present, 0.5 * s, ops.zeros_like(s))
        return ops.sum(self.task_weights(losses, present) * losses + penalty)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "coefficients": self.coefficients,
            "bound": self.bound,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class Bounded(keras.constraints.Constraint):
    """Keeps a variable within ±`bound` after each step of the optimizer."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def __call__(self, value: Any) -> Any:
        """The value, clipped."""
        return ops.clip(value, -self.bound, self.bound)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"bound": self.bound}
