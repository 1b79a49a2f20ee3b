"""Random Jacobians, well and badly behaved, and compiled solvers."""

import functools

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from keras import ops

KINDS = ("ordinary", "dependent", "duplicates", "badly scaled", "opposite")


@st.composite
def jacobians(draw, kinds=KINDS, sizes=(2, 3, 5)):
    """A Jacobian `(T, P)` in float64 and its kind."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    kind = draw(st.sampled_from(kinds))
    num_tasks = draw(st.sampled_from(sizes))
    columns = 2 if kind == "dependent" else 12
    rows = rng.normal(size=(num_tasks, columns))
    rows += draw(st.sampled_from([0.0, 0.5]))
    if kind == "duplicates":
        rows[-1] = rows[0]
    elif kind == "badly scaled":
        rows *= 10.0 ** rng.uniform(-6, 0, size=(num_tasks, 1))
    elif kind == "opposite":
        rows[-1] = -3.0 * rows[0]
    return kind, rows


def solve(function, gram, *args, dtype="float64"):
    """Runs a solver compiled once per shape, on all tasks; float64 out."""
    numbers = [np.asarray(value, dtype) for value in (gram, *args)]
    present = np.ones(len(gram), bool)
    result = _compiled(function)(numbers[0], present, *numbers[1:])
    return ops.convert_to_numpy(result).astype("float64")


@functools.cache
def _compiled(function):
    # Autograph would not help: loops and branches are Keras ops.
    traced = tf.function(function, autograph=False)
    return lambda *args: traced(*map(tf.constant, args))
