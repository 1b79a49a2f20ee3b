"""Balancers at work on a small problem, in one compiled loop."""

import keras
import tensorflow as tf

from keras_mtl import balancers


class Adam:
    """Adam (arXiv:1412.6980), by its first algorithm."""

    def __init__(self, learning_rate=1e-3, epsilon=1e-8):
        self.learning_rate = learning_rate
        self.epsilon = epsilon

    def build(self, variables):
        """Creates its state for variables."""
        self.step = keras.Variable(0.0, dtype=variables[0].dtype)
        self.means, self.squares = (
            [keras.Variable(tf.zeros_like(v), dtype=v.dtype) for v in variables]
            for _ in range(2)
        )
        self.variables = [self.step, *self.means, *self.squares]

    def apply(self, gradients, variables):
        """One step."""
        self.step.assign_add(1.0)
        for g, v, mean, square in zip(
            gradients, variables, self.means, self.squares, strict=True
        ):
            step = tf.cast(self.step, v.dtype)
            mean.assign(0.9 * mean + 0.1 * g)
            square.assign(0.999 * square + 0.001 * g * g)
            length = tf.sqrt(square / (1 - 0.999**step)) + self.epsilon
            move(v, self.learning_rate * mean / (1 - 0.9**step) / length)


class GradientDescent:
    """Gradient descent with a step of η / (1 + k / `halves_at`)."""

    def __init__(self, learning_rate=0.1, halves_at=20):
        self.learning_rate = learning_rate
        self.halves_at = halves_at

    def build(self, variables):
        """Creates its state for variables."""
        self.step = keras.Variable(0.0, dtype=variables[0].dtype)
        self.variables = [self.step]

    def apply(self, gradients, variables):
        """One step."""
        rate = self.learning_rate / (1 + self.step / self.halves_at)
        self.step.assign_add(1.0)
        for g, v in zip(gradients, variables, strict=True):
            move(v, tf.cast(rate, v.dtype) * g)


def move(variable, by):
    """Subtracts from a variable, within its constraint."""
    value = variable - by
    if variable.constraint is not None:
        value = variable.constraint(value)
    variable.assign(value)


def trajectories(
    method,
    problem,
    starts,
    steps,
    record_every,
    optimizer=None,
    dtype="float64",
    jit_compile=True,
):
    """Where a balancer goes from each start.

    Weights that the method learns are learned by the same optimizer. An
    epoch lasts `record_every` steps.

    Args:
        method: A new balancer.
        problem: What has `losses(x)` and a `floor` below them.
        starts: Points `(P,)`; all state begins anew at each.
        steps: How many, a multiple of `record_every`.
        record_every: Steps from one recorded point to the next.
        optimizer: By default Adam with a step of 1e-3.
        dtype: Of points, losses and gradients.
        jit_compile: Whether XLA compiles the loop.

    Returns:
        For each start the list of recorded points, the start first.
    """
    optimizer = optimizer or Adam()
    x = keras.Variable(starts[0], dtype=dtype)
    num_tasks = len(problem.losses(tf.convert_to_tensor(x)))
    if isinstance(method, balancers.TrackingBalancer):
        method.bind_variables([len(starts[0])])
    method.build((num_tasks,))
    variables = [x, *method.trainable_variables]
    optimizer.build(variables)

    def body(step):
        point = tf.convert_to_tensor(x)
        losses, direction, learned = balanced(method, problem, point)
        optimizer.apply([direction, *learned], variables)
        if getattr(method, "looks_again", False):
            again = problem.losses(tf.convert_to_tensor(x)) - problem.floor
            method.observe_again(again, tf.ones_like(losses, tf.bool))
        return step + 1

    # Without autograph, which would rewrite the balancers' own control flow.
    @tf.function(jit_compile=jit_compile, autograph=False)
    def run():
        tf.while_loop(lambda step: step < record_every, body, [0])

    state = [*optimizer.variables, *method.variables]
    initial = [tf.identity(v) for v in state]
    result = []
    for start in starts:
        x.assign(start)
        for variable, value in zip(state, initial, strict=True):
            variable.assign(value)
        points = [x.numpy().tolist()]
        for _ in range(steps // record_every):
            run()
            method.on_epoch_end()
            points.append(x.numpy().tolist())
        result.append(points)
    return result


def balanced(method, problem, point):
    """Losses, balanced direction and gradients of what the method learns."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(point)
        raw = problem.losses(point)
        single = tf.unstack(raw)
    jacobian = tf.stack([tape.gradient(loss, point) for loss in single])
    losses = raw - tf.constant(problem.floor, raw.dtype)
    if not isinstance(method, balancers.LossBalancer):
        direction, _ = balancers.aggregate(method, jacobian, losses)
        return losses, direction, []
    learned = [v.value for v in method.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(losses)
        objective = method.loss(losses, tf.ones_like(losses, tf.bool))
    by_losses, *gradients = tape.gradient(
        objective, [losses, *learned], unconnected_gradients="zero"
    )
    return losses, tf.linalg.matvec(jacobian, by_losses, True), gradients
