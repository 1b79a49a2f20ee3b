"""What a Gaussian process proposes, without a search around it."""

import keras_tuner
import numpy as np
import pytest

from keras_mtl.tuner import proposal


def space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("way", ["left", "right", "up"])
    with hp.conditional_scope("way", ["left"]):
        hp.Int("steps", 1, 3)
    with hp.conditional_scope("way", ["right"]):
        hp.Float("slope", 0.01, 1.0, sampling="log", default=0.1)
    hp.Boolean("loud")
    hp.Fixed("always", 7)
    return hp.space


LEFT = {"way": "left", "steps": 3, "loud": False, "always": 7}
RIGHT = {"way": "right", "slope": 0.01, "loud": False, "always": 7}
UP = {"way": "up", "loud": False, "always": 7}


@pytest.mark.parametrize("values", [LEFT, RIGHT, UP], ids=str)
def test_values_are_those_of_what_is_active(values):
    found = proposal.values_of(
        space(), lambda parameter: values.get(parameter.name)
    )
    assert found == values


def far(one, other):
    points = [proposal.encoded(space(), values) for values in (one, other)]
    return np.linalg.norm(np.subtract(*points))


def test_names_have_no_order_and_numbers_have_their_scale():
    steps, slope = {**LEFT, "steps": 1}, {**RIGHT, "slope": 0.1}
    pairs = [(steps, slope), (steps, UP), (slope, UP)]
    assert [far(*pair) for pair in pairs] == pytest.approx([1, 1, 1])
    assert far(UP, {**UP, "loud": True}) == pytest.approx(1)
    assert far(RIGHT, slope) == pytest.approx(0.5)  # .01, .1 and 1
    # What is not active tells nobody apart.
    assert far(UP, {**UP, "steps": 3, "slope": 1.0}) == 0


def test_candidates_are_active_values_some_of_them_near_the_best():
    found = proposal.candidates(space(), [RIGHT], np.random.default_rng(0))
    again = proposal.candidates(space(), [RIGHT], np.random.default_rng(0))
    assert found == again
    active = {"left": {"steps"}, "right": {"slope"}, "up": set()}
    for values in found:
        assert set(values) == {"way", "loud", "always"} | active[values["way"]]
    anywhere, near = found[:400], found[400:]
    distances = [
        np.mean([far(RIGHT, values) for values in half])
        for half in (anywhere, near)
    ]
    assert distances[1] < 0.7 * distances[0]
    assert {values["way"] for values in near} == {"left", "right", "up"}
    slopes = [v["slope"] for v in near if v["way"] == "right"]
    assert min(slopes) >= 0.01 and len(set(slopes)) > 20


def test_scores_count_by_their_order():
    far_off = proposal.normal_scores([1.0, -1e9, 3.0, 2.0, -np.inf])
    near_by = proposal.normal_scores([1.0, 0.5, 3.0, 2.0, 0.4])
    np.testing.assert_allclose(far_off, near_by)
    np.testing.assert_allclose(sorted(near_by), -np.sort(-near_by)[::-1])
    assert near_by.sum() == pytest.approx(0)
    equal = proposal.normal_scores([2.0, 2.0, -np.inf, -np.inf])
    assert equal[0] == equal[1] == -equal[2] == -equal[3] > 0


def test_what_is_most_promising_lies_between_good_trials():
    tried = np.array([[0.0], [0.4], [0.6], [1.0]])
    scores = proposal.normal_scores([-4, 2, 2, -4])
    points = np.linspace(0, 1, 101)[:, None]
    row = proposal.most_promising(tried, scores, np.zeros((0, 1)), points, 0)
    assert 0.4 < points[row, 0] < 0.6


def test_workers_are_sent_to_different_places():
    tried = np.array([[0.0], [0.5], [1.0]])
    scores = proposal.normal_scores([1.0, 0.0, 1.0])
    points = np.linspace(0, 1, 101)[:, None]
    taken = np.zeros((0, 1))
    for _ in range(3):
        row = proposal.most_promising(tried, scores, taken, points, 0)
        assert all(abs(points[row] - taken) > 0.02)
        taken = np.concatenate([taken, points[[row]]])
