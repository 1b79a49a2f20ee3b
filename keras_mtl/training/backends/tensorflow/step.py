"""One step of training: forward, backward, balance, apply.

Nothing here names a method. A balancer of losses costs one backward pass; a
balancer of gradients costs one pass through the heads, which gives every
task's gradient at the boundary of the shared part, and then one pass for
each task (`wrt="variables"`) or one for all (`wrt="features"`).

With several replicas, losses, Gram matrices and the rows of exact gradients
are added up over them, so that each comes to the same direction.
"""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.balancers.base import (
    CoordinateBalancer,
    GradientBalancer,
    LossBalancer,
)
from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.apply import apply
from keras_mtl.training.backends.tensorflow.backward import (
    Backward,
    Gradients,
    add,
)
from keras_mtl.training.backends.tensorflow.balance import Situation, balance
from keras_mtl.training.backends.tensorflow.boundary import BoundaryTap
from keras_mtl.training.backends.tensorflow.input_guard import unless_broken
from keras_mtl.training.backends.tensorflow.layerwise import LayerwiseBackward
from keras_mtl.training.backends.tensorflow.output_guard import OutputGuard
from keras_mtl.training.losses import (
    even_examples,
    half_loss,
    loss_totals,
)


@dataclass
class StepResult:
    """What a step leaves for the logs.

    Attributes:
        labels: Labels of each task, as `read_labels` gives them.
        losses: Unweighted losses `(T,)`.
        seen: Which tasks have a loss to log `(T,)`: those that took part, and
            those with labels that the schedule left out.
        labelled: Which had a label and were to train `(T,)`.
        usable: Which of them took part in the step `(T,)`; not those whose
            loss or gradient was not finite.
        total: The scalar logged as `loss`.
        weights: Weights of the tasks `(T,)`, or None.
        conflict: The angles between the tasks' gradients, or None.
    """

    labels: dict[str, Any]
    losses: Any
    seen: Any
    labelled: Any
    usable: Any
    total: Any
    weights: Any = None
    conflict: Any = None


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
    balancer = model.balancer
    if balancer is None:
        result, gradients = _plain_step(model, x, y, sample_weight)
    elif isinstance(balancer, CoordinateBalancer) or (
        isinstance(balancer, GradientBalancer) and balancer.needs_gradients
    ):
        result, gradients = _gradient_step(model, x, y, sample_weight)
    else:
        result, gradients = _loss_step(model, x, y, sample_weight)
    if balancer is not None and _masks(model):
        result.usable = unless_broken(model, x, gradients, result.usable)
    looks_again = getattr(balancer, "looks_again", False)
    if looks_again:
        factors, _ = model.step_factors()  # of this step, not of the next
    apply(model, gradients, result.usable)
    if looks_again:
        _look_again(model, x, y, sample_weight, result.usable, factors)
    return result


