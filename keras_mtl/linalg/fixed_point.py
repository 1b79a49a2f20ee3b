"""Weights that are a power of the gain that they bring."""

from typing import Any

from keras import ops

from keras_mtl.linalg.gram import unit_rows
from keras_mtl.linalg.precision import epsilon, smallest, solver
from keras_mtl.linalg.symmetric import definite_solve

# How far (in logarithms) the products v·y may be from what is asked for
# before more is asked.
_REACH = 2.0
_MAX_STEPS = 100


@solver
def fair_fixed_point(
    gram: Any, present: Any, alpha: float = 1.0, preference: Any = 1.0
) -> Any:
    """The positive solution w of (Gw)_t = p_t w_t^{−1/α}.

    The optimality condition of a convex problem, so there is one solution
    at most:

        min ½wᵀGw − Σ_t p_t u(w_t),   u' = w^{−1/α}

    α = 1 is the Nash bargaining solution, Gw = p / w. With unit rows it is
    the point of y = Cv, v > 0, y > 0 where v^{1/α}·y has given values, and
    is found as interior-point methods find theirs: by Newton's method on
    both conditions, v and y as independent unknowns. For α other than 1 the
    powers are led there from those of α = 1.

    Where gradients balance each other out (Pareto-stationary) no solution
    exists: w would grow without bound. `8·√T·eps` on the diagonal of C
    bounds it: then Jᵀw is near zero, and w near 1e3 (float32) or 1e7
    (float64) over the rows' lengths.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.
        alpha: α > 0. Rows whose lengths differ by 1 : 10⁶ are solved for
            α from 0.5 to 2; beyond it w itself may leave the dtype's range.
        preference: p > 0, a number or `(T,)`.

    Returns:
        w `(T,)`; zero for absent tasks and for rows of zeros.
    """
    size = gram.shape[0]
    eps, tiny = epsilon(gram), smallest(gram)
    angles, lengths, active = unit_rows(gram, present)
    zeros, ones = ops.zeros_like(lengths), ops.ones_like(lengths)
    ridge = 8 * size**0.5 * eps
    matrix = angles + ridge * ops.eye(size, dtype=gram.dtype)
    sizes = ops.abs(angles)

    # v = wn/s and y = Cv are to satisfy log y + γ log v = target.
    gamma = 1.0 / alpha
    largest = max(_bound(size, ridge, 1.0), _bound(size, ridge, gamma))
    target = ops.log(ops.cast(preference, gram.dtype) * ones)
    target = target + (gamma - 1.0) * ops.log(lengths)
    highest = ops.max(ops.where(active, target, -float("inf") * ones))
    highest = ops.where(ops.isfinite(highest), highest, 0.0 * highest)
    target = ops.where(active, target - highest, zeros)
    scale = ops.exp(highest / (1.0 + gamma))

    def times(rows: Any, vector: Any) -> Any:
        return ops.matmul(rows, vector[:, None])[:, 0]

    def unfinished(v: Any, y: Any, share: Any, error: Any) -> Any:
        return error > 8 * eps

    def step(v: Any, y: Any, share: Any, error: Any) -> Any:
        log_v, log_y = ops.log(v), ops.log(y)
        shortfall = times(matrix, v) - y
        # The products asked for lead from those of α = 1 (share 0) to the
        # target's (share 1), as far as Newton's method can follow.
        start, change = -log_v - log_y, target - (gamma - 1.0) * log_v
        room = _REACH - ops.sign(change) * (start + share * change)
        further = ops.min(room / ops.maximum(ops.abs(change), tiny))
        settled = ops.max(ops.abs(shortfall) / times(sizes, v)) < 1e-3
        further = ops.where(settled, ops.maximum(further, 0.0), 0.0 * further)
        share = ops.minimum(share + further, 1.0)
        power = 1.0 + share * (gamma - 1.0)
        products = start + share * change

        # (C + power·Y/V) Δv = Y·products − shortfall, symmetric and with
        # eigenvalues above `power` when scaled by √(v/y).
        root_v, root_y = ops.sqrt(v), ops.sqrt(y)
        scales = root_v / root_y
        system = scales[:, None] * matrix * scales[None, :]
        system = system + power * ops.eye(size, dtype=gram.dtype)
        right = root_v * root_y * products - scales * shortfall
        solution = definite_solve(system, right, power)
        relative_v = solution / (root_v * root_y)
        relative_y = products - power * relative_v
        next_v = ops.clip(v * _factor(relative_v), tiny, largest)
        next_y = ops.maximum(y * _factor(relative_y), tiny)
        # A matrix with eigenvalues below zero (a Gram matrix in TF32, say)
        # may have no solution: the last finite point is given.
        finite = ops.all(ops.isfinite(next_v + next_y))
        v, y = ops.where(finite, next_v, v), ops.where(finite, next_y, y)
        error = error_of(v)
        return v, y, share, ops.where(finite, error, ops.zeros_like(error))

    def error_of(v: Any) -> Any:
        """By how much entries of C would have to change, relative to them."""
        wanted = ops.exp(target - gamma * ops.log(v))
        errors = ops.abs(times(matrix, v) - wanted) / times(sizes, v)
        return ops.max(errors)

    v, _, _, _ = ops.while_loop(
        unfinished,
        step,
        (ones, ones, ops.zeros_like(scale), error_of(ones)),
        maximum_iterations=_MAX_STEPS,
    )
    return ops.where(active, v * (scale / lengths), zeros)


def _bound(size: int, ridge: float, gamma: float) -> float:
    """What no entry of v exceeds where C is semi-definite and products ≤ 1.

    From ridge·v_max² ≤ vᵀCv = Σ b v^{1−γ}, and v_t ≥ (b_t / T v_max)^{1/γ}.
    """
    most = size ** max(2.0 * gamma - 1.0, 1.0) / ridge ** max(gamma, 1.0)
    return float(most ** (1.0 / (1.0 + gamma)))


def _factor(change: Any) -> Any:
    """1 + change, bent where that would come near zero."""
    bent = 0.2 * ops.exp(ops.minimum(change + 0.8, 0.0))
    return ops.where(change > -0.8, 1.0 + change, bent)
