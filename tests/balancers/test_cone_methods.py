"""UPGrad and DualProj: directions along which no task's loss rises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from keras_mtl.balancers import DualProj, UPGrad, aggregate
from keras_mtl.tasks import Task, TaskSet

few = settings(derandomize=True, max_examples=20, deadline=None, database=None)
seeds = st.integers(0, 10**6)
kinds = st.sampled_from(
    ["normal", "conflicting", "deficient", "badly scaled", "zero", "opposite"]
)
METHODS = pytest.mark.parametrize("method", [UPGrad, DualProj])


def random_rows(seed, kind="normal", num_tasks=4, columns=7):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_tasks, columns))
    if kind == "conflicting":
        rows -= 0.95 * rows.mean(axis=0)
    elif kind == "deficient":
        rows = rows[:, :2] @ rng.normal(size=(2, columns))
    elif kind == "badly scaled":
        rows *= 10.0 ** rng.uniform(-3, 3, size=(num_tasks, 1))
    elif kind == "zero":
        rows[0] = 0.0
    elif kind == "opposite":
        rows[1] = -3.0 * rows[0]
    return rows


def projection(rows, gradient):
    """On the dual cone of the rows, by SciPy."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1.0)
    size = max(np.linalg.norm(gradient), 1e-30)
    move, _ = nnls(unit.T, -gradient / size)
    return gradient + size * unit.T @ move


@METHODS
@few
@given(seed=seeds, kind=kinds)
def test_no_task_is_made_worse(method, seed, kind):
    rows = random_rows(seed, kind)
    direction, _ = aggregate(method(), rows)
    lengths = np.linalg.norm(rows, axis=1)
    worst = (rows @ direction / np.where(lengths > 0, lengths, 1.0)).min()
    assert worst >= -1e-10 * lengths.max()


@METHODS
@few
@given(seed=seeds)
def test_gradients_without_conflict_are_averaged(method, seed):
    rows = np.abs(random_rows(seed))
    _, weights = aggregate(method(), rows)
    np.testing.assert_allclose(weights, 0.25, rtol=1e-15)


@few
@given(seed=seeds, kind=kinds)
def test_upgrad_is_the_mean_of_the_projections(seed, kind):
    rows = random_rows(seed, kind)
    direction, _ = aggregate(UPGrad(), rows)
    expected = np.mean([projection(rows, g) for g in rows], axis=0)
    scale = np.linalg.norm(rows, axis=1).max()
    np.testing.assert_allclose(direction, expected, atol=1e-9 * scale)


@few
@given(seed=seeds, kind=kinds)
def test_dualproj_is_the_projection_of_the_mean(seed, kind):
    rows = random_rows(seed, kind)
    direction, _ = aggregate(DualProj(), rows)
    expected = projection(rows, rows.mean(axis=0))
    scale = np.linalg.norm(rows, axis=1).max()
    np.testing.assert_allclose(direction, expected, atol=1e-9 * scale)


@few
@given(seed=seeds, kind=kinds)
def test_upgrad_is_linear_under_scaling_of_the_rows(seed, kind):
    rows = random_rows(seed, kind)
    rng = np.random.default_rng(seed)
    first, second = 10.0 ** rng.uniform(-3, 3, size=(2, 4, 1))
    directions = [
        aggregate(UPGrad(), scales * rows)[0]
        for scales in (first, second, first + second)
    ]
    size = np.linalg.norm((first + second) * rows, axis=1).max()
    np.testing.assert_allclose(
        directions[0] + directions[1], directions[2], atol=1e-10 * size
    )


@METHODS
def test_gradients_that_balance_each_other_out_move_nothing(method):
    rows = np.array([[1.0, 2.0], [-3.0, -6.0]])
    direction, weights = aggregate(method(), rows)
    np.testing.assert_allclose(direction, 0, atol=1e-12)
    assert (weights > 0).all()


@METHODS
@pytest.mark.parametrize("seed", range(4))
def test_preferences_count_and_sums_are_not_divided(method, seed):
    rows = random_rows(seed, "conflicting")
    preference = [1.0, 2.0, 0.0, 5.0]

    def direction(**kwargs):
        return aggregate(method(**kwargs), rows)[0]

    total = direction(preference=preference, reduction="sum")
    mean = direction(preference=preference)
    np.testing.assert_allclose(total, 8 * mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        direction(reduction="sum"), 4 * direction(), rtol=1e-8, atol=1e-10
    )
    if method is UPGrad:
        expected = sum(
            c * projection(rows, g)
            for c, g in zip(preference, rows, strict=True)
        )
    else:
        expected = projection(rows, np.array(preference) @ rows)
    np.testing.assert_allclose(total, expected, atol=1e-8)


@METHODS
def test_a_task_that_does_not_count_is_not_harmed_either(method):
    rows = np.array([[1.0, 0.0], [-0.6, 0.8]])
    direction, weights = aggregate(method(preference=[1.0, 0.0]), rows)
    # g₁ less its part along g₂.
    np.testing.assert_allclose(weights, [1.0, 0.6])
    assert rows[1] @ direction == pytest.approx(0, abs=1e-12)


@METHODS
def test_preferences_by_task(method):
    built = method(preference={"b": 3.0, "a": 1.0})
    built.bind(TaskSet([Task("a", "binary"), Task("b", "binary")]))
    _, weights = aggregate(built, np.eye(2))
    np.testing.assert_allclose(weights, [0.25, 0.75])


@METHODS
def test_preferences_of_absent_tasks_do_not_divide_a_mean(method):
    built = method(preference=[1.0, 3.0, 4.0])
    _, weights = aggregate(built, np.eye(3), present=[True, True, False])
    np.testing.assert_allclose(weights, [0.25, 0.75, 0.0])


@METHODS
def test_many_tasks_of_very_different_scale(method):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 80)) * np.geomspace(1, 1e6, 64)[:, None]
    direction, _ = aggregate(method(), rows)
    lengths = np.linalg.norm(rows, axis=1)
    assert (rows @ direction / lengths).min() >= -1e-10 * lengths.max()


@METHODS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "max"}, "`reduction` must be 'mean' or 'sum'"),
        ({"preference": [1.0, -1.0]}, "`preference` must be a finite number"),
        ({"preference": "a"}, "`preference` must be a finite number"),
    ],
)
def test_wrong_arguments_are_told(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(**arguments)
