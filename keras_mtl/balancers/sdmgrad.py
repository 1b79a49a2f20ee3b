"""MGDA near a wanted direction, from two independent samples."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, project_on_simplex, shares


@registry.register("sdmgrad")
class SDMGrad(GradientBalancer):
    """Leans from the mean gradient toward MGDA's, without their bias.

    For noisy gradients: MGDA for λ = 0, the mean gradient for large λ. With
    the gradients J₁ and J₂ of the two halves of a batch and even weights 1/T,
    w takes S steps on the simplex Δ, from where it was in the last batch:

        w ← Π_Δ(w − β J₁J₂ᵀ (w + λ/T)),   d = Jᵀ(w + λ/T)

    Independent halves make J₁J₂ᵀ right on average. It costs one more backward
    pass per task. A task that is absent keeps its share of w.

    Args:
        lambda_: λ: how strongly d is tied to the mean gradient.
        learning_rate: β, in units of 1 / (mean length of the gradients)². The
            default is that of the authors' code, which keeps w in the corners
            of Δ; below 1/T it settles.
        momentum: Part of the last step of w in the next one, within a batch.
            From the authors' code; the paper's algorithm has none.
        n_iter: S: steps of w in each batch.
        rescale: Divide d by 1 + λ, as the authors' code does, so that weights
            sum to 1.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     SDMGrad(learning_rate=0.1, n_iter=200),
    ...     [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]],
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.78, 0.52]

    Reference:
        Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning",
        NeurIPS 2023, arXiv:2305.18409. LibMTL's and TorchJD's SDMGrad rescale
        always; LibMTL takes a third batch for d and β = 5, TorchJD leaves the
        batches to the caller.
    """

    double_sampled = True
    exact_only = (
        "its two samples are different examples, whose gradients at the "
        "features have nothing in common"
    )

    def __init__(
        self,
        lambda_: float = 0.3,
        learning_rate: float = 10.0,
        momentum: float = 0.5,
        n_iter: int = 20,
        rescale: bool = False,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not lambda_ >= 0:
            raise ValueError(
                f"`lambda_` must not be negative. Received: lambda_={lambda_!r}"
            )
        if not learning_rate > 0:
            raise ValueError(
                "`learning_rate` must be positive. "
                f"Received: learning_rate={learning_rate!r}"
            )
        if not 0 <= momentum < 1:
            raise ValueError(
                f"`momentum` must be in [0, 1). Received: momentum={momentum!r}"
            )
        if int(n_iter) != n_iter or n_iter < 1:
            raise ValueError(
                "`n_iter` must be a positive integer: steps of the weights in "
                f"each batch. Received: n_iter={n_iter!r}"
            )
        self.lambda_ = float(lambda_)
        self.learning_rate = float(learning_rate)
        self.momentum = float(momentum)
        self.n_iter = int(n_iter)
        self.rescale = bool(rescale)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates w `(T,)`, in units of an even share."""
        self.balance = self.add_state("balance", input_shape, "ones")
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights w + λ/T, after the steps of w."""
        wide = at_least_float32(gram)
        finite = ops.all(ops.isfinite(wide))
        usable = ops.where(finite, wide, ops.zeros_like(wide))
        before, total = shares(ops.cast(self.balance, wide.dtype), present)
        even, count = shares(ops.ones_like(before), present)
        # Of two samples, the product may be negative.
        lengths = ops.sqrt(ops.maximum(ops.diagonal(usable), 0.0))
        mean = ops.sum(lengths) / ops.maximum(count, 1.0)
        mean = ops.where(mean > 0, mean, ops.ones_like(mean))
        matrix = usable / mean / mean

        def step(_: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
            weights, velocity = state
            point = weights + self.lambda_ * even
            slope = ops.matmul(matrix, point[:, None])[:, 0]
            velocity = self.momentum * velocity + slope
            point = weights - self.learning_rate * velocity
            return project_on_simplex(point, present), velocity

        weights, _ = ops.fori_loop(
            0, self.n_iter, step, (before, ops.zeros_like(before))
        )
        # A step that overflowed under loss scaling must leave no trace.
        weights = ops.where(finite, weights, before)
        kept = ops.cast(weights * total, self.balance.dtype)
        self.balance.assign(ops.where(present, kept, self.balance))
        result = weights + self.lambda_ * even
        if self.rescale:
            result = result / (1.0 + self.lambda_)
        return ops.cast(result, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "lambda_": self.lambda_,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "n_iter": self.n_iter,
            "rescale": self.rescale,
        }
