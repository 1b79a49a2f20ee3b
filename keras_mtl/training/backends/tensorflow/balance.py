"""From the tasks' gradients to one direction, by what the balancer says."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from keras_mtl.balancers.base import CoordinateBalancer, TrackingBalancer
from keras_mtl.linalg.gram import gram, mean_cosines, min_cosine
from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.backward import (
    Backward,
    Block,
    Gradients,
    Mix,
    mixed,
)
from keras_mtl.training.backends.tensorflow.branches import usually, whole
from keras_mtl.training.backends.tensorflow.layerwise import LayerwiseBackward

# A method that needs no Gram matrix has one made only every so many steps,
# for the log of cosines.
COSINE_EVERY = 16


@dataclass
class Situation:
    """What a balancer may look at in one step.

    Attributes:
        losses: Weighted losses `(T,)`, 0 for a task that is not there.
        labelled: Which tasks have a label `(T,)`.
        present: Which of them have a loss that can be used `(T,)`.
        scale: The factor of loss scaling in all gradients.
        masks: Whether a task whose gradient is not finite is kept out. Under
            loss scaling it is not: the optimizer has to see the overflow.
        step: The number of optimizer steps before this one.
        first_half: For a method of two samples, the backward passes of the
            even examples' part in the losses.
        shares: And that part's share of each task's labels `(T,)`.
    """

    losses: Any
    labelled: Any
    present: Any
    scale: Any
    masks: bool
    step: Any
    first_half: Backward | None = None
    shares: Any = None


class Conflict(NamedTuple):
    """How far the tasks' gradients point against each other in one step.

    Attributes:
        smallest: The smallest cosine between two of them.
        known: 1.0 if two gradients were compared in this step, else 0.0.
        means: Each task's mean cosine with the others `(T,)`.
        means_known: 1.0 where it was computed, else 0.0, `(T,)`.
    """

    smallest: Any
    known: Any
    means: Any
    means_known: Any


@dataclass
class Balance:
    """The direction in the shared variables, and what led to it.

    Attributes:
        direction: Gradients of the shared variables.
        weights: Weights `(T,)`, or None where there are none.
        usable: Which tasks took part `(T,)`.
        conflict: The angles between the tasks' gradients.
        added: Whether the direction is that of all replicas' examples, not of
            this one's.
    """

    direction: Gradients
    weights: Any
    usable: Any
    conflict: Conflict
    added: bool = False


def balance(balancer: Any, backward: Backward, now: Situation) -> Balance:
    """One direction from the gradients of all tasks."""
    if isinstance(balancer, CoordinateBalancer):
        return _by_coordinates(balancer, backward, now)
    if balancer.update_every == 1:
        return _by_weights(balancer, backward, now)
    if replicas.count() > 1:
        return _by_kept_weights_on_replicas(balancer, backward, now)

    def dense(result: Balance) -> tuple[Any, ...]:
        direction = [
            tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g)
            for v, g in zip(backward.shared, result.direction, strict=True)
        ]
        return (
            direction,
            result.weights,
            result.usable,
            result.conflict,
        )

    def solve_and_keep() -> tuple[Any, ...]:
        result = _by_weights(balancer, backward, now)
        # A task that took no part keeps the weight that it had.
        kept = tf.identity(balancer.kept_weights)
        new = tf.cast(result.weights, kept.dtype)
        balancer.kept_weights.assign(tf.where(result.usable, new, kept))
        return dense(result)

    def reuse() -> tuple[Any, ...]:
        blocks = backward.boundary_blocks
        usable = now.present
        if now.masks:
            finite = _finite(blocks)
            usable = tf.logical_and(usable, finite)
            blocks = _cleaned(blocks, usable, tf.reduce_all(finite))
        kept = tf.cast(balancer.kept_weights, now.losses.dtype)
        weights = tf.where(usable, kept, tf.zeros_like(kept))
        direction = backward.through(mixed(blocks, _weighing(weights)))
        unknown = _no_conflict(len(backward.private))
        return dense(Balance(direction, weights, usable, unknown))

    _ = backward.boundary_blocks  # made here, for both branches to use
    kept = tf.identity(balancer.steps) % balancer.update_every > 0
    balancer.steps.assign_add(1)
    return Balance(*usually(kept, reuse, solve_and_keep))


def _by_weights(balancer: Any, backward: Backward, now: Situation) -> Balance:
    exact = balancer.wrt == "variables" and balancer.jacobian != "layerwise"
    blocks = _blocks(backward, exact)
    # What heads do with shared variables directly has no part in the angles.
    judged = blocks if exact else blocks[: len(backward.slots)]
    finite = None
    if isinstance(balancer, TrackingBalancer):
        finite = _finite(blocks)
        if not now.masks:
            # The optimizer drops the whole step: no track may move.
            finite = tf.fill([len(backward.private)], tf.reduce_all(finite))
        judged, blocks = _tracked(balancer, blocks, finite, now)
        if not now.masks:
            blocks = _spoiled(blocks, tf.reduce_all(finite))
    if isinstance(backward, LayerwiseBackward):
        plain = backward.gram()
    else:
        plain = _gram(judged, len(backward.private))
        if not exact:  # each replica has the features of its own examples
            plain = replicas.added(plain)
    products = plain
    if now.first_half is not None:  # J₁J₂ᵀ, not symmetric
        products = _cross_gram(now.first_half, blocks, now.shares)
    if not isinstance(balancer, TrackingBalancer):
        products, plain = products / now.scale**2, plain / now.scale**2

    present = now.present if finite is None else now.present & finite
    if not exact:
        present = present & replicas.everywhere(
            _finite(blocks[len(backward.slots) :])
        )
    weights, usable, all_finite, conflict = _decide(
        balancer, products, plain, now.losses, present
    )
    if now.masks and finite is None:
        blocks = _cleaned(blocks, usable, all_finite)
    direction = mixed(blocks, _weighing(weights))
    if not exact:
        direction = backward.through(direction)
    return Balance(direction, weights, usable, conflict, _added(exact))


def _decide(
    balancer: Any, products: Any, plain: Any, losses: Any, present: Any
) -> tuple[Any, ...]:
    """Weights `(T,)`, who took part, whether all was finite, the angles."""

    def decide(
        products: Any, plain: Any, losses: Any, present: Any
    ) -> tuple[Any, ...]:
        # A gradient that overflowed may not reach the balancer's state.
        finite = tf.math.is_finite(tf.linalg.diag_part(plain))
        usable = tf.logical_and(present, finite)
        both = tf.logical_and(usable[:, None], usable[None, :])
        products = tf.where(both, products, tf.zeros_like(products))
        plain = tf.where(both, plain, tf.zeros_like(plain))
        weights = balancer.task_weights(products, losses, usable)
        conflict = _conflict(plain, usable)
        return weights, usable, tf.reduce_all(finite), conflict

    return _fused(balancer, decide)(  # type: ignore[no-any-return]
        products, plain, losses, present
    )


def _by_kept_weights_on_replicas(
    balancer: Any, backward: Backward, now: Situation
) -> Balance:
    """A step that may reuse weights, where no branch may hold a sum.

    Replicas cannot wait for each other inside of a condition. What is added
    up therefore stands outside, and is empty where nothing is to be sent.
    """
    exact = balancer.wrt == "variables"
    boundary = backward.boundary_blocks  # made here, for all branches to use
    num_tasks = len(backward.private)
    reuses = tf.identity(balancer.steps) % balancer.update_every > 0
    balancer.steps.assign_add(1)
    finite = replicas.everywhere(_finite(boundary))

    def passes() -> list[Any]:
        return [
            tf.zeros([num_tasks, math.prod(v.shape)])
            if block is None
            else block.rows
            for v, block in zip(
                backward.shared, backward.variable_blocks(), strict=True
            )
        ]

    if exact:
        empty = tf.zeros([num_tasks, 0])
        rows = replicas.added_gradients(
            usually(reuses, lambda: [empty] * len(backward.shared), passes)
        )
        products = _gram([Block(one, one) for one in rows], num_tasks)
    else:
        judged = boundary[: len(backward.slots)]
        products = replicas.added(
            usually(
                reuses,
                lambda: tf.zeros([num_tasks, num_tasks]),
                lambda: _gram(judged, num_tasks),
            )
        )
    products = products / now.scale**2
    present = tf.logical_and(now.present, finite) if now.masks else now.present

    def reuse() -> tuple[Any, ...]:
        kept = tf.cast(balancer.kept_weights, now.losses.dtype)
        weights = tf.where(present, kept, tf.zeros_like(kept))
        return weights, present, tf.constant(True), _no_conflict(num_tasks)

    def solve() -> tuple[Any, ...]:
        found = _decide(balancer, products, products, now.losses, present)
        weights, usable, *rest = found
        kept = tf.identity(balancer.kept_weights)
        new = tf.cast(weights, kept.dtype)
        balancer.kept_weights.assign(tf.where(usable, new, kept))
        return (tf.cast(weights, now.losses.dtype), usable, *rest)

    weights, usable, _, conflict = usually(reuses, reuse, solve)

    # Where J was added up in this step, one more pass costs more than the sum
    # of P numbers that it saves: each step goes through the shared part once.
    blocks = _masked(boundary, usable) if now.masks else boundary
    direction = backward.through(mixed(blocks, _weighing(weights)))
    return Balance(direction, weights, usable, conflict)


def _blocks(backward: Backward, exact: bool) -> list[Block | None]:
    """The tasks' gradients; those of variables are of all replicas."""
    if not exact:
        return backward.boundary_blocks
    blocks = backward.variable_blocks()
    sums = replicas.added_gradients([b and b.rows for b in blocks])
    return [
        block and Block(rows, block.like)
        for block, rows in zip(blocks, sums, strict=True)
    ]


