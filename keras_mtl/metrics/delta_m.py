"""Δm: how much better or worse than single-task models, in one number."""

import math
from collections.abc import Mapping


def task_deltas(
    results: Mapping[str, float],
    baselines: Mapping[str, float],
    directions: Mapping[str, str],
) -> dict[str, float]:
    """Relative change of each task's metric in percent; above 0 is better.

    For task i with result M and baseline B it is
    `s · (M - B) / |B| · 100`, where s is 1 if more is better and -1 if less
    is. A baseline of zero has no relative change: the value is then 0 if the
    result is zero too, and NaN otherwise.

    Args:
        results: The metric of each task.
        baselines: The metric of each task's own single-task model.
        directions: `"max"` or `"min"` for each task.

    Returns:
        The change in percent, by task, in the order of `results`.

    Raises:
        ValueError: No task, different tasks or an unknown direction.

    Example:
    >>> task_deltas({"a": 0.75}, {"a": 0.5}, {"a": "max"})
    {'a': 50.0}
    """
    if not results:
        raise ValueError("`results` must hold at least one task.")
    for argument, mapping in (
        ("baselines", baselines),
        ("directions", directions),
    ):
        if set(mapping) != set(results):
            raise ValueError(
                f"`{argument}` must have the tasks of `results`: "
                f"{list(results)}. Received: {list(mapping)}"
            )
    deltas = {}
    for task, result in results.items():
        if directions[task] not in ("max", "min"):
            raise ValueError(
                f"`directions` of task {task!r} must be 'max' or 'min'. "
                f"Received: {directions[task]!r}"
            )
        change = float(result) - float(baselines[task])
        sign = 1.0 if directions[task] == "max" else -1.0
        if change == 0.0:
            deltas[task] = 0.0
        elif baselines[task] == 0:
            deltas[task] = math.nan
        else:
            deltas[task] = sign * change / abs(float(baselines[task])) * 100.0
    return deltas


def delta_m(
    results: Mapping[str, float],
    baselines: Mapping[str, float],
    directions: Mapping[str, str],
) -> float:
    """Mean over the tasks of their signed relative change, in percent.

    Above 0, the multi-task model is on average better than the single-task
    models; see `task_deltas` for each task's part. NaN as soon as one task's
    part is: leaving that task out would flatter or wrong the model.

    Args:
        results: The metric of each task.
        baselines: The metric of each task's own single-task model.
        directions: `"max"` or `"min"` for each task.

    Raises:
        ValueError: No task, different tasks or an unknown direction.

    Example:
    >>> results = {"digit": 0.9, "age": 2.2}
    >>> baselines = {"digit": 0.8, "age": 2.0}
    >>> round(delta_m(results, baselines, {"digit": "max", "age": "min"}), 6)
    1.25

    Reference:
        [Maninis et al., Attentive Single-Tasking of Multiple Tasks,
        CVPR 2019](https://arxiv.org/abs/1904.08918), equation 4
    """
    deltas = task_deltas(results, baselines, directions)
    return sum(deltas.values()) / len(deltas)
