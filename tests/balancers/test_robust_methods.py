"""Methods that bear bad gradients."""

import numpy as np
import pytest
from scipy.stats import trim_mean

from keras_mtl.balancers import Krum, TrimmedMean, aggregate


def crowd(num_tasks=7, columns=40, bad=(1, 4), size=1e6):
    """Gradients near one another, and some that are far away."""
    rng = np.random.default_rng(num_tasks)
    rows = 1.0 + 0.1 * rng.normal(size=(num_tasks, columns))
    for i, t in enumerate(bad):
        rows[t] = (-1) ** i * size * rng.normal(size=columns)
    return rows


def krum_reference(rows, n_byzantine, n_selected):
    """The indices that the paper's definition selects."""
    count = len(rows)
    squares = ((rows[:, None] - rows[None, :]) ** 2).sum(axis=-1)
    scores = [
        np.sort(np.delete(squares[t], t))[: count - n_byzantine - 2].sum()
        for t in range(count)
    ]
    return set(np.argsort(scores)[:n_selected].tolist())


@pytest.mark.parametrize("n_selected", [1, 2, 3])
@pytest.mark.parametrize("n_byzantine", [0, 1, 2])
def test_krum_selects_what_the_paper_does(n_byzantine, n_selected):
    for seed in range(20):
        rows = np.random.default_rng(seed).normal(size=(8, 5))
        _, weights = aggregate(Krum(n_byzantine, n_selected), rows)
        expected = krum_reference(rows, n_byzantine, n_selected)
        assert set(np.flatnonzero(weights).tolist()) == expected
        np.testing.assert_allclose(weights.sum(), 1)
        np.testing.assert_allclose(weights[list(expected)], 1 / n_selected)


def test_krum_adds_up_squared_distances():
    # Distances sum to 5 + 5 for the first and 0 + 9.5 for the last two, so
    # that sums of distances and of their squares pick different tasks.
    rows = np.array([[0.0], [5.0], [-5.0], [9.6], [-9.6]])
    _, weights = aggregate(Krum(n_byzantine=1), rows)
    squares = {0: 50.0, 1: 4.6**2 + 25.0, 3: 4.6**2 + 9.6**2}
    assert min(squares, key=squares.get) == 1
    np.testing.assert_array_equal(weights, [0, 0.5, 0.5, 0, 0])


@pytest.mark.parametrize("n_selected", [1, 3, 5])
def test_krum_drops_outliers(n_selected):
    rows = crowd()
    direction, weights = aggregate(Krum(2, n_selected), rows)
    np.testing.assert_array_equal(weights[[1, 4]], [0, 0])
    np.testing.assert_allclose(direction, np.ones(40), atol=0.5)


def test_krum_shares_the_last_place_among_ties():
    rows = np.array([[0.0], [1.0], [7.0], [8.0], [90.0]])
    _, weights = aggregate(Krum(n_byzantine=2), rows)
    np.testing.assert_array_equal(weights, [0.25, 0.25, 0.25, 0.25, 0])
    _, weights = aggregate(Krum(n_byzantine=2, n_selected=2), rows)
    np.testing.assert_array_equal(weights, [0.25, 0.25, 0.25, 0.25, 0])


def test_krum_counts_present_tasks_only():
    rows = np.array([[0.0], [0.0], [5.0], [5.5], [50.0]])
    present = [True, False, True, True, True]
    _, weights = aggregate(Krum(n_byzantine=1), rows, present=present)
    np.testing.assert_array_equal(weights, [0, 0, 0.5, 0.5, 0])


def test_krum_with_few_tasks_is_the_mean_of_the_closest():
    _, weights = aggregate(Krum(n_byzantine=3), [[1.0], [2.0]])
    np.testing.assert_array_equal(weights, [0.5, 0.5])
    _, weights = aggregate(Krum(n_selected=9), [[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("num_tasks", "trim"), [(5, 1), (7, 2), (8, 3), (4, 0)]
)
def test_trimmed_mean_is_scipy_s(num_tasks, trim):
    rows = np.random.default_rng(trim).normal(size=(num_tasks, 30))
    direction, weights = aggregate(TrimmedMean(trim), rows)
    expected = trim_mean(rows, (trim + 1e-9) / num_tasks, axis=0)
    np.testing.assert_allclose(direction, expected, rtol=1e-12)
    assert weights is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trimmed_mean_bears_what_it_trims(dtype):
    rows = crowd(size=1e30).astype(dtype)
    good = np.delete(rows, [1, 4], axis=0)
    direction, _ = aggregate(TrimmedMean(2), rows)
    assert (direction >= good.min(axis=0)).all()
    assert (direction <= good.max(axis=0)).all()


@pytest.mark.parametrize(
    ("num_tasks", "trim"), [(1, 1), (2, 1), (2, 9), (3, 2), (4, 2), (4, 9)]
)
def test_trimmed_mean_of_few_tasks_is_the_median(num_tasks, trim):
    rows = np.random.default_rng(num_tasks).normal(size=(num_tasks, 9))
    direction, _ = aggregate(TrimmedMean(trim), rows)
    np.testing.assert_allclose(direction, np.median(rows, axis=0), rtol=1e-12)


@pytest.mark.parametrize("absent", [(), (0,), (2, 5), (0, 1, 2, 3)])
def test_trimmed_mean_counts_present_tasks_only(absent):
    rows = np.random.default_rng(3).normal(size=(7, 20))
    rest = np.delete(rows, absent, axis=0)
    present = [t not in absent for t in range(7)]
    direction, _ = aggregate(TrimmedMean(1), rows, present=present)
    expected = np.sort(rest, axis=0)[1:-1].mean(axis=0)
    np.testing.assert_allclose(direction, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (Krum, {"n_byzantine": -1}, "`n_byzantine`"),
        (Krum, {"n_selected": 0}, "`n_selected`"),
        (TrimmedMean, {"trim_number": 0.5}, "`trim_number`"),
    ],
)
def test_bad_arguments(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(**arguments)