def _added(exact: bool) -> bool:
    return exact and replicas.count() > 1


def _by_coordinates(
    balancer: Any, backward: Backward, now: Situation
) -> Balance:
    exact = balancer.wrt == "variables"
    blocks = _blocks(backward, exact)
    losses = now.losses
    # Each replica has the features of its own examples, but a task takes part
    # on all of them or on none.
    several = replicas.count() > 1

    def agreed(flags: Any) -> Any:
        return flags if exact else replicas.everywhere(flags)

    def combined(blocks: list[Block | None], usable: Any) -> Gradients:
        return mixed(
            blocks, lambda rows: balancer.combine(rows, losses, usable)
        )

    direction, usable = combined(blocks, now.present), now.present
    if now.masks:
        # What is not finite in a row shows in the direction, which is T times
        # smaller, unless the method may leave it out.
        seen = agreed(
            tf.reduce_all(_finite(blocks))
            if balancer.drops_values
            else _all_finite(direction)
        )
        finite = agreed(_finite(blocks)) if several else None
        fine = tf.logical_and(
            seen, tf.reduce_all(tf.equal(now.present, now.labelled))
        )
        there = [i for i, g in enumerate(direction) if g is not None]

        def as_it_is() -> tuple[Gradients, Any]:
            return [direction[i] for i in there], now.present

        def without_them() -> tuple[Gradients, Any]:
            usable = tf.logical_and(
                now.present, finite if several else _finite(blocks)
            )
            found = combined(_masked(blocks, usable), usable)
            return [found[i] for i in there], usable

        found, usable = usually(fine, as_it_is, without_them)
        direction = [None] * len(blocks)
        for i, gradient in zip(there, found, strict=True):
            direction[i] = gradient
    if not exact:
        direction = backward.through(direction)

    judged = blocks if exact else blocks[: len(backward.slots)]
    num_tasks = len(backward.private)
    passes_over = tf.not_equal(now.step % COSINE_EVERY, 0)

    def products() -> Any:
        return _gram(_masked(judged, usable), num_tasks)

    whole = None
    if not exact and several:
        # Replicas cannot wait for each other inside of a condition.
        none = tf.zeros([num_tasks, num_tasks])
        whole = replicas.added(usually(passes_over, lambda: none, products))
    conflict = usually(
        passes_over,
        lambda: _no_conflict(num_tasks),
        lambda: _conflict(products() if whole is None else whole, usable),
    )
    return Balance(direction, None, usable, conflict, _added(exact))


