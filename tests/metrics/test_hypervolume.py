import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mtl.metrics import hypervolume


def by_inclusion_and_exclusion(points, reference):
    """The volume of the union of boxes, summed over all subsets."""
    boxes = np.clip(np.asarray(points, "float64") - reference, 0, None)
    total = 0.0
    for size in range(1, len(boxes) + 1):
        for rows in itertools.combinations(boxes, size):
            total += (-1) ** (size + 1) * np.prod(np.min(rows, axis=0))
    return total


# Few values, so that points share coordinates, equal and dominate each other.
@st.composite
def some_points(draw):
    columns = draw(st.integers(1, 5))
    rows = draw(st.integers(0, 7))
    value = st.integers(-2, 5) | st.floats(-2, 5, width=16)
    row = st.lists(value, min_size=columns, max_size=columns)
    points = draw(st.lists(row, min_size=rows, max_size=rows))
    return np.array(points, "float64").reshape(rows, columns)


@given(some_points())
@settings(max_examples=150, deadline=None)
def test_equals_inclusion_and_exclusion(points):
    reference = np.zeros(points.shape[1])
    expected = by_inclusion_and_exclusion(points, reference)
    assert hypervolume(points, reference) == pytest.approx(expected, abs=1e-9)


@given(some_points(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_order_and_copies_change_nothing(points, random):
    reference = np.full(points.shape[1], -1.0)
    rows = [*points.tolist(), *points[:1].tolist()]
    random.shuffle(rows)
    assert hypervolume(rows, reference) == pytest.approx(
        hypervolume(points, reference), abs=1e-9
    )


def test_a_count_on_a_grid():
    generator = np.random.default_rng(0)
    points = generator.integers(0, 9, (40, 4))
    cells = np.stack(np.meshgrid(*[np.arange(9)] * 4), -1).reshape(-1, 1, 4)
    inside = (cells < points).all(axis=2).any(axis=1).sum()
    assert hypervolume(points, np.zeros(4)) == inside


def test_sphere_of_many_points():
    # Below the octant of the unit sphere, and near to it.
    generator = np.random.default_rng(1)
    points = np.abs(generator.normal(size=(300, 3)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    volume = hypervolume(points, np.zeros(3))
    assert 0.45 < volume < np.pi / 6


@pytest.mark.parametrize(
    ("points", "reference", "told"),
    [
        ([[1.0, 2.0]], [0.0], r"shapes \(1, 2\) and \(1,\)"),
        ([[1.0, float("nan")]], [0.0, 0.0], "must be finite"),
        ([1.0, 2.0], [0.0, 0.0], r"must be \(n, m\)"),
    ],
)
def test_bad_input(points, reference, told):
    with pytest.raises(ValueError, match=told):
        hypervolume(points, reference)
