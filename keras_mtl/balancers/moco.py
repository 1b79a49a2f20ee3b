"""MGDA on gradients that are averaged over the steps."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import TrackingBalancer, registry
from keras_mtl.linalg import at_least_float32, project_on_simplex, shares


@registry.register("moco")
class MoCo(TrackingBalancer):
    """Moves toward MGDA's weights on running means of the gradients.

    For noisy gradients, whose min-norm point says more about the noise than
    about the tasks. Each task's gradient is tracked by y_t, and λ takes one
    projected gradient step on the simplex Δ a batch; with Y the rows y_t:

        y_t ← y_t − β_k (y_t − g_t),   λ ← Π_Δ(λ − γ_k (YYᵀ + ρI) λ),   d = Yᵀλ

    in step k, with β_k = β / k^σ_β and γ_k = γ / k^σ_γ. y starts at zero and λ
    even. A task that is absent keeps its y and its share, and takes no step.
    It keeps as much memory as the gradients of all tasks.

    Args:
        beta: β: how fast gradients are tracked.
        beta_sigma: σ_β: how fast β falls; 0 for a constant.
        gamma: γ: step of λ. It counts in squared lengths of the gradients.
        gamma_sigma: σ_γ: how fast γ falls; 0 for a constant.
        rho: ρ: pull toward even weights.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(MoCo(beta=1.0), [[3.0, 0.0], [0.0, 1.0]])
    >>> [round(w, 4) for w in weights.tolist()]
    [0.3, 0.7]

    Reference:
        Fernando et al., "Mitigating Gradient Bias in Multi-objective
        Learning", ICLR 2023, arXiv:2210.12624; β and γ fall as in the
        authors' code. LibMTL's MoCo has these defaults, a softmax in the
        place of the projection, and gradients scaled to the length of their
        loss; TorchJD has none.
    """

    def __init__(
        self,
        beta: float = 0.5,
        beta_sigma: float = 0.5,
        gamma: float = 0.1,
        gamma_sigma: float = 0.5,
        rho: float = 0.0,
        wrt: str = "variables",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if not 0 < beta <= 1:
            raise ValueError(
                f"`beta` must be in (0, 1]. Received: beta={beta!r}"
            )
        others = {
            "beta_sigma": beta_sigma,
            "gamma": gamma,
            "gamma_sigma": gamma_sigma,
            "rho": rho,
        }
        for argument, value in others.items():
            if not value >= 0:
                raise ValueError(
                    f"`{argument}` must not be negative. "
                    f"Received: {argument}={value!r}"
                )
        self.beta = float(beta)
        self.beta_sigma = float(beta_sigma)
        self.gamma = float(gamma)
        self.gamma_sigma = float(gamma_sigma)
        self.rho = float(rho)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates λ in units of an even share, and steps taken, `(T,)`."""
        self.balance = self.add_state("balance", input_shape, "ones")
        self.steps_taken = self.add_state("steps_taken", input_shape)
        super().build(input_shape)

    def track(
        self, index: int, rows: Any, losses: Any, present: Any
    ) -> tuple[Any, Any]:
        """Moves y by the new gradients; y is judged, and combined."""
        y = ops.cast(self.tracks[index], rows.dtype)
        step = ops.cast(self.steps_taken, rows.dtype) + 1.0
        rate = (self.beta * ops.power(step, -self.beta_sigma))[:, None]
        here = present[:, None]
        moved = ops.where(here, y + rate * (rows - y), y)
        self.tracks[index].assign(ops.cast(moved, self.tracks[index].dtype))
        counted = ops.where(here, moved, ops.zeros_like(moved))
        return counted, counted

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """λ after its step; it sums to 1."""
        wide = at_least_float32(gram)
        weights, total = shares(ops.cast(self.balance, wide.dtype), present)
        taken = ops.cast(self.steps_taken, wide.dtype) + 1.0
        step = ops.max(ops.where(present, taken, ops.ones_like(taken)))
        rate = self.gamma * ops.power(step, -self.gamma_sigma)
        slope = ops.matmul(wide, weights[:, None])[:, 0] + self.rho * weights
        moved = project_on_simplex(weights - rate * slope, present)
        # A step that overflowed under loss scaling must leave no trace.
        moved = ops.where(ops.all(ops.isfinite(slope)), moved, weights)
        kept = ops.cast(moved * total, self.balance.dtype)
        self.balance.assign(ops.where(present, kept, self.balance))
        self.steps_taken.assign_add(ops.cast(present, self.steps_taken.dtype))
        return ops.cast(moved, gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "beta_sigma": self.beta_sigma,
            "gamma": self.gamma,
            "gamma_sigma": self.gamma_sigma,
            "rho": self.rho,
        }
