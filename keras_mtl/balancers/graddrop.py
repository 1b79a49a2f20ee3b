"""Sign-consistent masking of gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.balancers.base import CoordinateBalancer, plain_numbers, registry


@registry.register("graddrop")
class GradDrop(CoordinateBalancer):
    """Keeps, in each coordinate, the gradients of one sign, at random.

    Noise that settles only where gradients agree. With the purity
    P = ½ (1 + Σ_t g_t / Σ_t |g_t|) of a coordinate and U uniform on [0, 1),
    positive gradients are kept if P > U, else the negative ones:

        d = Σ_t (ℓ_t + (1 − ℓ_t) · kept_t) g_t

    The mean of d over the noise is the plain sum where signs agree.

    Args:
        leak: ℓ: the part of a task's gradient that is never dropped, in
            [0, 1]; one number for all tasks, a list, or a dict by task.
        seed: Seed of U.
        wrt: See `GradientBalancer`. The paper masks gradients at the
            features and first multiplies them by the sign of the activation
            and sums over the batch; coordinates are taken as they are here.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, _ = aggregate(GradDrop(seed=0), [[1.0, -2.0], [3.0, -4.0]])
    >>> direction.tolist()
    [4.0, -6.0]

    Reference:
        Chen et al., "Just Pick a Sign", NeurIPS 2020, arXiv:2010.06808.
        LibMTL's GradDrop follows the paper's sign trick at the features and
        has one leak; TorchJD's agrees with this on a Jacobian.
    """

    task_arguments = ("leak",)

    def __init__(
        self,
        leak: float | Sequence[float] | Mapping[str, float] = 0.0,
        seed: int | None = None,
        wrt: str = "variables",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        self.leak = plain_numbers(leak, "leak", low=0.0, high=1.0)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def combine(self, jacobian: Any, losses: Any, present: Any) -> Any:
        """The masked sum `(P,)` of the rows of a Jacobian `(T, P)`."""
        leaks = self.per_task(self.leak, "leak")
        # Σ|g| = Σg⁺ − Σg⁻: two sums give the purity and both outcomes.
        positive, negative = _signed_sums(jacobian)
        noise = keras.random.uniform(
            ops.shape(positive), seed=self.seed_generator, dtype="float32"
        )
        absolute = ops.cast(positive - negative, "float32")
        keeps_positive = ops.cast(positive, "float32") > noise * absolute
        if not any(leaks):
            return ops.where(keeps_positive, positive, negative)
        leak = ops.convert_to_tensor(leaks, dtype=jacobian.dtype)[:, None]
        positive, negative = _signed_sums((1.0 - leak) * jacobian)
        return ops.sum(leak * jacobian, axis=0) + ops.where(
            keeps_positive, positive, negative
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "leak": self.leak, "seed": self.seed}


def _signed_sums(jacobian: Any) -> tuple[Any, Any]:
    """Sums over the tasks of what is positive, and of what is negative."""
    positive = ops.sum(ops.relu(jacobian), axis=0)
    return positive, ops.sum(jacobian, axis=0) - positive