def _conflict(gram: Any, usable: Any) -> Conflict:
    means, known = mean_cosines(gram, usable)
    return Conflict(
        tf.cast(min_cosine(gram, usable), "float32"),
        tf.cast(tf.reduce_any(known), "float32"),
        tf.cast(means, "float32"),
        tf.cast(known, "float32"),
    )


def _no_conflict(num_tasks: int) -> Conflict:
    """That of a step in which no angle was computed."""
    none = tf.zeros(num_tasks)
    return Conflict(tf.ones(()), tf.zeros(()), none, none)


def _tracked(
    balancer: Any, blocks: list[Block | None], finite: Any, now: Situation
) -> tuple[list[Block | None], list[Block | None]]:
    """The blocks that are judged, and those that are combined."""
    usable = tf.logical_and(now.present, finite)
    judged: list[Block | None] = []
    combined: list[Block | None] = []
    for i, block in enumerate(_masked(blocks, usable)):
        if block is None:
            judged.append(None)
            combined.append(None)
            continue
        # Loss scaling changes from step to step; tracks are kept without it.
        seen, rows = balancer.track(
            i, block.rows / now.scale, now.losses, usable
        )
        judged.append(Block(seen, block.like))
        combined.append(Block(rows * now.scale, block.like))
    return judged, combined


