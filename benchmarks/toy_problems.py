"""Small problems whose Pareto front is known, as TensorFlow functions."""

import functools

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar, nnls


class TwoObjectiveToy:
    """The two objectives that papers have drawn since CAGrad (NeurIPS 2021).

    Above x₂ = 0 lie two narrow valleys whose gradients conflict and differ in
    length; below it two quadratic bowls, whose Pareto set runs from x₁ = −7
    to 7 a little below x₂ = −8.
    """

    starts = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
    # Below all that the objectives reach: some methods want positive losses.
    floor = (-2.1, -21.0)
    tolerance = 0.02

    def losses(self, x):
        """The objectives `(..., 2)` at points `(..., 2)`."""
        x1, x2 = x[..., 0], x[..., 1]
        tanh = tf.tanh(x2 / 2)
        upper, lower = tf.maximum(tanh, 0.0), tf.maximum(-tanh, 0.0)

        def valley(inside):
            return tf.math.log(tf.maximum(tf.abs(inside), 5e-6)) + 6

        def bowl(centre):
            return ((x1 - centre) ** 2 + 0.1 * (x2 + 8) ** 2) / 10 - 20

        first = valley(0.5 * (-x1 - 7) - tf.tanh(-x2))
        second = valley(0.5 * (-x1 + 3) + tf.tanh(-x2) + 2)
        return tf.stack(
            [
                0.1 * (upper * first + lower * bowl(7.0)),
                upper * second + lower * bowl(-7.0),
            ],
            axis=-1,
        )

    @functools.cached_property
    def front(self):
        """Points `(701, 2)` of the Pareto set, from x₁ = −7 to 7.

        Each minimizes a weighted sum of the bowls. With x₁ = m the sum is
        tanh(−x₂/2) · ((49 − m² + (x₂ + 8)²/10)/10 − 20), up to a factor.
        """
        x1 = np.linspace(-7.0, 7.0, 701)
        x2 = [
            minimize_scalar(
                lambda y, m=m: (
                    np.tanh(-y / 2)
                    * ((49 - m**2 + 0.1 * (y + 8) ** 2) / 10 - 20)
                ),
                bounds=(-10, -7),
                method="bounded",
            ).x
            for m in x1
        ]
        return np.stack([x1, x2], axis=1)

    def distance(self, x):
        """How far the objectives at `x` are from the front's.

        Each objective is measured in units of its range over the front.
        """
        on_front = values(self, self.front)
        gaps = on_front - values(self, np.asarray(x)[None])
        return float(
            np.linalg.norm(gaps / np.ptp(on_front, axis=0), axis=1).min()
        )


class Quadratics:
    """f_t = ½‖x − c_t‖²: the Pareto set is the convex hull of the centres.

    Args:
        centres: c_t, one row a task.
    """

    floor = -0.1

    def __init__(self, centres):
        self.centres = np.asarray(centres, dtype="float64")

    def losses(self, x):
        """The objectives `(..., T)` at points `(..., P)`."""
        gaps = x[..., None, :] - tf.constant(self.centres, x.dtype)
        return 0.5 * tf.reduce_sum(gaps**2, axis=-1)

    def distance(self, x):
        """The distance of a point to the convex hull of the centres."""
        # min ‖Cᵀw − x‖ over w ≥ 0, Σw = 1; the heavy row holds the sum.
        heavy = 1e4
        columns = np.vstack([self.centres.T, np.full(len(self.centres), heavy)])
        weights, _ = nnls(columns, np.append(x, heavy))
        return float(
            np.linalg.norm(self.centres.T @ weights / weights.sum() - x)
        )


def values(problem, points):
    """The objectives `(N, T)` at points `(N, P)`, as a NumPy array."""
    return problem.losses(tf.constant(points, tf.float64)).numpy()
