import numpy as np
import pytest

from keras_mtl.analysis.affinity import affinity, relative
from keras_mtl.analysis.look_ahead import Look


def look(losses, ahead, present=(True, True), step=0):
    return Look(
        step,
        np.array(losses, "float32"),
        np.array(present),
        np.array(ahead, "float32"),
        np.zeros((1, 2, 2)),
    )


def test_by_hand():
    looks = [
        look([2.0, 4.0], [[1.0, 3.0], [2.5, 2.0]]),
        look([1.0, 2.0], [[0.5, 2.0], [1.0, 1.0]]),
    ]
    found = affinity(looks)
    # 1 - L_j(after a step for i) / L_j, mean of the two looks
    assert found == pytest.approx(
        np.array([[0.5, 0.125], [-0.125, 0.5]]), rel=1e-6
    )
    assert relative(found) == pytest.approx(
        np.array([[1.0, 0.25], [-0.25, 1.0]]), rel=1e-6
    )


def test_against_a_loop_over_everything():
    generator = np.random.default_rng(0)
    tasks = 4
    looks = [
        Look(
            step,
            generator.uniform(0.5, 2, tasks),
            generator.random(tasks) < 0.7,
            generator.uniform(0.5, 2, (tasks, tasks)),
            np.zeros((1, tasks, tasks)),
        )
        for step in range(30)
    ]
    found = affinity(looks)
    for i in range(tasks):
        for j in range(tasks):
            values = [
                1 - one.ahead[i, j] / one.losses[j]
                for one in looks
                if one.present[i] and one.present[j]
            ]
            assert found[i, j] == pytest.approx(np.mean(values))


def test_what_means_nothing_does_not_count():
    looks = [
        look([1.0, 1.0], [[0.5, 0.5], [0.5, 0.5]]),
        look([1.0, -1.0], [[0.5, 9.0], [0.5, 9.0]]),
        look([1.0, np.inf], [[0.5, 9.0], [np.nan, 9.0]]),
        look([1.0, 0.0], [[0.5, 9.0], [0.5, 9.0]], present=(True, False)),
    ]
    assert affinity(looks) == pytest.approx(np.full((2, 2), 0.5))
    nothing = affinity(looks[1:])
    assert np.isnan(nothing[:, 1]).all()
    assert nothing[0, 0] == 0.5


def test_relative_to_own_steps_that_do_not_help():
    found = relative(np.array([[0.5, 0.1], [0.1, -0.2]]))
    assert found[:, 0].tolist() == [1.0, 0.2]
    assert np.isnan(found[:, 1]).all()
