import numpy as np
import pytest
from toy_problems import Quadratics, TwoObjectiveToy, values


def test_toy_has_the_published_values():
    def by_hand(x1, x2):
        tanh = np.tanh(x2 / 2)
        c1, c2 = max(tanh, 0), max(-tanh, 0)
        a1 = abs(0.5 * (-x1 - 7) - np.tanh(-x2))
        a2 = abs(0.5 * (-x1 + 3) + np.tanh(-x2) + 2)
        a1, a2 = (np.log(max(a, 5e-6)) + 6 for a in (a1, a2))
        q1 = ((-x1 + 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
        q2 = ((-x1 - 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
        return 0.1 * (a1 * c1 + q1 * c2), a2 * c1 + q2 * c2

    points = [(-8.5, 7.5), (0.0, 0.0), (-7.0, 0.1), (3.0, -4.0), (9.0, -1.0)]
    np.testing.assert_allclose(
        values(TwoObjectiveToy(), points), [by_hand(*p) for p in points]
    )


def test_toy_front_is_where_the_papers_draw_it():
    front = TwoObjectiveToy().front
    np.testing.assert_allclose(front[[0, -1], 0], [-7, 7])
    middle = front[len(front) // 2]
    np.testing.assert_allclose(middle, [0.0, -8.3552], atol=1e-4)


def test_nothing_dominates_the_toy_front_nor_falls_below_the_floor():
    toy = TwoObjectiveToy()
    on_front = values(toy, toy.front)
    side = np.linspace(-10, 10, 161)
    everywhere = values(
        toy, np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    )
    better = (everywhere[:, None] < on_front[None, ::20] - 1e-9).all(axis=-1)
    assert not better.any()
    assert (everywhere > toy.floor).all()


def test_toy_distance():
    toy = TwoObjectiveToy()
    assert toy.distance(toy.front[100]) < 1e-9
    # Both bowls are a little flatter here, which 2 % forgives.
    assert 0 < toy.distance([0.0, -8.1]) < toy.tolerance
    for start in toy.starts:
        assert toy.distance(start) > 10 * toy.tolerance


@pytest.mark.parametrize(
    ("point", "distance"),
    [((0.5, 0.0), 0.0), ((3.0, 1.0), np.sqrt(5)), ((0.0, -2.0), 2.0)],
)
def test_quadratics_distance_is_that_to_the_hull(point, distance):
    problem = Quadratics([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert problem.distance(point) == pytest.approx(distance, abs=1e-6)
    np.testing.assert_allclose(
        values(problem, [point])[0],
        [0.5 * np.sum((np.array(point) - c) ** 2) for c in problem.centres],
    )
