"""Multi-objective gradients from two independent samples."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, project_on_simplex, shares


@registry.register("modo")
class MoDo(GradientBalancer):
    """Takes one step a batch toward MGDA's weights, without their bias.

    For noisy gradients, whose min-norm point says more about the noise than
    about the tasks. With the gradients J₁ and J₂ of the two halves of a batch,
    λ takes one projected gradient step on the simplex Δ, and d uses it:

        λ ← Π_Δ(λ − γ (J₁J₂ᵀ + ρI) λ),   d = Jᵀλ

    Independent halves make J₁J₂ᵀ right on average. It costs one more backward
    pass per task. λ starts even; a task that is absent keeps its share.

    Args:
        gamma: γ: step of λ. It counts in squared lengths of the gradients.
        rho: ρ: pull toward even weights; 0 for none.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> modo, jacobian = MoDo(), [[3.0, 0.0], [0.0, 1.0]]
    >>> _, weights = aggregate(modo, jacobian)
    >>> [round(w, 4) for w in weights.tolist()]
    [0.3, 0.7]

    Reference:
        Chen, Fernando, Ying and Chen, "Three-Way Trade-Off in Multi-Objective
        Learning", NeurIPS 2023, arXiv:2305.20057; ρ is from the authors'
        code, and d uses both samples as in the JMLR version. LibMTL's MoDo
        takes a third batch for d and γ = .001; TorchJD's has the same update
        and leaves the batches to the caller.
    """

    double_sampled = True
    exact_only = (
        "its two samples are different examples, whose gradients at the "
        "features have nothing in common"
    )

    def __init__(
        self,
        gamma: float = 0.1,
        rho: float = 0.1,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if not gamma > 0:
            raise ValueError(
                f"`gamma` must be positive. Received: gamma={gamma!r}"
            )
        if not rho >= 0:
            raise ValueError(f"`rho` must not be negative. Received: {rho!r}")
        self.gamma = float(gamma)
        self.rho = float(rho)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates λ `(T,)`, in units of an even share."""
        self.balance = self.add_state("balance", input_shape, "ones")
        super().build(input_shape)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """λ after its step; it sums to 1."""
        wide = at_least_float32(gram)
        weights, total = shares(ops.cast(self.balance, wide.dtype), present)
        slope = ops.matmul(wide, weights[:, None])[:, 0] + self.rho * weights
        moved = project_on_simplex(weights - self.gamma * slope, present)
        # A step that overflowed under loss scaling must leave no trace.
        moved = ops.where(ops.all(ops.isfinite(slope)), moved, weights)
        kept = ops.cast(moved * total, self.balance.dtype)
        self.balance.assign(ops.where(present, kept, self.balance))
        return ops.cast(moved, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "gamma": self.gamma, "rho": self.rho}
