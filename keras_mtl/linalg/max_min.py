"""The direction in a ball around the mean gradient that all tasks like."""

from typing import Any

from keras import ops

from keras_mtl.linalg.gram import unit_rows
from keras_mtl.linalg.pivoting import block, pivot, refine
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
    no farther move helps and the shortest best one is given.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.
        radius: c, the ball's radius in lengths of g₀.

    Returns:
        u `(T,)`; zero for absent tasks.
    """
    size = gram.shape[0]
    eps, tiny = epsilon(gram), smallest(gram)
    angles, lengths, active = unit_rows(gram, present)
    zeros = ops.zeros_like(lengths)
    infinite = ops.full_like(lengths, float("inf"))
    count = ops.maximum(ops.sum(ops.cast(present, gram.dtype)), 1.0)
    products = ops.sum(ops.where(present[None, :], gram, 0.0 * gram), axis=1)
    products = products / count  # g_tᵀg₀
    square = ops.sum(ops.where(present, products, zeros)) / count  # ‖g₀‖²
    # Below this, ‖g₀‖² is what rounding left of larger numbers.
    moving = square > 4 * eps * ops.max(ops.diagonal(gram)) / count + tiny
    mean_length = ops.sqrt(ops.where(moving, square, ops.ones_like(square)))
    toward_mean = ops.where(active, products / lengths / mean_length, zeros)
    shortest = ops.min(ops.where(active, lengths, infinite))
    inverse_lengths = ops.where(active, shortest / lengths, zeros)
    still = ops.any(ops.logical_and(present, ops.logical_not(active)))

    # y = Qv + h − s·a ≥ 0, with v = u·n/‖g₀‖ and s the level of the penalty;
    # aaᵀ in Q keeps the problem bounded where no level above 0 exists.
    matrix = angles + inverse_lengths[:, None] * inverse_lengths[None, :]
    tableau = ops.concatenate(
        [matrix, toward_mean[:, None], -inverse_lengths[:, None]], axis=1
    )
    indices = ops.arange(size)
    nobody = ops.zeros((size,), dtype="bool")

    def inner(left: Any, right: Any) -> Any:
        return ops.sum(left * ops.matmul(angles, right[:, None])[:, 0])

    def end_of_path(offset: Any, rate: Any) -> Any:
        """The s where v = offset + s·rate meets the border; ±inf if none."""
        curve, slope = inner(rate, rate), inner(rate, offset)
        room = radius**2 - inner(offset, offset)
        total = ops.sum(ops.abs(rate))
        grows = curve > 16 * eps * total * total
        root = ops.sqrt(ops.maximum(slope * slope + curve * room, 0.0))
        # The form of the root that does not subtract equals from equals.
        border = ops.where(
            slope > 0,
            room / ops.maximum(slope + root, tiny),
            (root - slope) / ops.where(grows, curve, ops.ones_like(curve)),
        )
        # Where the support's gradients balance out, v grows but Jᵀu does not:
        # the path is at its end, and further pivots would be noise.
        balanced = ops.where(total > 0, -infinite[0], infinite[0])
        border = ops.where(grows, border, balanced)
        # A task without a gradient is never lifted above level 0.
        gain = 1.0 - ops.sum(inverse_lengths * rate)
        level_zero = ops.sum(inverse_lengths * offset) / ops.maximum(gain, tiny)
        return ops.where(still, ops.minimum(border, level_zero), border)

    def unfinished(
        tableau: Any, support: Any, blocked: Any, level: Any, done: Any
    ) -> Any:
        return ops.logical_not(done)

    def step(
        tableau: Any, support: Any, blocked: Any, level: Any, done: Any
    ) -> Any:
        values, rates = tableau[:, -2], tableau[:, -1]
        offset = ops.where(support, values, zeros)
        rate = ops.where(support, rates, zeros)
        end = end_of_path(offset, rate)
        falling = ops.logical_and(
            ops.logical_and(active, ops.logical_not(blocked)),
            rates < -8 * eps * ops.sum(ops.abs(rate)),
        )
        divisors = ops.where(falling, rates, -ops.ones_like(rates))
        breaks = ops.where(falling, -values / divisors, infinite)
        index = ops.argmin(breaks)
        next_level = ops.maximum(ops.min(breaks), level)
        done = end <= next_level
        level = ops.where(
            done, ops.where(ops.isfinite(end), end, level), next_level
        )
        chosen = indices == ops.cast(index, indices.dtype)
        usable = ops.take(ops.diagonal(tableau), index) > 8 * eps
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
    tableau, support, _, level, _ = ops.while_loop(
        unfinished,
        step,
        (tableau, nobody, nobody, level, done),
        maximum_iterations=8 * size + 8,
    )
    move = ops.where(support, tableau[:, -2] + level * tableau[:, -1], zeros)
    right = ops.where(support, level * inverse_lengths - toward_mean, zeros)
    inverse = block(tableau[:, :size], support)
    for _ in range(2):
        move = refine(inverse, block(matrix, support), right, move)
    return ops.maximum(move, 0.0) * mean_length / lengths