def _plain_step(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[StepResult, Gradients]:
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        labels, losses, present = model.task_losses(y, y_pred, sample_weight)
        factors, active = model.step_factors()
        total = tf.reduce_sum(losses * factors)
        total += replicas.mean_loss(model.extra_loss())
        scaled = model.optimizer.scale_loss(total)
    gradients = replicas.added_gradients(
        tape.gradient(scaled, model.trainable_variables)
    )
    training = _both(present, active)
    return (
        StepResult(labels, losses, present, training, training, total),
        gradients,
    )


def _loss_step(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[StepResult, Gradients]:
    guard = OutputGuard(list(model.tasks), reads_gradients=_masks(model))
    with tf.GradientTape() as tape:
        y_pred = guard.watch(model(x, training=True))
        labels, losses, there = model.task_losses(y, y_pred, sample_weight)
        factors, active = model.step_factors()
        labelled = _both(there, active)
        present = _sound(model, losses, labelled)
        weighted = _weighted(losses, factors, present)
        extra = replicas.mean_loss(model.extra_loss())
        objective = _objective(model.balancer, weighted, present) + extra
        scaled = model.optimizer.scale_loss(objective)
    guard.present = present
    *gradients, at_losses = tape.gradient(
        scaled, [*model.trainable_variables, weighted]
    )
    gradients = _added(model, gradients)
    usable = guard.usable()
    weights = at_losses / _loss_scale(model)
    total = _total(model, weighted, labelled, usable) + extra
    return (
        StepResult(
            labels,
            losses,
            _seen(there, active, usable),
            labelled,
            usable,
            total,
            weights,
        ),
        gradients,
    )


def _objective(balancer: Any, losses: Any, present: Any) -> Any:
    if isinstance(balancer, LossBalancer):
        return balancer.loss(losses, present)
    constants = tf.stop_gradient(losses)
    weights = balancer.task_weights(None, constants, present)
    return tf.reduce_sum(tf.stop_gradient(weights) * losses)


def _gradient_step(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[StepResult, Gradients]:
    balancer, optimizer = model.balancer, model.optimizer
    halves = None
    jacobian = getattr(balancer, "jacobian", "float32")
    with tf.GradientTape(persistent=True) as tape:
        tap = BoundaryTap(model.partition, tape, cuts=jacobian == "layerwise")
        with model.tapped(tap):
            y_pred = model(x, training=True)
        # Each by itself: from one stacked vector, every task's backward pass
        # would be traced through all heads.
        labels, each, there = model.each_loss(y, y_pred, sample_weight)
        factors, active = model.step_factors()
        scaled = _each_scaled(model, each, factors)
        if getattr(balancer, "double_sampled", False):
            halves = _halves(model.tasks, labels)
            first_scaled = _each_scaled(
                model,
                [tf.cast(loss, "float32") for loss, _ in halves],
                factors,
            )
        extra = replicas.mean_loss(model.extra_loss())
        scaled_extra = optimizer.scale_loss(extra)

    losses = tf.stack(each)
    labelled = _both(there, active)
    present = _sound(model, losses, labelled)
    weighted = _weighted(losses, factors, present)
    backward = _backward(tap, scaled, jacobian)
    now = Situation(
        weighted,
        labelled,
        present,
        _loss_scale(model),
        _masks(model),
        tf.convert_to_tensor(optimizer.iterations),
    )
    if halves is not None:
        now.first_half = _backward(tap, first_scaled, jacobian)
        now.shares = tf.stack(
            [tf.cast(share, "float32") for _, share in halves]
        )
    result = balance(balancer, backward, now)

    direction = dict(
        zip(map(id, backward.shared), result.direction, strict=True)
    )
    # What all replicas have added up already stays apart from what they will.
    found = {} if result.added else dict(direction)
    on_heads = (
        None
        if result.weights is None
        else balancer.head_weights(result.weights, weighted, result.usable)
    )
    for t, own in enumerate(backward.private):
        for key, gradient in own.items():
            if on_heads is not None and gradient is not None:
                gradient = gradient * tf.cast(on_heads[t], gradient.dtype)
            found[key] = gradient
    variables = model.trainable_variables
    if model.losses:
        for v, gradient in backward.of_extra(scaled_extra, variables).items():
            found[v] = add([found.get(v), gradient])
    if replicas.count() > 1:
        sums = replicas.added_gradients(list(found.values()))
        found = dict(zip(found, sums, strict=True))
    if result.added:
        for v, gradient in direction.items():
            found[v] = add([found.get(v), gradient])
    # Under loss scaling what overflowed must reach the optimizer.
    usable = result.usable if now.masks else present
    step = StepResult(
        labels,
        losses,
        _seen(there, active, usable),
        labelled,
        usable,
        _total(model, weighted, labelled, usable) + extra,
        result.weights,
        result.conflict,
    )
    return step, [found.get(id(v)) for v in variables]


def _backward(tap: BoundaryTap, losses: list[Any], jacobian: str) -> Backward:
    if jacobian == "layerwise":
        return LayerwiseBackward(tap, losses)
    return Backward(tap, losses, jacobian)


def _look_again(
    model: Any, x: Any, y: Any, sample_weight: Any, usable: Any, factors: Any
) -> None:
    """Shows the balancer this batch's losses after the step.

    The model is as in training, so that losses compare, but a second look
    leaves no trace in moving averages or random state.
    """
    state = [v for v in model.non_trainable_variables if v is not None]
    owned = {id(v) for v in model.balancer.variables}
    kept = [(v, tf.identity(v)) for v in state if id(v) not in owned]
    y_pred = model(x, training=True)
    _, losses, labelled = model.task_losses(y, y_pred, sample_weight)
    for variable, value in kept:
        variable.assign(value)
    present = tf.logical_and(usable, _sound(model, losses, labelled))
    model.balancer.observe_again(_weighted(losses, factors, present), present)


def _added(model: Any, gradients: Gradients) -> Gradients:
    """Gradients of all replicas' examples.

    What the balancer learns depends on the losses alone, which are those of
    all examples already.
    """
    own = {id(v) for v in model.balancer.variables}
    whole = [id(v) in own for v in model.trainable_variables]
    sums = replicas.added_gradients(
        [
            None if own else gradient
            for gradient, own in zip(gradients, whole, strict=True)
        ]
    )
    return [
        gradient if own else summed
        for gradient, own, summed in zip(gradients, whole, sums, strict=True)
    ]


def _halves(tasks: Any, labels: dict[str, Any]) -> list[tuple[Any, Any]]:
    """For each task the part of the even examples, and their share."""
    found = []
    for name, task in tasks.items():
        before = replicas.examples_before(labels[name])
        half = loss_totals(task, even_examples(labels[name], before))
        whole = loss_totals(task, labels[name])
        totals = replicas.added_totals(
            {"half": task, "whole": task}, {"half": half, "whole": whole}
        )
        found.append(half_loss(task, totals["half"], totals["whole"]))
    return found


def _each_scaled(model: Any, losses: list[Any], factors: Any) -> list[Any]:
    return [
        model.optimizer.scale_loss(loss * factor)
        for loss, factor in zip(losses, tf.unstack(factors), strict=True)
    ]


def _both(there: Any, active: Any) -> Any:
    """Which tasks have a label and are to train; without a schedule, all."""
    return there if active is None else tf.logical_and(there, active)


def _seen(there: Any, active: Any, usable: Any) -> Any:
    """Which tasks have a loss that tells something about them."""
    if active is None:
        return usable
    left_out = tf.logical_and(there, tf.logical_not(active))
    return tf.logical_or(usable, left_out)


def _sound(model: Any, losses: Any, labelled: Any) -> Any:
    """Which of the tasks with labels have a loss that can be used `(T,)`."""
    sound = tf.logical_and(labelled, tf.math.is_finite(losses))
    if model.balancer.needs_positive_losses:
        sound = tf.logical_and(sound, losses * model.loss_weight_vector > 0)
    return sound


def _weighted(losses: Any, factors: Any, present: Any) -> Any:
    """Losses times their factors; 0 for tasks that are not present."""
    weighted = losses * factors
    return tf.where(present, weighted, tf.zeros_like(weighted))


def _total(model: Any, weighted: Any, labelled: Any, usable: Any) -> Any:
    """The logged total; NaN where nothing of what was labelled is usable."""
    total = model.balancer.logged_loss(
        tf.where(usable, weighted, tf.zeros_like(weighted))
    )
    lost = tf.logical_and(
        tf.reduce_any(labelled), tf.logical_not(tf.reduce_any(usable))
    )
    return tf.where(lost, float("nan"), total)


def _masks(model: Any) -> bool:
    return not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def _loss_scale(model: Any) -> Any:
    return model.optimizer.scale_loss(tf.ones(()))
