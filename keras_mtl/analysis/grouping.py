"""Which tasks to train together, under a budget of networks."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Up to so many tasks the best grouping is found; beyond, a good one.
EXACT_TASKS = 12

# Differences in score that are rounding errors.
_TINY = 1e-9


@dataclass(frozen=True)
class Network:
    """One network of a grouping.

    Attributes:
        serves: The tasks that are taken from it.
        trains: The tasks that it learns: those, and helpers that another
            network serves.
    """

    serves: tuple[str, ...]
    trains: tuple[str, ...]

    @property
    def helpers(self) -> tuple[str, ...]:
        """The tasks that it learns without serving them."""
        return tuple(t for t in self.trains if t not in self.serves)


@dataclass(frozen=True)
class Grouping:
    """Networks that serve each task once.

    Attributes:
        networks: At most as many as the budget allows.
        scores: Of each task, in the network that serves it.
        exact: Whether no other grouping has a larger sum of scores.
    """

    networks: tuple[Network, ...]
    scores: Mapping[str, float]
    exact: bool

    @property
    def score(self) -> float:
        """The sum over the tasks."""
        return sum(self.scores.values())


def group_tasks(
    gains: Any, tasks: Sequence[str], networks: int, alone: float = 0.0
) -> Grouping:
    """The best way to spread tasks over some networks.

    As in TAG, the score of a task in a network is the mean gain that the other
    tasks trained in it bring, and the sum of the scores over all tasks is to
    be largest. A task may train in several networks, as a helper, and is
    served by one of them. The code released with the paper allows no network
    of a single task; here its score is `alone`, so that a task that nobody
    helps may stay alone.

    Up to `EXACT_TASKS` tasks the search is exact: branch and bound over which
    tasks a network serves, with the best helpers for each such set known
    beforehand. Beyond, networks are merged greedily from one for each task,
    and then single tasks move, serve elsewhere or help, as long as the score
    grows; that need not be the best grouping.

    Args:
        gains: `(T, T)`; entry i, j is what task i brings to task j: affinity,
            its relative form, or measured transfer. The diagonal has no say.
        tasks: T names.
        networks: At most so many.
        alone: The score of a task in a network of its own.

    Returns:
        The grouping; of equally good ones, one with few networks and few
        helpers.

    Raises:
        ValueError: Gains of another shape or not finite, or no network.

    Example:
        >>> gains = [[0, 0.5, -0.2], [0.5, 0, -0.1], [0.1, -0.3, 0]]
        >>> best = group_tasks(gains, ["a", "b", "c"], networks=2)
        >>> [n.trains for n in best.networks]
        [('a', 'b'), ('c',)]

    Reference:
        Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task
        Learning", NeurIPS 2021, arXiv:2109.04617, section 4. Standley et al.,
        "Which Tasks Should Be Learned Together in Multi-task Learning?",
        ICML 2020, arXiv:1905.07553.
    """
    gains = np.array(gains, "float64")
    count = len(tasks)
    if gains.shape != (count, count) or not count:
        raise ValueError(
            f"`gains` must be a matrix with a row and a column for each of the "
            f"{count} tasks. Received: shape {gains.shape}"
        )
    np.fill_diagonal(gains, 0.0)
    if not np.isfinite(gains).all():
        raise ValueError(
            "`gains` must be finite beside the diagonal. Received: "
            f"{gains.tolist()}. Leave out tasks of which nothing is known."
        )
    if networks < 1:
        raise ValueError(
            f"`networks` must be 1 or more. Received: networks={networks}"
        )
    search = _exact if count <= EXACT_TASKS else _greedy
    found = search(gains, min(networks, count), alone)
    scores = {}
    for serves, trains in found:
        for task in serves:
            scores[tasks[task]] = _score(gains, task, trains, alone)
    return Grouping(
        tuple(
            Network(
                tuple(tasks[t] for t in sorted(serves)),
                tuple(tasks[t] for t in sorted(trains)),
            )
            for serves, trains in sorted(found, key=lambda n: min(n[0]))
        ),
        {task: scores[task] for task in tasks},
        search is _exact,
    )


_Networks = list[tuple[frozenset[int], frozenset[int]]]  # (serves, trains)


def _score(
    gains: Any, task: int, trains: frozenset[int], alone: float
) -> float:
    others = [t for t in trains if t != task]
    return float(gains[others, task].mean()) if others else alone


def _exact(gains: Any, networks: int, alone: float) -> _Networks:
    count = len(gains)
    values, training = _best_training(gains, alone)
    # No task can score more than with its best helper, or alone.
    off_diagonal = gains + np.diag(np.full(count, -np.inf))
    most = np.maximum(off_diagonal.max(axis=0), alone)
    bounds = _membership(count) @ most
    best: tuple[float, list[int]] = (-np.inf, [])

    def extend(rest: int, left: int, chosen: list[int], value: float) -> None:
        nonlocal best
        if not rest:
            if value > best[0] + _TINY:
                best = (value, chosen)
            return
        # The network that serves the first task of the rest: with `left` of 1
        # it must serve them all.
        first = rest & -rest
        options = np.array([rest] if left == 1 else _holding(first, rest))
        reach = value + values[options] + bounds[rest ^ options]
        for i in np.argsort(-reach, kind="stable"):
            if reach[i] <= best[0] + _TINY:
                return
            serves = int(options[i])
            extend(
                rest ^ serves,
                left - 1,
                [*chosen, serves],
                value + values[serves],
            )

    everyone = (1 << count) - 1
    # Few networks first: more have to be better, not as good.
    for number in range(1, networks + 1):
        extend(everyone, number, [], 0.0)
    return [
        (
            frozenset(_members(serves)),
            frozenset(_members(int(training[serves]))),
        )
        for serves in best[1]
    ]


def _best_training(gains: Any, alone: float) -> tuple[Any, Any]:
    """For each set of tasks to serve, the best score and set to train.

    Sets are bit masks. The set to train holds the set to serve.
    """
    count = len(gains)
    member = _membership(count)
    sizes = member.sum(axis=1)
    # Gains have a diagonal of 0: sums are over the others.
    means = (member @ gains) / np.maximum(sizes - 1, 1)[:, np.newaxis]
    means[sizes == 1] = alone
    order = np.argsort(sizes, kind="stable")  # the smallest of equals
    values, training = np.zeros(1 << count), np.zeros(1 << count, int)
    for serves in range(1, 1 << count):
        supersets = order[(order & serves) == serves]
        totals = means[supersets] @ member[serves]
        # Rounding must not make a helper of a task that adds nothing.
        index = int(np.argmax(totals > totals.max() - _TINY))
        values[serves], training[serves] = totals[index], supersets[index]
    return values, training


def _membership(count: int) -> Any:
    """For each set of tasks, as a bit mask, who is in it `(2 ** T, T)`."""
    return (np.arange(1 << count)[:, np.newaxis] >> np.arange(count)) & 1


def _members(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _holding(first: int, rest: int) -> list[int]:
    """All subsets of a set of tasks that hold one of them."""
    found, others = [], rest ^ first
    subset = others
    while True:
        found.append(first | subset)
        if not subset:
            return found
        subset = (subset - 1) & others


def _greedy(gains: Any, networks: int, alone: float) -> _Networks:
    def total(found: _Networks) -> float:
        return sum(
            _score(gains, task, trains, alone)
            for serves, trains in found
            for task in serves
        )

    def merges(found: _Networks) -> list[_Networks]:
        return [
            [
                *(n for i, n in enumerate(found) if i not in (a, b)),
                (found[a][0] | found[b][0], found[a][1] | found[b][1]),
            ]
            for a, b in itertools.combinations(range(len(found)), 2)
        ]

    def changes(found: _Networks) -> list[_Networks]:
        """One task serves in another network, or helps there, or no more."""
        result = []
        for task, (i, (serves, trains)) in itertools.product(
            range(len(gains)), enumerate(found)
        ):
            one = frozenset([task])
            if task not in serves:
                toggled = [*found]
                toggled[i] = (serves, trains ^ one)
                moved = [
                    (s | one, t | one) if j == i else (s - one, t - (s & one))
                    for j, (s, t) in enumerate(found)
                ]
                result += [toggled, [n for n in moved if n[0]]]
        return result

    found: _Networks = [
        (frozenset([t]), frozenset([t])) for t in range(len(gains))
    ]
    while len(found) > 1:
        option = max(merges(found), key=total)
        if len(found) <= networks and total(option) < total(found) - _TINY:
            break
        found = option
    while True:
        option = max(changes(found), key=total, default=found)
        if total(option) <= total(found) + _TINY:
            return found
        found = option
