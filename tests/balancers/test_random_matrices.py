"""What methods promise, over thousands of matrices of every kind and size."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from keras_mtl import balancers
from keras_mtl.balancers import TrackingBalancer, aggregate
from tests.linalg.matrices import ALL_KINDS, SIZES, jacobians, random_rows

from .cases import CASES, make

many = settings(
    derandomize=True, max_examples=300, deadline=None, database=None
)
anything = jacobians(kinds=ALL_KINDS, sizes=SIZES)
# Where no eigenvalue is close to what counts as zero.
definite = jacobians(
    kinds=("ordinary", "conflicting", "badly scaled"), sizes=SIZES
)
# Of fewer tasks, where eigenvalues are asked for by the thousand.
definite_and_small = jacobians(
    kinds=("ordinary", "conflicting", "badly scaled"), sizes=SIZES[:-1]
)
# And where the smallest of them has most of its digits.
well_scaled = jacobians(kinds=("ordinary", "conflicting"), sizes=SIZES)


@functools.cache
def compiled(name, size, **arguments):
    """The weights of a method as a function of G and losses of 1."""
    method = balancers.get(name, **arguments)
    method.build((size,))
    return tf.function(method.task_weights, autograph=False)


def weigh(name, rows, **arguments):
    """Weights, and what they combine: the sum of lengths, in which to count."""
    size = len(rows)
    function = compiled(name, size, **arguments)
    ones = tf.ones((size,), "float64")
    weights = function(tf.constant(rows @ rows.T), ones, ones > 0).numpy()
    return weights, abs(weights) @ np.linalg.norm(rows, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "tolerance"),
    [
        ("cagrad", {"c": 1.0}, 1e-6),
        ("cagrad", {"c": 1.5}, 1e-6),
        ("dualproj", {}, 1e-9),
        ("fairgrad", {}, 1e-9),
        ("fairgrad", {"alpha": 2.0}, 1e-9),
        ("mgda", {}, 1e-9),
        ("nash_mtl", {}, 1e-9),
        ("upgrad", {}, 1e-9),
    ],
)
@many
@given(drawn=anything)
def test_no_task_is_made_worse(name, arguments, tolerance, drawn):
    _, rows = drawn
    weights, size = weigh(name, rows, **arguments)
    lengths = np.linalg.norm(rows, axis=1)
    gains = rows @ (weights @ rows) / np.where(lengths > 0, lengths, 1.0)
    assert gains.min() >= -tolerance * size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy", "tolerance"),
    [
        ("aligned_mtl", well_scaled, 1e-6),
        ("cagrad", anything, 1e-6),
        ("config", definite, 1e-8),
        ("dualproj", anything, 1e-8),
        ("fairgrad", anything, 1e-8),
        ("imtlg", definite, 1e-8),
        ("mgda", anything, 1e-8),
        ("nash_mtl", anything, 1e-8),
        ("upgrad", anything, 1e-8),
    ],
)
def test_permuted_tasks_give_permuted_weights(name, strategy, tolerance):
    @many
    @given(drawn=strategy)
    def check(drawn):
        _, rows = drawn
        order = np.random.default_rng(len(rows)).permutation(len(rows))
        weights, size = weigh(name, rows)
        moved, _ = weigh(name, rows[order])
        # Where rows depend on each other, weights are not unique.
        np.testing.assert_allclose(
            moved @ rows[order], weights @ rows, atol=tolerance * size
        )

    check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy"),
    [("config", definite_and_small), ("upgrad", anything)],
)
def test_directions_are_linear_under_scaling_of_the_rows(name, strategy):
    @many
    @given(drawn=strategy)
    def check(drawn):
        _, rows = drawn
        rng = np.random.default_rng(len(rows))
        first, second = 10.0 ** rng.uniform(-2, 2, size=(2, len(rows), 1))
        directions, sizes = [], []
        for scales in (first, second, first + second):
            weights, size = weigh(name, scales * rows)
            directions.append(weights @ (scales * rows))
            sizes.append(size)
        np.testing.assert_allclose(
            directions[0] + directions[1],
            directions[2],
            atol=1e-8 * max(sizes),
        )

    check()


@pytest.mark.slow
@pytest.mark.parametrize("num_tasks", [16, 64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_many_tasks_give_finite_directions(case, num_tasks):
    method = make(case, case.variants[0], num_tasks)
    columns = 2 * num_tasks + 10
    if isinstance(method, TrackingBalancer):
        method.bind_variables([columns])
    method.build((num_tasks,))
    run = tf.function(
        lambda rows, losses: aggregate(method, rows, losses), autograph=False
    )
    rng = np.random.default_rng(num_tasks)
    for kind in (*ALL_KINDS, "all zero"):
        rows = random_rows(rng, kind, num_tasks)
        rows = np.pad(rows, ((0, 0), (0, columns - rows.shape[1])))
        if kind == "all zero":
            rows = 0.0 * rows
        losses = tf.constant(rng.uniform(0.1, 2.0, size=num_tasks))
        direction, weights = run(tf.constant(rows), losses)
        assert direction.shape == (columns,)
        assert np.isfinite(direction).all(), kind
        if weights is not None:
            assert weights.shape == (num_tasks,)
            assert np.isfinite(weights).all(), kind