def _cross_gram(
    first_half: Backward, blocks: list[Block | None], shares: Any
) -> Any:
    """J₁J₂ᵀ `(T, T)` of two halves; their parts in the losses add up to J."""
    products = [
        tf.cast(
            tf.matmul(first.rows, whole.rows - first.rows, transpose_b=True),
            "float32",
        )
        for first, whole in zip(_blocks(first_half, True), blocks, strict=True)
        if first is not None and whole is not None
    ]
    if not products:
        return tf.zeros([len(first_half.private)] * 2)
    weights = shares[:, None] * (1.0 - shares)[None, :]
    return tf.math.divide_no_nan(tf.add_n(products), weights)


def _fused(balancer: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as one kernel of XLA, whatever the model runs on.

    Solvers are loops of tiny operations: alone they would cost more to
    schedule than to compute.
    """
    if tf.executing_eagerly() or not balancer.supports_jit:
        return function
    return tf.function(  # type: ignore[no-any-return]
        function, jit_compile=True, autograph=False
    )


def _weighing(weights: Any) -> Mix:
    return lambda rows: tf.linalg.matvec(
        tf.cast(rows, weights.dtype), weights, transpose_a=True
    )


def _gram(blocks: list[Block | None], num_tasks: int) -> Any:
    products = [
        gram(tf.cast(block.rows, "float32"))
        for block in blocks
        if block is not None
    ]
    return tf.add_n(products) if products else tf.zeros([num_tasks, num_tasks])


def _finite(blocks: list[Block | None]) -> Any:
    """Which tasks' gradients are finite `(T,)`."""
    sums = [
        tf.reduce_sum(block.rows, axis=1)
        for block in blocks
        if block is not None
    ]
    return tf.math.is_finite(tf.add_n(sums)) if sums else tf.constant(True)


def _all_finite(gradients: Gradients) -> Any:
    sums = [tf.reduce_sum(g) for g in gradients if g is not None]
    return tf.math.is_finite(tf.add_n(sums)) if sums else tf.constant(True)


def _masked(blocks: list[Block | None], usable: Any) -> list[Block | None]:
    """The blocks with zeros for tasks that are not usable."""
    return [
        block
        if block is None
        else Block(tf.where(usable[:, None], block.rows, 0.0), block.like)
        for block in blocks
    ]


def _spoiled(blocks: list[Block | None], fine: Any) -> list[Block | None]:
    """The blocks, made NaN where not all is fine, for the optimizer to see."""
    spoil = tf.where(fine, 0.0, float("nan"))
    return [
        block if block is None else Block(block.rows + spoil, block.like)
        for block in blocks
    ]


def _cleaned(
    blocks: list[Block | None], usable: Any, all_finite: Any
) -> list[Block | None]:
    """The blocks without what is not finite; as a rule there is nothing."""
    there = [i for i, block in enumerate(blocks) if block is not None]
    if not there:
        return blocks

    def rows(blocks: list[Block | None]) -> list[Any]:
        return [block.rows for block in blocks if block is not None]

    found = whole(
        all_finite,
        lambda: rows(blocks),
        lambda: rows(_masked(blocks, usable)),
    )
    cleaned: list[Block | None] = [None] * len(blocks)
    for i, clean in zip(there, found, strict=True):
        cleaned[i] = Block(clean, blocks[i].like)  # type: ignore[union-attr]
    return cleaned
