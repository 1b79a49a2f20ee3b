"""One row per balancer: what the conformance tests run over.

A new balancer adds its row to `CASES`; nothing else here changes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_mtl import balancers

# Stands for one number per task in a variant's arguments.
PER_TASK = object()
_TASK_VALUES = (0.2, 0.9, 0.5, 0.7, 0.1, 0.6, 0.3, 0.8)

# The matrix that the hand values belong to: G = [[18, -22], [-22, 38]].
HAND_JACOBIAN = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


@dataclass(frozen=True)
class Hand:
    """What a constructor's arguments give on `HAND_JACOBIAN`, losses 1, 1."""

    arguments: dict[str, Any]
    weights: tuple[float, ...]
    direction: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """A balancer, by its registered name.

    Attributes:
        name: The name in the registry.
        variants: Constructor arguments to run every contract with.
        hand: Values worked out by hand.
        random: Whether the result depends on a seed with three or more tasks.
    """

    name: str
    variants: tuple[dict[str, Any], ...] = ({},)
    hand: tuple[Hand, ...] = field(default=())
    random: bool = False


CASES = (
    Case(
        "cagrad",
        ({}, {"c": 1.5, "rescale": 1}),
        (
            Hand({"c": 0.5}, (0.7041, 0.5), (0.1835, 1.2041, 1.2041)),
            Hand({"c": 0.0}, (0.5, 0.5), (1.0, 1.0, 1.0)),
            Hand(
                {"c": 0.5, "rescale": 1},
                (0.56330, 0.4),
                (0.14680, 0.96330, 0.96330),
            ),
            Hand(
                {"c": 0.5, "rescale": 2},
                (0.46942, 0.33333),
                (0.12234, 0.80275, 0.80275),
            ),
        ),
    ),
    Case("dynamic_weight_average", ({}, {"temperature": 0.5})),
    Case(
        "fixed",
        ({}, {"weights": PER_TASK}, {"weights": 0.5}),
        (Hand({"weights": [1.0, 0.5]}, (1.0, 0.5), (-1.0, 1.5, 1.5)),),
    ),
    Case("graddrop", ({"seed": 3}, {"seed": 3, "leak": PER_TASK}), random=True),
    Case("gradnorm", ({}, {"alpha": 0.0, "learning_rate": 0.5})),
    Case(
        "imtlg",
        hand=(Hand({}, (0.5923, 0.4077), (0.0767, 1.0, 1.0)),),
    ),
    Case(
        "mgda",
        tuple({"normalize": n} for n in ("none", "l2", "loss", "loss+")),
        (Hand({}, (0.6, 0.4), (0.0, 1.0, 1.0)),),
    ),
    Case(
        "pcgrad",
        ({"seed": 3}, {"seed": 3, "reduction": "mean"}),
        (
            Hand({}, (2.2222, 1.5789), (0.5848, 3.8012, 3.8012)),
            Hand(
                {"reduction": "mean"},
                (1.11111, 0.78947),
                (0.29240, 1.90058, 1.90058),
            ),
        ),
        random=True,
    ),
    Case("uncertainty", ({}, {"coefficients": PER_TASK})),
)

ROWS = [(case, variant) for case in CASES for variant in case.variants]
IDS = [
    "-".join([case.name, *(f"{k}={v}" for k, v in variant.items())]).replace(
        str(PER_TASK), "per_task"
    )
    for case, variant in ROWS
]


def make(case: Case, variant: dict[str, Any], tasks: Any) -> Any:
    """A new balancer for the given task numbers, or for so many tasks."""
    if isinstance(tasks, int):
        tasks = range(tasks)
    arguments = {
        key: [_TASK_VALUES[t] for t in tasks] if value is PER_TASK else value
        for key, value in variant.items()
    }
    return balancers.get(case.name, **arguments)


def jacobian(num_tasks: int, kind: str = "ordinary", columns: int = 12) -> Any:
    """A Jacobian of one of the kinds that break solvers."""
    rng = np.random.default_rng(num_tasks)
    rows = rng.normal(size=(num_tasks, columns)) + 0.3
    if kind == "zero row":
        rows[0] = 0.0
    elif kind == "all zero":
        rows[:] = 0.0
    elif kind == "duplicates":
        rows[-1] = rows[0]
    elif kind == "opposite":
        rows[-1] = -rows[0]
    elif kind == "rank one":
        rows = rng.normal(size=(num_tasks, 1)) * rows[:1]
    elif kind == "badly scaled":
        rows *= np.geomspace(1.0, 1e6, num_tasks)[:, None]
    return rows


KINDS = (
    "ordinary",
    "zero row",
    "all zero",
    "duplicates",
    "opposite",
    "rank one",
    "badly scaled",
)
