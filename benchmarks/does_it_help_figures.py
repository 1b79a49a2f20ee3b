"""What follows from the figures of `does_it_help.py`: changes and ratios."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from new_task import SCRATCH

from keras_mtl.analysis.significance import interval
from keras_mtl.metrics import delta_m, task_deltas

SINGLE = "single-task"
HELPED, HURT, UNDECIDED, UNKNOWN = "helped", "hurt", "undecided", "not known"


class Change(NamedTuple):
    """What sharing changes, in percent; above 0 is better.

    Attributes:
        apart: The metric without sharing, mean over seeds.
        shared: The metric with it.
        mean: The change.
        low: The lower end of its 95 % interval.
        high: The upper end.
    """

    apart: float
    shared: float
    mean: float
    low: float
    high: float

    @classmethod
    def of(
        cls,
        differences: Sequence[float],
        apart: float = math.nan,
        shared: float = math.nan,
    ) -> "Change":
        """Of the differences between both, seed by seed."""
        mean = float(np.mean(differences))
        return cls(apart, shared, mean, *interval(differences))

    @property
    def outcome(self) -> str:
        """By whether 0 is in the interval."""
        if math.isnan(self.low):
            return UNKNOWN
        if self.low > 0:
            return HELPED
        return HURT if self.high < 0 else UNDECIDED

    @property
    def rank(self) -> int:
        """More is better."""
        return [UNKNOWN, HURT, UNDECIDED, HELPED].index(self.outcome)

    @property
    def text(self) -> str:
        """As in `+1.2 (−0.3 to +2.7)`."""
        if math.isnan(self.mean):
            return "undefined"
        if math.isnan(self.low):
            return signed(self.mean)
        return (
            f"{signed(self.mean)} ({signed(self.low)} to {signed(self.high)})"
        )


class Ratios(NamedTuple):
    """What one shared model takes, as a part of what the separate ones take.

    Attributes:
        parameters: Weights.
        seconds: Training time, by seed.
        operations: Of a forward pass; NaN if unknown.
        inference: Time of a batch; NaN if unknown.
    """

    parameters: float
    seconds: tuple[float, ...]
    operations: float
    inference: float


class NewTask(NamedTuple):
    """What an encoder of other tasks does for a new one."""

    task: str
    metric: str
    examples: int
    fine_tuned: Change
    frozen: Change


def signed(value: float) -> str:
    """With one decimal and a sign, but for zero; two where it is small."""
    if math.isnan(value):
        return "–"
    text = f"{value:+.1f}" if abs(value) >= 0.95 else f"{value:+.2f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def overall_change(part: Mapping[str, Any]) -> Change:
    """Δm of the shared model that was best on validation data."""
    scores, singles, baseline, directions = _scores(part)
    return Change.of(
        [
            delta_m(shared, baseline, directions)
            - delta_m(single, baseline, directions)
            for shared, single in zip(scores, singles, strict=True)
        ]
    )


def changes_by_task(part: Mapping[str, Any]) -> dict[str, Change]:
    """The same for each task."""
    scores, singles, baseline, directions = _scores(part)
    deltas, zero = (
        [task_deltas(one, baseline, directions) for one in side]
        for side in (scores, singles)
    )
    return {
        task: Change.of(
            [a[task] - b[task] for a, b in zip(deltas, zero, strict=True)],
            baseline[task],
            statistics.fmean(score[task] for score in scores),
        )
        for task in directions
    }


def levels(
    part: Mapping[str, Any], whole: Mapping[str, Any]
) -> tuple[float, float]:
    """Δm apart and shared, against single-task models with all labels."""
    scores, singles, _, directions = _scores(part)
    baseline = _scores(whole)[2]
    return tuple(
        statistics.fmean(delta_m(one, baseline, directions) for one in side)
        for side in (singles, scores)
    )


def cost_ratios(part: Mapping[str, Any]) -> Ratios:
    """One model against several."""
    seconds, sums = [], {}
    for seed in _seeds(part):
        sides = [
            [t for t in part["trainings"] if (t["method"], t["seed"]) == key]
            for key in ((part["chosen"], seed), (SINGLE, seed))
        ]
        shared, apart = (sum(t["seconds"] for t in side) for side in sides)
        seconds.append(shared / apart)
        sums = {
            key: [
                sum(math.nan if t[key] is None else t[key] for t in side)
                for side in sides
            ]
            for key in ("parameters", "operations")
        }
    times = part["inference"]
    return Ratios(
        parameters=sums["parameters"][0] / sums["parameters"][1],
        seconds=tuple(seconds),
        operations=sums["operations"][0] / sums["operations"][1],
        # Each is quartile, median, quartile.
        inference=times["shared"][1] / times["separate"][1]
        if times
        else math.nan,
    )


def new_task_changes(rows: Sequence[Mapping[str, Any]]) -> list[NewTask]:
    """One for each new task and number of examples."""
    keys = dict.fromkeys((row["task"], row["fraction"]) for row in rows)
    return [
        _new_task(
            [row for row in rows if (row["task"], row["fraction"]) == key]
        )
        for key in keys
    ]


def _new_task(rows: Sequence[Mapping[str, Any]]) -> NewTask:
    first = rows[0]
    by_way: dict[str, dict[int, float]] = {}
    for row in rows:
        by_way.setdefault(row["way"], {})[row["seed"]] = _number(row["test"])
    scratch = by_way.pop(SCRATCH)
    level = statistics.fmean(scratch.values())

    def delta(value: float) -> float:
        found = task_deltas({"": value}, {"": level}, {"": first["direction"]})
        return found[""]

    fine_tuned, frozen = (
        Change.of(
            [
                delta(values[seed]) - delta(value)
                for seed, value in scratch.items()
            ],
            level,
            statistics.fmean(values.values()),
        )
        for values in by_way.values()
    )
    return NewTask(
        first["task"], first["metric"], first["examples"], fine_tuned, frozen
    )


def _seeds(part: Mapping[str, Any]) -> list[int]:
    return list(dict.fromkeys(t["seed"] for t in part["trainings"]))


def _scores(part: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Shared and single-task scores by seed; means of the latter; directions.

    All on test data, by task.
    """
    directions = {k: m["direction"] for k, m in part["metrics"].items()}
    sides = []
    for method in (part["chosen"], SINGLE):
        scores = []
        for seed in _seeds(part):
            found: dict[str, float] = {}
            for training in part["trainings"]:
                if (training["method"], training["seed"]) == (method, seed):
                    found |= training["test"]
            scores.append({task: _number(found[task]) for task in directions})
        sides.append(scores)
    baseline = {
        task: statistics.fmean(score[task] for score in sides[1])
        for task in directions
    }
    return *sides, baseline, directions


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # JSON has no NaN
