"""Random Jacobians, well and badly behaved, and compiled solvers."""

import functools

import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from keras import ops

# What makes a problem hard: see `random_rows`.
ALL_KINDS = (
    "ordinary",
    "conflicting",
    "near-parallel",
    "badly scaled",
    "dependent",
    "duplicates",
    "opposite",
    "zero rows",
)
KINDS = ALL_KINDS[:-1]
SIZES = (1, 2, 3, 5, 8, 16, 64)


def random_rows(rng, kind, num_tasks):
    """A Jacobian `(T, P)` of the given kind, in float64."""
    columns = int(rng.choice([max(2, num_tasks), 2 * num_tasks + 10]))
    rows = rng.normal(size=(num_tasks, columns)) + rng.choice([0.0, 0.5])
    signs = np.where(np.arange(num_tasks) % 2, -1.0, 1.0)[:, None]
    if kind == "conflicting":
        rows = signs * rng.normal(size=columns) + 0.3 * rows
    elif kind == "near-parallel":
        rows = rng.normal(size=columns) + 10.0 ** rng.uniform(-6, -1) * rows
        rows *= rng.choice([1.0, -1.0], p=[0.8, 0.2], size=(num_tasks, 1))
    elif kind == "badly scaled":
        rows *= 10.0 ** rng.uniform(-6, 0, size=(num_tasks, 1))
    elif kind == "dependent":
        rank = max(1, num_tasks // 2)
        rows = rng.normal(size=(num_tasks, rank)) @ rows[:rank]
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, num_tasks - 1), size=num_tasks)]
    elif kind == "opposite":
        rows[-1] = -3.0 * rows[0]
    elif kind == "zero rows":
        rows[rng.integers(0, num_tasks, size=1 + num_tasks // 8)] = 0.0
    return rows


@st.composite
def jacobians(draw, kinds=KINDS, sizes=(2, 3, 5)):
    """A kind, and a Jacobian `(T, P)` of it in float64."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    kind = draw(st.sampled_from(kinds))
    return kind, random_rows(rng, kind, draw(st.sampled_from(sizes)))


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
