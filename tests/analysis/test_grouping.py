import itertools

import numpy as np
import pytest

from keras_mtl.analysis import grouping
from keras_mtl.analysis.grouping import group_tasks

NAMES = "abcdefghijklmnop"


def by_brute_force(gains, networks, alone):
    """The best sum of scores over all choices of training sets."""
    count = len(gains)

    def score(group, task):
        others = [t for t in group if t != task]
        return np.mean([gains[t][task] for t in others]) if others else alone

    groups = [
        g
        for size in range(1, count + 1)
        for g in itertools.combinations(range(count), size)
    ]
    best = -np.inf
    for number in range(1, networks + 1):
        for chosen in itertools.combinations(groups, number):
            serving = [
                [score(g, task) for g in chosen if task in g]
                for task in range(count)
            ]
            if all(serving):
                best = max(best, sum(map(max, serving)))
    return best


def matrix(count, seed):
    return np.random.default_rng([count, seed]).normal(size=(count, count))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("count", "networks"), [(2, 1), (2, 2), (3, 2), (3, 3), (4, 2), (4, 3)]
)
def test_against_brute_force(count, networks, seed):
    gains = matrix(count, seed)
    for alone in (0.0, -0.5):
        found = group_tasks(gains, NAMES[:count], networks, alone)
        assert found.exact
        assert found.score == pytest.approx(
            by_brute_force(gains, networks, alone), abs=1e-9
        )
        check(found, gains, networks, alone)


def check(found, gains, networks, alone=0.0):
    """Holds what a grouping says against the gains."""
    names = NAMES[: len(gains)]
    assert len(found.networks) <= networks
    served = [task for network in found.networks for task in network.serves]
    assert sorted(served) == list(names)
    assert list(found.scores) == list(names)
    for network in found.networks:
        assert set(network.serves) <= set(network.trains)
        for task in network.serves:
            others = [names.index(t) for t in network.trains if t != task]
            column = names.index(task)
            expected = np.mean(gains[others, column]) if others else alone
            assert found.scores[task] == pytest.approx(expected)


def test_more_networks_are_never_worse():
    gains = matrix(7, 0)
    scores = [
        group_tasks(gains, NAMES[:7], networks).score
        for networks in range(1, 8)
    ]
    assert scores == sorted(scores)
    # With a network for each, each has the best helper, or nobody.
    best = (gains + np.diag([-np.inf] * 7)).max(axis=0)
    assert scores[-1] == pytest.approx(np.maximum(best, 0).sum())


def test_a_task_may_help_in_a_network_that_does_not_serve_it():
    # a helps b; b hurts a.
    gains = np.array([[0, 0.5], [-0.5, 0]])
    found = group_tasks(gains, "ab", 2)
    assert [(n.serves, n.trains, n.helpers) for n in found.networks] == [
        (("a",), ("a",), ()),
        (("b",), ("a", "b"), ("a",)),
    ]


def test_equal_scores_take_few_networks_and_no_helpers():
    found = group_tasks(np.zeros((5, 5)), NAMES[:5], 5)
    assert [n.trains for n in found.networks] == [tuple(NAMES[:5])]
    gains = np.full((3, 3), -1.0)
    found = group_tasks(gains, "abc", 3)
    assert [n.trains for n in found.networks] == [("a",), ("b",), ("c",)]


def test_twelve_tasks_in_reasonable_time():
    gains = matrix(12, 0)
    found = group_tasks(gains, NAMES[:12], 4)
    assert found.exact
    check(found, gains, 4)


def test_beyond_that_the_heuristic_keeps_blocks_together():
    count = 15
    block = np.arange(count) % 3
    gains = np.where(block[:, None] == block, 0.5, -0.2)
    found = group_tasks(gains, NAMES[:count], 3)
    assert not found.exact
    check(found, gains, 3)
    assert found.score == pytest.approx(0.5 * count)


@pytest.mark.parametrize("seed", range(5))
def test_the_heuristic_comes_near_the_best(seed, monkeypatch):
    gains = matrix(7, seed)
    exact = group_tasks(gains, NAMES[:7], 3)
    monkeypatch.setattr(grouping, "EXACT_TASKS", 1)
    found = group_tasks(gains, NAMES[:7], 3)
    assert not found.exact
    check(found, gains, 3)
    assert 0.7 * exact.score <= found.score <= exact.score + 1e-9


@pytest.mark.parametrize(
    ("gains", "networks", "message"),
    [
        (np.zeros((2, 3)), 1, "a row and a column"),
        (np.array([[0, np.nan], [0, 0]]), 1, "must be finite"),
        (np.zeros((2, 2)), 0, "`networks` must be 1"),
    ],
)
def test_bad_input(gains, networks, message):
    with pytest.raises(ValueError, match=message):
        group_tasks(gains, "ab", networks)
