"""Balancers under which nothing is balanced: the sum of task gradients."""

import keras
from keras import ops

from keras_mtl.balancers.base import CoordinateBalancer, GradientBalancer


@keras.saving.register_keras_serializable(package="tests")
class Ones(GradientBalancer):
    """Weighs every task by 1."""

    def task_weights(self, gram, losses, present):
        return ops.cast(present, gram.dtype)


@keras.saving.register_keras_serializable(package="tests")
class SumOfRows(CoordinateBalancer):
    """Adds the rows of the Jacobian."""

    def combine(self, jacobian, losses, present):
        return ops.sum(jacobian, axis=0)


def plain_balancers():
    """Balancers that must train as a plain `keras.Model` does, by id."""
    return {
        "fixed": "fixed",
        "variables": Ones(),
        "features_every_2": Ones(wrt="features", update_every=2),
        "coordinate_features": SumOfRows(wrt="features"),
    }
