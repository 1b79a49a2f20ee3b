"""Which balancer, with which hyperparameters, or which loss weights."""

from collections.abc import Mapping
from typing import Any

from keras_mtl import balancers
from keras_mtl.tasks import TaskSet

FIXED = "fixed"

# What is searched of each balancer: its argument, the range and the scale.
# Arguments that are not here keep the value that they are given.
RANGES: dict[str, tuple[str, float, float, str]] = {
    "cagrad": ("c", 0.1, 0.9, "linear"),
    "db_mtl": ("beta", 0.5, 0.99, "linear"),
    "dynamic_task_priority": ("gamma", 0.3, 3.0, "log"),
    "dynamic_weight_average": ("temperature", 0.5, 8.0, "log"),
    "excess_mtl": ("robust_step_size", 1e-3, 1e-1, "log"),
    "fairgrad": ("alpha", 0.3, 5.0, "log"),
    "famo": ("learning_rate", 1e-3, 1e-1, "log"),
    "graddrop": ("leak", 0.0, 0.9, "linear"),
    "gradnorm": ("alpha", 0.1, 3.0, "linear"),
    "gradvac": ("beta", 1e-3, 1e-1, "log"),
    "nash_mtl": ("max_norm", 0.3, 3.0, "log"),
    "sdmgrad": ("lambda_", 0.1, 1.0, "log"),
    "smooth_tchebycheff": ("mu", 0.1, 10.0, "log"),
    "soft_optimal_uncertainty": ("temperature", 0.2, 5.0, "log"),
}


def choose_balancer(hp: Any, named: Mapping[str, Any], tasks: TaskSet) -> Any:
    """The config of a balancer, as some hyperparameters tell.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        named: Configs of balancers by name, the default first. Under "fixed",
            loss weights are searched.
        tasks: The tasks.

    Returns:
        A config for `compile`.
    """
    names = list(named)
    chosen = names[0] if len(names) == 1 else hp.Choice("balancer", names)
    configs = {}
    for name in names:
        if len(names) == 1:
            configs[name] = _configured(hp, name, named[name], tasks)
        else:
            with hp.conditional_scope("balancer", [name]):
                # Also of those that are not chosen: so the space is known.
                configs[name] = _configured(hp, name, named[name], tasks)
    return configs[chosen]


def choose_loss_weights(hp: Any, tasks: TaskSet) -> dict[str, float] | None:
    """Loss weights whose mean is 1, searched on a log scale.

    The weights have as many degrees of freedom as a point on a simplex: the
    ratio of each task's weight to that of the first.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        tasks: The tasks.

    Returns:
        A weight for each task, or None where the scope is not active.
    """
    first, *others = tasks
    ratios = {
        task: hp.Float(f"weight/{task}", 0.01, 100.0, sampling="log", default=1)
        for task in others
    }
    if None in ratios.values():
        return None
    ratios = {first: 1.0, **{task: float(r) for task, r in ratios.items()}}
    mean = sum(ratios.values()) / len(ratios)
    return {task: ratio / mean for task, ratio in ratios.items()}


def _configured(hp: Any, name: str, config: Any, tasks: TaskSet) -> Any:
    if name == FIXED:
        weights = choose_loss_weights(hp, tasks)
        return balancers.serialize(balancers.Fixed(weights))
    registered = next(
        (
            n
            for n in balancers.registry
            if balancers.registry[n].__name__ == config["class_name"]
        ),
        None,
    )
    if registered not in RANGES:
        return config
    argument, low, high, sampling = RANGES[registered]
    given = config["config"].get(argument)
    if not isinstance(given, (int, float)):
        return config  # one number a task: not ours to change
    value = hp.Float(
        f"{name}/{argument}",
        low,
        high,
        sampling=sampling,
        default=min(max(float(given), low), high),
    )
    if value is None:
        return config
    return {**config, "config": {**config["config"], argument: float(value)}}
