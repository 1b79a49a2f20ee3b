"""How far weights miss the conditions of the problem that they solve.

Everything here is worked out in float64 from G and the weights alone, by
optimality conditions rather than by another solver. Every task's condition
counts in units of its own gradient's length: relative to ‖G‖ alone, gradients
a million times shorter than others could be ignored. Where a condition is a
difference of large terms, it counts relative to their sum: the weights then
solve exactly the problem of a matrix that differs from G by that much.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from keras import ops
from scipy.optimize import nnls

from keras_mtl import balancers
from keras_mtl.linalg import dual_cone_projection


def split(gram):
    """The cosines (0 beside a zero row), the lengths, and the non-zero rows."""
    lengths = np.sqrt(np.diag(gram))
    active = lengths > 0
    divisors = np.where(active, lengths, 1.0)
    return gram / divisors / divisors[:, None], lengths, active


def shortest(gram, weights):
    """The shortest point of the hull: g_tᵀd ≥ ‖d‖² for each t."""
    _, lengths, active = split(gram)
    outside = max(-weights.min(), abs(weights.sum() - 1))
    least = lengths[active].min(initial=np.inf)
    if not active.all():
        # A row of zeros is in the hull: d has to be zero.
        return max(outside, (abs(weights) * lengths).max() / least)
    square = weights @ gram @ weights
    return max(outside, ((square - gram @ weights) / (lengths * least)).max())


def shortest_of_units(gram, weights):
    """The same for unit gradients; the weights are those of the gradients."""
    cosines, lengths, active = split(gram)
    if not active.all():
        return shortest(gram, weights)
    shares = weights * lengths
    return shortest(cosines, shares / shares.sum())


def least_gain(gram, weights, radius):
    """The largest least gain min_t g_tᵀd over the ball ‖d − g₀‖ ≤ c‖g₀‖.

    What is missed is a duality gap. It holds square roots of what may cancel,
    so that rounding G by ε may move it by √ε; given is instead the smallest ε
    for which there is no gap, with entries of C within ε of what they are.
    """
    lengths = np.sqrt(np.diag(gram))
    mean = np.full(len(gram), 1 / len(gram))
    move = weights - mean
    points = [_hull_point(gram)]
    if move.clip(0).sum() > 0:
        points.append(move.clip(0) / move.clip(0).sum())

    def square(vector, error):
        size = abs(vector) @ lengths
        return max(vector @ gram @ vector + error * size**2, 0.0)

    def proven(point, error):
        # Each point of the simplex proves a bound on the least gain.
        along = point @ gram @ mean - error * (point @ lengths) * (
            mean @ lengths
        )
        ball = radius * np.sqrt(square(mean, -error))
        return along + ball * np.sqrt(square(point, -error))

    def solved(error):
        inside = square(move, -error) <= radius**2 * square(mean, error)
        gains = gram @ weights + error * lengths * (abs(weights) @ lengths)
        return inside and gains.min() >= min(
            proven(point, error) for point in points
        )

    low, high = -18.0, 1.0
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (low, middle) if solved(10**middle) else (middle, high)
    return max(10**high, -move.min())


def even_projections(gram, weights):
    """Equal projections on all unit gradients, or nearest to equal."""
    cosines, lengths, active = split(gram)
    along = weights * lengths
    # The normal equations of C·along = κ·1: zero rows take no part.
    found = cosines @ (cosines @ along)
    wanted = cosines @ active.astype(float)
    scale = (found @ wanted) / max(wanted @ wanted, 1e-300)
    norm = np.linalg.norm(cosines, 2)
    missed = abs(found - scale * wanted).max()
    return missed / (norm**2 * max(abs(along).max(), 1e-300))


def fair(gram, weights, alpha):
    """Gw = w^{−1/α}."""
    active = np.diag(gram) > 0
    assert (weights[~active] == 0).all()
    if not (weights[active] > 0).all():
        return np.inf
    inner, weights = gram[np.ix_(active, active)], weights[active]
    gains = weights ** (-1 / alpha)
    return (abs(inner @ weights - gains) / (abs(inner) @ weights)).max()


def nearest_in_cone(gram, weights, start):
    """d nearest to Jᵀu with Jd ≥ 0: w − u ≥ 0, Gw ≥ 0, one of the two 0."""
    cosines, lengths, active = split(gram)
    move, along = (weights - start) * lengths, weights * lengths
    gains = cosines @ along
    missed = abs(np.minimum(move, gains)[active]).max()
    scale = (abs(cosines) @ (abs(along) + abs(start * lengths))).max()
    return missed / max(scale, 1e-300)


def each_nearest_in_cone(gram, projections):
    """The same for each gradient, one a row of `projections`."""
    starts = np.eye(len(gram))
    return max(
        nearest_in_cone(gram, weights, start)
        for weights, start in zip(projections, starts, strict=True)
    )


def aligned(gram, weights, eps):
    """Gw = σ G^{½} 1/T, with σ² the smallest eigenvalue that counts."""
    values, vectors = np.linalg.eigh(gram)
    along = vectors.T @ np.full(len(gram), 1 / len(gram))
    share = values / values.max()
    cutoff = 8 * len(gram) * eps
    # Near the cutoff, rounding decides.
    limits = [cutoff, *share[(share > cutoff / 4) & (share < cutoff * 4)]]
    # So it does of the smallest eigenvalue, as float64 has it here.
    noise = 4 * np.finfo("float64").eps * values.max()
    missed = []
    for limit in limits:
        kept = share >= limit
        components = np.where(kept, np.sqrt(values.clip(0)) * along, 0.0)
        wanted, found = vectors @ components, gram @ weights
        smallest = values[kept].min() + np.array([-noise, noise])
        bounds = np.sqrt(smallest.clip(0))
        sigma = found @ wanted / max(wanted @ wanted, 1e-300)
        missed.append(abs(found - sigma.clip(*bounds) * wanted).max())
    return min(missed) / values.max()


def _hull_point(gram):
    """The weights of the shortest point of the hull, by SciPy."""
    cosines, lengths, active = split(gram)
    if not active.all():
        return (~active) / (~active).sum()
    values, vectors = np.linalg.eigh(cosines)
    root = vectors * np.sqrt(values.clip(0))
    inverse = lengths.min() / lengths
    point, _ = nnls(
        np.vstack([root.T, inverse]),
        np.append(np.zeros(len(gram)), 1.0),
    )
    weights = point * inverse
    return weights / weights.sum()


@dataclass(frozen=True)
class Problem:
    """A method whose weights solve a problem.

    Attributes:
        name: The method's name in the registry.
        arguments: Of the method.
        residual: How far `(gram, weights)` miss the problem's conditions.
        solve: What is solved in its place, of `(gram, present)`.
    """

    name: str
    residual: Callable[..., float]
    arguments: dict[str, Any] = field(default_factory=dict)
    solve: Callable[..., Any] | None = None

    @property
    def label(self):
        """The name with the arguments."""
        return " ".join(
            [self.name, *(f"{k}={v}" for k, v in self.arguments.items())]
        )

    def function(self, num_tasks):
        """The weights as a function of `(gram, present)`."""
        if self.solve is not None:
            return self.solve
        method = balancers.get(self.name, **self.arguments)
        method.build((num_tasks,))
        return lambda gram, present: method.task_weights(
            gram, ops.ones_like(ops.diagonal(gram)), present
        )


def _all_projections(gram, present):
    identity = ops.eye(gram.shape[0], dtype=gram.dtype)
    return dual_cone_projection(gram, present, identity)


def _from_mean(gram, weights):
    return nearest_in_cone(gram, weights, np.full(len(gram), 1 / len(gram)))


def problems(dtype):
    """Every method whose weights solve a problem, for one dtype."""
    eps = float(np.finfo(dtype).eps)
    return (
        Problem("aligned_mtl", functools.partial(aligned, eps=eps)),
        *(
            Problem("cagrad", functools.partial(least_gain, radius=c), {"c": c})
            for c in (0.4, 1.0, 3.0)
        ),
        Problem("config", even_projections),
        Problem("dualproj", _from_mean),
        *(
            Problem("fairgrad", functools.partial(fair, alpha=a), {"alpha": a})
            for a in (0.5, 1.0, 2.0)
        ),
        Problem("imtlg", even_projections),
        Problem("mgda", shortest),
        Problem("mgda", shortest_of_units, {"normalize": "l2"}),
        Problem(
            "nash_mtl",
            functools.partial(fair, alpha=1.0),
            {"max_norm": None},
        ),
        # The mean of all tasks' projections, each of which is looked at.
        Problem("upgrad", each_nearest_in_cone, solve=_all_projections),
    )
