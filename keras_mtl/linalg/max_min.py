"""The direction in a ball around the mean gradient that all tasks like."""

from typing import Any

from keras import ops

from keras_mtl.linalg.gram import unit_rows
from keras_mtl.linalg.pivoting import pivot
from keras_mtl.linalg.precision import epsilon, smallest, solver


@solver
def max_min_in_ball(gram: Any, present: Any, radius: float) -> Any:
    """Weights u ≥ 0 of the move Jᵀu that lifts the least-served task most.

    With the mean gradient g₀ of the present tasks, d = g₀ + Jᵀu solves

        max_d min_t g_tᵀd   subject to   ‖d − g₀‖ ≤ c‖g₀‖,

    whose dual is min over the simplex of wᵀG1/T + c‖g₀‖√(wᵀGw), u ∝ w.
    The problem is solved exactly, along the path of the level that tasks
    are lifted to: u is linear in it between the points where a task joins
    or leaves the support, and the ball's border is a quadratic's root.

    Where the gradients balance each other out before the border is reached,
    no farther move helps and the shortest best one is given. As in
    `nonnegative_quadratic`, the arithmetic is in float64 and `4·√T·eps` is
    added to the diagonal of the cosines.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.
        radius: c, the ball's radius in lengths of g₀.

    Returns:
        u `(T,)`; zero for absent tasks.
    """
    size = gram.shape[0]
    given, eps = gram.dtype, max(epsilon(gram), 2e-13)
    gram = ops.cast(gram, "float64")
    radius = ops.convert_to_tensor(radius, dtype="float64")
    tiny = smallest(gram)
    angles, lengths, active = unit_rows(gram, present)
    ridge = 4 * size**0.5 * eps
    angles = angles + ridge * ops.eye(size, dtype="float64")
    zeros = ops.zeros_like(lengths)
    infinite = ops.full_like(lengths, float("inf"))
    count = ops.maximum(ops.sum(ops.cast(present, gram.dtype)), 1.0)
    products = ops.sum(ops.where(present[None, :], gram, 0.0 * gram), axis=1)
    products = products / count  # g_tᵀg₀
    square = ops.sum(ops.where(present, products, zeros)) / count  # ‖g₀‖²
    # Below this, ‖g₀‖² is what rounding left of larger numbers.
    least = eps * ops.max(ops.diagonal(gram)) / count
    moving = least > 0
    square = ops.maximum(square, least)
    mean_length = ops.sqrt(ops.where(moving, square, ops.ones_like(square)))
    toward_mean = ops.where(active, products / lengths / mean_length, zeros)
    shortest = ops.min(ops.where(active, lengths, infinite))
    inverse_lengths = ops.where(active, shortest / lengths, zeros)
    still = ops.any(ops.logical_and(present, ops.logical_not(active)))

    # y = Qv + h − s·a ≥ 0, with v = u·n/‖g₀‖ and s the level of the penalty;
    # aaᵀ in Q keeps the problem bounded where no level above 0 exists.
    matrix = angles + inverse_lengths[:, None] * inverse_lengths[None, :]
    indices = ops.arange(size)
    nobody = ops.zeros((size,), dtype="bool")

    def inner(left: Any, right: Any) -> Any:
        return ops.sum(left * ops.matmul(angles, right[:, None])[:, 0])

    def way_to_end(move: Any, rate: Any, level: Any) -> Any:
        """How far s may rise until v meets the border; inf if it never does."""
        curve, slope = inner(rate, rate), inner(rate, move)
        room = ops.maximum(radius**2 - inner(move, move), 0.0)
        total = ops.sum(ops.abs(rate))
        root = ops.sqrt(slope * slope + curve * room)
        # The form of the root that does not subtract equals from equals.
        border = ops.where(
            slope > 0,
            room / ops.maximum(slope + root, tiny),
            (root - slope) / ops.maximum(curve, tiny),
        )
        border = ops.where(total > 0, border, infinite[0])
        # Where the support's gradients balance out, v grows but Jᵀu does not,
        # and no gain above 0 can be had; nor with a task without a gradient.
        gain = level - ops.sum(inverse_lengths * move)
        growth = 1.0 - ops.sum(inverse_lengths * rate)
        to_zero = ops.maximum(-gain, 0.0) / ops.maximum(growth, tiny)
        own = curve - ridge * ops.sum(rate * rate)
        balanced = ops.logical_and(total > 0, own < 2 * eps * total * total)
        bounded = ops.logical_or(still, balanced)
        return ops.where(bounded, ops.minimum(border, to_zero), border)

    def unfinished(
        tableau: Any, support: Any, blocked: Any, level: Any, done: Any
    ) -> Any:
        return ops.logical_not(done)

    def step(
        tableau: Any, support: Any, blocked: Any, level: Any, done: Any
    ) -> Any:
        values, rates = tableau[:, -2], tableau[:, -1]
        rate = ops.where(support, rates, zeros)
        way = way_to_end(ops.where(support, values, zeros), rate, level)
        falling = ops.logical_and(
            ops.logical_and(active, ops.logical_not(blocked)),
            rates < -8 * eps * ops.sum(ops.abs(rate)),
        )
        divisors = ops.where(falling, rates, -ops.ones_like(rates))
        breaks = ops.where(falling, values / -divisors, infinite)
        index = ops.argmin(breaks)
        next_break = ops.maximum(ops.min(breaks), 0.0)
        done = way <= next_break
        way = ops.minimum(way, next_break)
        way = ops.where(ops.isfinite(way), way, ops.zeros_like(way))
        # The column holds the values at the present level: kept for level 0,
        # large ones would cancel.
        chosen = indices == ops.cast(index, indices.dtype)
        values = values + way * rates
        values = ops.where(
            ops.logical_and(chosen, ops.logical_not(done)), zeros, values
        )
        tableau = ops.concatenate(
            [tableau[:, :-2], values[:, None], tableau[:, -1:]], axis=1
        )
        level = level + way
        usable = ops.take(ops.diagonal(tableau), index) > ridge / 4
        moves = ops.logical_and(usable, ops.logical_not(done))
        tableau = ops.where(moves, pivot(tableau, index, support), tableau)
        support = ops.logical_xor(support, ops.logical_and(chosen, moves))
        blocked = ops.where(
            moves,
            nobody,
            ops.logical_or(
                blocked, ops.logical_and(chosen, ops.logical_not(usable))
            ),
        )
        return tableau, support, blocked, level, done

    ratios = ops.where(
        active,
        toward_mean / ops.where(active, inverse_lengths, 1.0 + zeros),
        infinite,
    )
    lowest = ops.min(ratios)
    level = ops.where(ops.isfinite(lowest), lowest, ops.zeros_like(lowest))
    done = ops.logical_or(ops.logical_not(moving), radius == 0)
    start = toward_mean - level * inverse_lengths
    tableau = ops.concatenate(
        [matrix, start[:, None], -inverse_lengths[:, None]], axis=1
    )
    tableau, support, _, level, _ = ops.while_loop(
        unfinished,
        step,
        (tableau, nobody, nobody, level, done),
        maximum_iterations=8 * size + 8,
    )
    move = ops.where(support, tableau[:, -2], zeros)
    return ops.cast(ops.maximum(move, 0.0) * mean_length / lengths, given)
