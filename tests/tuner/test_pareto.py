import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mtl.tuner import knee, pareto_front, preferred

points_ = st.integers(1, 5).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 4), min_size=columns, max_size=columns),
        min_size=1,
        max_size=12,
    )
)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


@given(points_)
@settings(max_examples=150, deadline=None)
def test_front_is_what_nothing_dominates(points):
    expected = [
        row
        for row, point in enumerate(points)
        if not any(dominates(other, point) for other in points)
    ]
    assert pareto_front(points) == expected


def test_equal_points_are_all_on_the_front():
    assert pareto_front([[1, 2], [1, 2], [0, 2]]) == [0, 1]


def test_empty_front_of_nothing():
    assert pareto_front(np.zeros((0, 2))) == []


def test_knee_of_a_bent_front():
    # In other units it is the same.
    front = np.array([[0.0, 1.0], [0.7, 0.9], [0.9, 0.5], [1.0, 0.0]])
    assert knee(front) == 1
    assert knee(front * [1e6, 1e-6] + [5, -5]) == 1


def test_an_objective_in_which_all_are_equal_decides_nothing():
    assert knee([[3.0, 0.0], [3.0, 1.0]]) == 1
    assert preferred([[3.0, 0.0], [3.0, 1.0]], [100.0, 1.0]) == 1


@given(points_)
@settings(max_examples=100, deadline=None)
def test_choices_are_on_the_front(points):
    front = pareto_front(points)
    columns = len(points[0])
    assert knee(points) in front
    assert preferred(points, [1.0] * columns) in front
    # All weight on one objective: the best in it.
    alone = np.eye(columns)[0]
    best = max(point[0] for point in points)
    assert points[preferred(points, alone)][0] == best


def test_a_preference_reaches_a_front_that_bends_inwards():
    front = [[0.0, 1.0], [0.3, 0.3], [1.0, 0.0]]
    chosen = {preferred(front, [w, 1 - w]) for w in np.linspace(0, 1, 21)}
    assert chosen == {0, 1, 2}


@pytest.mark.parametrize("preference", [[1.0], [0.0, 0.0], [-1.0, 2.0]])
def test_bad_preference(preference):
    with pytest.raises(ValueError, match="`preference` must hold a number"):
        preferred([[0.0, 1.0], [1.0, 0.0]], preference)


def test_bad_points():
    with pytest.raises(ValueError, match="finite numbers"):
        pareto_front([[1.0, float("nan")]])
    with pytest.raises(ValueError, match="at least one point"):
        knee(np.zeros((0, 2)))
