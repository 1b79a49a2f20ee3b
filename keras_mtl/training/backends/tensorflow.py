"""The training step on TensorFlow: the only place that takes gradients.

Nothing here names a method. A balancer of losses costs one backward pass; a
balancer of gradients costs one pass through the heads, which gives every
task's gradient at the boundary of the shared part, and then one pass for
each task (`wrt="variables"`) or one for all (`wrt="features"`).
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.balancers.base import (
    CoordinateBalancer,
    GradientBalancer,
    LossBalancer,
)
from keras_mtl.graph import Partition
from keras_mtl.linalg.gram import gram, min_cosine

Gradients = list[Any]  # one tensor or None a variable
Mix = Callable[[Any], Any]  # the tasks' gradients (T, p) -> one (p,)


@dataclass
class BoundaryTap:
    """Cuts the graph of one forward pass between shared part and heads.

    Each task's private calls read copies of the tensors at the boundary.
    The tape does not see the copying: a task's gradient stops at its copies
    and cannot run on into the shared part.

    Attributes:
        partition: Where to cut.
        tape: The tape of the forward pass.
        originals: The tensor of each boundary slot.
        copies: The copy of each boundary slot, by task.
    """

    partition: Partition
    tape: tf.GradientTape
    originals: dict[int, Any] = field(default_factory=dict)
    copies: dict[str, dict[int, Any]] = field(default_factory=dict)

    def read(self, consumer: Any, slot: int, tensor: Any) -> Any:
        """The tensor that a consumer of the graph reads."""
        task = self.partition.task_across(consumer, slot)
        if task is None:
            return tensor
        self.originals[slot] = tensor
        copies = self.copies.setdefault(task, {})
        if slot not in copies:
            with self.tape.stop_recording():
                copy = tf.identity(tensor)
            # `tf.identity` drops the mask that Keras hangs on a tensor.
            mask = getattr(tensor, "_keras_mask", None)
            if mask is not None:
                copy._keras_mask = mask
            self.tape.watch(copy)
            copies[slot] = copy
        return copies[slot]


@dataclass
class StepResult:
    """What a step leaves for the logs.

    Attributes:
        labels: Labels of each task, as `read_labels` gives them.
        losses: Unweighted losses `(T,)`.
        present: Which tasks had a label `(T,)`.
        total: The scalar logged as `loss`.
        weights: Weights of the tasks `(T,)`, or None.
        min_cosine: The smallest cosine between two tasks' gradients, or None.
        cosine_known: 1.0 if it was computed in this step, else 0.0.
    """

    labels: dict[str, Any]
    losses: Any
    present: Any
    total: Any
    weights: Any = None
    min_cosine: Any = None
    cosine_known: Any = None


def train_step(model: Any, x: Any, y: Any, sample_weight: Any) -> StepResult:
    """One optimizer step on one batch.

    Args:
        model: A compiled `MultiTaskModel`.
        x: Inputs.
        y: Labels by task.
        sample_weight: None, one for all tasks, or a dict by task.

    Returns:
        What the logs need.
    """
    if isinstance(model.balancer, (GradientBalancer, CoordinateBalancer)):
        result, gradients = _gradient_step(model, x, y, sample_weight)
    else:
        result, gradients = _loss_step(model, x, y, sample_weight)
    _apply(model, gradients, result.present)
    return result


def _loss_step(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[StepResult, Gradients]:
    balancer: LossBalancer | None = model.balancer
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        labels, losses, present = model.task_losses(y, y_pred, sample_weight)
        weighted = losses * model.loss_weight_vector
        extra = model.extra_loss()
        if balancer is None:
            total = objective = tf.reduce_sum(weighted) + extra
        else:
            objective = balancer.loss(weighted, present) + extra
            total = balancer.logged_loss(weighted) + extra
        scaled = model.optimizer.scale_loss(objective)
    variables = model.trainable_variables
    if balancer is None:
        gradients, weights = tape.gradient(scaled, variables), None
    else:
        *gradients, at_losses = tape.gradient(scaled, [*variables, weighted])
        weights = at_losses / _loss_scale(model)
    return StepResult(labels, losses, present, total, weights), gradients


def _gradient_step(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[StepResult, Gradients]:
    balancer, optimizer = model.balancer, model.optimizer
    with tf.GradientTape(persistent=True) as tape:
        tap = BoundaryTap(model.partition, tape)
        with model.tapped(tap):
            y_pred = model(x, training=True)
        labels, losses, present = model.task_losses(y, y_pred, sample_weight)
        weighted = losses * model.loss_weight_vector
        scaled = [optimizer.scale_loss(loss) for loss in tf.unstack(weighted)]
        extra = model.extra_loss()
        scaled_extra = optimizer.scale_loss(extra)

    backward = _Backward(tap, scaled)
    direction, weights, cosine, cosine_known = _balance(
        balancer, backward, weighted, present, _loss_scale(model)
    )
    found = dict(zip(map(id, backward.shared), direction, strict=True))
    scales_heads = getattr(balancer, "scales_heads", False)
    for t, own in enumerate(backward.private):
        for key, gradient in own.items():
            if scales_heads and gradient is not None:
                gradient = gradient * tf.cast(weights[t], gradient.dtype)
            found[key] = gradient
    variables = model.trainable_variables
    if model.losses:
        for v, gradient in backward.of_extra(scaled_extra, variables).items():
            found[v] = _sum([found.get(v), gradient])
    result = StepResult(
        labels,
        losses,
        present,
        balancer.logged_loss(weighted) + extra,
        weights,
        cosine,
        cosine_known,
    )
    return result, [found.get(id(v)) for v in variables]


class _Backward:
    """The backward passes of one step, through heads and shared part.

    One pass through the heads is taken at once; passes through the shared
    part when they are asked for.

    Args:
        tap: The boundary, filled by the forward pass.
        losses: Scalar loss of each task, scaled as the optimizer wants it.
    """

    def __init__(self, tap: BoundaryTap, losses: list[Any]) -> None:
        self.tape, self.shared = tap.tape, tap.partition.shared
        self.slots = sorted(tap.originals)
        self.targets = [tap.originals[slot] for slot in self.slots]
        self.copies = tap.copies
        # For each task: gradients at the boundary slots (None where it reads
        # none), of its own variables, and of shared variables that its own
        # calls use directly, the latter two by id.
        self.at_boundary: list[Gradients] = []
        self.private: list[dict[int, Any]] = []
        self.direct: list[dict[int, Any]] = []
        for task, loss in zip(tap.partition.tasks, losses, strict=True):
            copies = tap.copies.get(task, {})
            own = tap.partition.private[task]
            used = tap.partition.called_privately[task]
            sources = [*copies.values(), *own, *used]
            found = iter(self.tape.gradient(loss, sources) if sources else [])
            at_copies = {slot: next(found) for slot in copies}
            self.at_boundary.append([at_copies.get(s) for s in self.slots])
            self.private.append({id(v): next(found) for v in own})
            self.direct.append({id(v): next(found) for v in used})

    def through_shared(self, at_boundary: Gradients) -> Gradients:
        """Gradients of the shared variables from those at the boundary."""
        pairs = [
            (target, gradient)
            for target, gradient in zip(self.targets, at_boundary, strict=True)
            if gradient is not None
        ]
        if not pairs or not self.shared:
            return [None] * len(self.shared)
        targets, gradients = zip(*pairs, strict=True)
        return self.tape.gradient(  # type: ignore[no-any-return]
            list(targets), self.shared, output_gradients=list(gradients)
        )

    @functools.cached_property
    def boundary(self) -> "list[_Block | None]":
        """The tasks' gradients of each boundary tensor."""
        return [_block(c) for c in zip(*self.at_boundary, strict=True)]

    def direct_blocks(self) -> "list[_Block | None]":
        """The tasks' gradients of each shared variable, past the boundary."""
        return [
            _block([row.get(id(v)) for row in self.direct]) for v in self.shared
        ]

    def variable_blocks(self) -> "list[_Block | None]":
        """The tasks' gradients of each shared variable: T passes."""
        rows = [
            [
                _sum([gradient, direct.get(id(v))])
                for v, gradient in zip(
                    self.shared, self.through_shared(boundary), strict=True
                )
            ]
            for boundary, direct in zip(
                self.at_boundary, self.direct, strict=True
            )
        ]
        return [_block(column) for column in zip(*rows, strict=True)]

    def mixed_at_boundary(self, mix: Mix) -> Gradients:
        """Gradients of the shared variables in one pass, mixed before it."""
        through = self.through_shared(_mixed(self.boundary, mix))
        direct = _mixed(self.direct_blocks(), mix)
        return [_sum(list(pair)) for pair in zip(through, direct, strict=True)]

    def of_extra(self, extra: Any, variables: list[Any]) -> dict[int, Any]:
        """Gradients of `add_loss` terms and regularizers, by variable's id."""
        copies = [
            (slot, copy)
            for by_slot in self.copies.values()
            for slot, copy in by_slot.items()
        ]
        found = self.tape.gradient(extra, [*variables, *(c for _, c in copies)])
        gradients = dict(zip(map(id, variables), found, strict=False))
        # What a head adds as a loss reaches the shared part through the copies.
        at_copies = list(
            zip([s for s, _ in copies], found[len(variables) :], strict=True)
        )
        at_boundary = [
            _sum([g for s, g in at_copies if s == slot]) for slot in self.slots
        ]
        for v, gradient in zip(
            self.shared, self.through_shared(at_boundary), strict=True
        ):
            gradients[id(v)] = _sum([gradients[id(v)], gradient])
        return gradients


