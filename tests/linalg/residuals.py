"""Runs the methods on random Gram matrices and looks at the residuals."""

import zlib

import numpy as np
import tensorflow as tf

from .matrices import ALL_KINDS, random_rows


def residuals(problem, dtype, size, matrices):
    """Yields `(kind, residual)` for so many matrices of each kind.

    The matrices are the same for every problem, and compiled code is used.
    """
    function = tf.function(
        problem.function(size), jit_compile=True, autograph=False
    )
    present = tf.ones((size,), "bool")
    for kind in ALL_KINDS:
        # Unlike `hash`, the same in every process.
        rng = np.random.default_rng([zlib.crc32(kind.encode()), size])
        for _ in range(matrices):
            rows = random_rows(rng, kind, size).astype(dtype)
            gram = rows @ rows.T
            weights = function(tf.constant(gram), present).numpy()
            gram, weights = gram.astype("float64"), weights.astype("float64")
            if not np.isfinite(weights).all():
                yield kind, np.inf
            elif gram.any():  # Nothing is asked for where all is zero.
                value = problem.residual(gram, weights)
                yield kind, np.inf if np.isnan(value) else value
