"""Small models of one kind, trained at once: one for each seed.

A model of some thousand weights keeps no processor busy. Here the weights of
all seeds are stacked on a first axis, and one step trains them all: the same
Keras model, run on each slice by `tf.vectorized_map`, and a Keras optimizer
that works weight by weight, such as Adam. The result is that of `fit`, model by
model, but for rounding; a test holds it so.
"""

import keras
import numpy as np
import tensorflow as tf


class ManySeeds:
    """Models that differ in their initial weights alone.

    Args:
        models: `MultiTaskModel`s of regressions with one output a task, made
            by the same code. They are read, not trained.
    """

    def __init__(self, models):
        self.model = models[0]
        if self.model.non_trainable_variables:
            raise ValueError("Models with state cannot be trained at once.")
        self.tasks = list(self.model.output)
        self.initial = [
            np.stack([keras.ops.convert_to_numpy(w) for w in weights])
            for weights in zip(
                *(m.trainable_variables for m in models), strict=True
            )
        ]
        self.weights = [keras.Variable(w) for w in self.initial]
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(self.weights)
        self._fresh = [v.numpy() for v in self.optimizer.variables]
        self._epoch = tf.function(self._train_epoch)
        self._evaluate = tf.function(self._test_losses)

    def fit(self, train, test, learning_rate, epochs, batch_size, orders):
        """Trains from the initial weights.

        Args:
            train: `x (seeds, examples, d)` and `y (seeds, examples, tasks)`.
            test: The same, of other examples.
            learning_rate: Of Adam.
            epochs: Passes over `train`.
            batch_size: Divides the number of examples.
            orders: `orders(epoch)` gives the order of the examples,
                `(seeds, examples)`.

        Returns:
            Mean squared errors on `test`, `(epochs, seeds, tasks)`.
        """
        for variables, values in (
            (self.weights, self.initial),
            (self.optimizer.variables, self._fresh),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self.optimizer.learning_rate.assign(learning_rate)
        train, test = ([tf.constant(a) for a in s] for s in (train, test))
        errors = []
        for epoch in range(epochs):
            order = np.asarray(orders(epoch), "int32")
            seeds, examples = order.shape
            batches = order.reshape(seeds, examples // batch_size, batch_size)
            self._epoch(*train, tf.constant(batches.swapaxes(0, 1)))
            errors.append(self._evaluate(*test).numpy())
        return np.array(errors)

    def errors(self, test):
        """Mean squared errors `(seeds, tasks)` of the weights as they are."""
        return self._evaluate(*(tf.constant(part) for part in test)).numpy()

    def _train_epoch(self, x, y, batches):
        for rows in batches:
            weights = [w.value for w in self.weights]
            with tf.GradientTape() as tape:
                tape.watch(weights)
                # Each loss depends on the weights of its seed alone.
                losses = tf.vectorized_map(
                    lambda args: self._loss(*args),
                    (
                        weights,
                        tf.gather(x, rows, batch_dims=1),
                        tf.gather(y, rows, batch_dims=1),
                    ),
                )
                loss = tf.reduce_sum(losses)
            self.optimizer.apply(tape.gradient(loss, weights), self.weights)

    def _loss(self, weights, x, y):
        errors, penalties = self._errors(weights, x, y, training=True)
        return tf.reduce_sum(errors) + sum(map(tf.reduce_sum, penalties))

    def _test_losses(self, x, y):
        return tf.vectorized_map(
            lambda args: self._errors(*args, training=False)[0],
            ([w.value for w in self.weights], x, y),
        )

    def _errors(self, weights, x, y, training):
        """Mean squared errors of one model, `(tasks,)`, and its penalties."""
        outputs, _, penalties = self.model.stateless_call(
            weights, [], x, training=training, return_losses=True
        )
        outputs = tf.concat([outputs[task] for task in self.tasks], axis=-1)
        return tf.reduce_mean(tf.square(outputs - y), axis=0), penalties