@dataclass
class _Block:
    """One tensor's gradients for all tasks: a piece of the Jacobian.

    Attributes:
        rows: `(T, p)` in float32, 0 for a task that does not use the tensor.
        like: A gradient of the tensor, for shape and dtype.
    """

    rows: Any
    like: Any


def _block(gradients: Sequence[Any]) -> _Block | None:
    like = next((g for g in gradients if g is not None), None)
    if like is None:
        return None
    like = tf.convert_to_tensor(like)  # embeddings give indexed slices
    rows = [
        tf.zeros([tf.size(like)])
        if g is None
        else tf.reshape(tf.cast(g, "float32"), [-1])
        for g in gradients
    ]
    return _Block(tf.stack(rows), like)


def _mixed(blocks: "list[_Block | None]", mix: Mix) -> Gradients:
    return [
        None
        if block is None
        else tf.cast(
            tf.reshape(mix(block.rows), tf.shape(block.like)), block.like.dtype
        )
        for block in blocks
    ]


def _balance(
    balancer: Any, backward: _Backward, losses: Any, present: Any, scale: Any
) -> tuple[Gradients, Any, Any, Any]:
    """The direction in the shared variables, and what led to it.

    Returns:
        Gradients of the shared variables, weights `(T,)` or None, the
        smallest cosine, and whether it was computed in this step.
    """
    exact = balancer.wrt == "variables"
    every = getattr(balancer, "update_every", 1)
    coordinatewise = isinstance(balancer, CoordinateBalancer)

    def decide(products: Any) -> tuple[Any, Any, Any]:
        # A gradient that overflowed may not reach the balancer's state; the
        # optimizer drops the step of a scaled loss by itself.
        usable = tf.logical_and(
            present, tf.math.is_finite(tf.linalg.diag_part(products))
        )
        both = tf.logical_and(usable[:, None], usable[None, :])
        products = tf.where(both, products, tf.zeros_like(products))
        weights = (
            None
            if coordinatewise
            else balancer.task_weights(products, losses, usable)
        )
        return weights, usable, min_cosine(products, usable)

    def solve() -> tuple[Gradients, Any, Any, Any]:
        blocks = backward.variable_blocks() if exact else backward.boundary
        products = _gram(blocks, len(backward.private)) / scale**2
        weights, usable, cosine = _fused(balancer, decide)(products)
        mix = (
            _combining(balancer, losses, usable)
            if coordinatewise
            else _weighing(weights)
        )
        direction = (
            _mixed(blocks, mix) if exact else backward.mixed_at_boundary(mix)
        )
        return direction, weights, cosine, tf.constant(1.0)

    if every == 1:
        return solve()

    def dense(direction: Gradients) -> Gradients:
        return [
            tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g)
            for v, g in zip(backward.shared, direction, strict=True)
        ]

    def solve_and_keep() -> tuple[Gradients, Any, Any, Any]:
        direction, weights, cosine, known = solve()
        balancer.kept_weights.assign(weights)
        return dense(direction), weights, cosine, known

    def reuse() -> tuple[Gradients, Any, Any, Any]:
        weights = tf.where(present, tf.identity(balancer.kept_weights), 0.0)
        direction = backward.mixed_at_boundary(_weighing(weights))
        return dense(direction), weights, tf.constant(1.0), tf.constant(0.0)

    _ = backward.boundary  # made here, for both branches to use
    due = tf.equal(tf.identity(balancer.steps) % every, 0)
    balancer.steps.assign_add(1)
    return tf.cond(due, solve_and_keep, reuse)  # type: ignore[no-any-return]


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
    return lambda rows: tf.linalg.matvec(rows, weights, transpose_a=True)


