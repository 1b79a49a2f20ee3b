"""The gradients that have the most company."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32


@registry.register("krum")
class Krum(GradientBalancer):
    """Averages the m gradients that lie closest to their neighbours.

    For many tasks of which up to f may send gradients that are broken or
    malicious: those lie far from the others and are left out as a whole.
    Each of n present tasks is scored by its n − f − 2 nearest neighbours,

        s_t = Σ_{u near t} ‖g_t − g_u‖²,   w_t = 1/m for the m lowest scores

    Tasks that tie for the last places share them: two mutual nearest
    neighbours are no order. The paper wants n > 2f + 2; with fewer tasks, the
    nearest neighbour alone is counted.

    Args:
        n_byzantine: f: how many tasks may be bad.
        n_selected: m: how many gradients to average; more than 1 is the
            paper's Multi-Krum.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> _, weights = aggregate(
    ...     Krum(), [[1.0, 0.0], [1.1, 0.0], [0.8, 0.0], [9.0, 9.0]]
    ... )
    >>> weights.tolist()
    [0.5, 0.5, 0.0, 0.0]

    Reference:
        Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine Learning with
        Adversaries", NeurIPS 2017, arXiv:1703.02757. TorchJD's Krum adds up
        distances that are not squared, breaks ties by the order of the tasks
        and raises for fewer than f + 3 of them; LibMTL has none.
    """

    def __init__(
        self,
        n_byzantine: int = 1,
        n_selected: int = 1,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        if int(n_byzantine) != n_byzantine or n_byzantine < 0:
            raise ValueError(
                "`n_byzantine` must be an integer of 0 or more: how many "
                f"tasks may be bad. Received: n_byzantine={n_byzantine!r}"
            )
        if int(n_selected) != n_selected or n_selected < 1:
            raise ValueError(
                "`n_selected` must be a positive integer: how many gradients "
                f"to average. Received: n_selected={n_selected!r}"
            )
        self.n_byzantine = int(n_byzantine)
        self.n_selected = int(n_selected)

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """1/m for the m tasks with the closest neighbours."""
        wide = at_least_float32(gram)
        zeros = ops.zeros_like(ops.diagonal(wide))
        infinite = zeros + float("inf")
        count = ops.sum(ops.cast(present, "int32"))
        distances = _squared_distances(wide)
        others = ops.logical_and(
            ops.logical_and(present[:, None], present[None, :]),
            ops.logical_not(ops.eye(wide.shape[0], dtype="bool")),
        )
        distances = ops.sort(
            ops.where(others, distances, infinite[None, :]), axis=1
        )
        near = ops.maximum(count - self.n_byzantine - 2, 1)
        counted = ops.logical_and(
            ops.arange(wide.shape[0]) < near, ops.isfinite(distances)
        )
        scores = ops.sum(ops.where(counted, distances, zeros[None, :]), axis=1)
        scores = ops.where(present, scores, infinite)

        places = ops.minimum(self.n_selected, count)
        last = ops.take(ops.sort(scores), ops.maximum(places - 1, 0))
        ahead = ops.logical_and(present, scores < last)
        tied = ops.logical_and(present, scores == last)
        places, taken = ops.cast(places, wide.dtype), _count(ahead, wide.dtype)
        shared = (places - taken) / ops.maximum(_count(tied, wide.dtype), 1.0)
        weights = ops.where(tied, shared, ops.cast(ahead, wide.dtype))
        return ops.cast(weights / ops.maximum(places, 1.0), gram.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "n_byzantine": self.n_byzantine,
            "n_selected": self.n_selected,
        }


def _squared_distances(gram: Any) -> Any:
    """‖g_t − g_u‖² `(T, T)`, the same number for (t, u) and (u, t)."""
    squares = ops.diagonal(gram)
    # A product of matrices need not be symmetric to the last digit, and ties
    # must come out as ties.
    products = gram + ops.transpose(gram)
    distances = squares[:, None] + squares[None, :] - products
    return ops.maximum(distances, 0.0)


def _count(mask: Any, dtype: str) -> Any:
    return ops.sum(ops.cast(mask, dtype))