def _combining(balancer: Any, losses: Any, present: Any) -> Mix:
    return lambda rows: balancer.combine(rows, losses, present)


def _gram(blocks: "list[_Block | None]", num_tasks: int) -> Any:
    products = [gram(block.rows) for block in blocks if block is not None]
    return tf.add_n(products) if products else tf.zeros([num_tasks, num_tasks])


def _sum(gradients: list[Any]) -> Any:
    """The sum of those that are there; None if none is."""
    there = [g for g in gradients if g is not None]
    if len(there) < 2:
        return there[0] if there else None
    return tf.add_n([tf.convert_to_tensor(g) for g in there])


def _loss_scale(model: Any) -> Any:
    return model.optimizer.scale_loss(tf.ones(()))


def _apply(model: Any, gradients: Gradients, present: Any) -> None:
    """One optimizer step that leaves no trace of a task without a label.

    A zero gradient would still move a head by momentum and weight decay, so
    variables of absent tasks, and their optimizer state, are put back.
    """
    optimizer, variables = model.optimizer, model.trainable_variables
    # An output left out on purpose is no reason for the optimizer to warn.
    idle = {id(v) for v in model.partition.idle}
    pairs = [
        (gradient, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None or id(variable) not in idle
    ]

    def apply() -> Any:
        optimizer.apply_gradients(pairs)
        return tf.constant(0)

    def apply_to_present() -> Any:
        kept = [
            (state, keep, tf.identity(state))
            for state, keep in _absent_state(model, present)
        ]
        apply()
        for state, keep, old in kept:
            state.assign(tf.where(keep, tf.identity(state), old))
        return tf.constant(0)

    if optimizer.gradient_accumulation_steps:
        # The step that applies may carry gradients of earlier batches.
        apply()
    else:
        tf.cond(tf.reduce_all(present), apply, apply_to_present)


def _absent_state(model: Any, present: Any) -> list[tuple[Any, Any]]:
    """Pairs of a variable or its optimizer state, and whether it may move."""
    split: Partition = model.partition
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    variables = model.trainable_variables
    # Optimizers keep one list a kind of state, in the order of variables.
    slots = [
        state
        for state in vars(optimizer).values()
        if isinstance(state, list) and len(state) == len(variables)
    ]
    index = {task: t for t, task in enumerate(split.tasks)}
    owned = {
        id(v) for v in (model.balancer.variables if model.balancer else ())
    }
    pairs = []
    for i, variable in enumerate(variables):
        if id(variable) in owned:  # one entry a task
            keep = present
        elif reach := split.reach[id(variable)]:
            keep = tf.reduce_any(
                tf.gather(present, sorted(index[t] for t in reach))
            )
        else:
            continue
        states = {id(variable): variable}
        states.update(
            (id(slot[i]), slot[i])
            for slot in slots
            if isinstance(slot[i], keras.Variable)
            and slot[i].shape == variable.shape
        )
        pairs += [(state, keep) for state in states.values()]
    return pairs


def explain(error: Exception) -> str | None:
    """What an error of the graph means for the user's data, if known."""
    text = str(error)
    if isinstance(error, tf.errors.InvalidArgumentError) and (
        "outside the valid range" in text
    ):
        found = re.search(
            r"label value of (-?\d+).*?range of (\S+ \S+\))", text
        )
        detail = (
            f" Received: {found[1]}; expected: {found[2]}." if found else ""
        )
        return (
            f"`y` holds a class index that is out of range.{detail} Correct "
            "the labels, write -1 for a missing one, or give the output more "
            "units."
        )
    return None
