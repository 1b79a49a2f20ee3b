"""One row per balancer: what the conformance tests run over.

A new balancer adds its row to `CASES`; nothing else here changes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_mtl import balancers

# Stands for one number per task in a variant's arguments.
PER_TASK = object()
# Stands for the groups of tasks with even numbers and with odd ones.
EVEN_AND_ODD = "even and odd"
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
        "aligned_mtl",
        (
            {},
            {"scale_mode": "median", "preference": PER_TASK},
            {"scale_mode": "rmse", "reduction": "sum"},
        ),
        (
            Hand({}, (0.5591, 0.4083), (0.2133, 0.9673, 0.9673)),
            Hand(
                {"reduction": "sum"},
                (1.11814, 0.81652),
                (0.42656, 1.93467, 1.93467),
            ),
            Hand(
                {"scale_mode": "rmse"},
                (1.51087, 1.10331),
                (0.57638, 2.61417, 2.61417),
            ),
        ),
    ),
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
    Case(
        "config",
        ({}, {"preference": PER_TASK}),
        (
            Hand({}, (1.22648, 0.84412), (0.1588, 2.0706, 2.0706)),
            Hand(
                {"preference": [2.0, 1.0]},
                (1.17284, 0.76209),
                (-0.11885, 1.93493, 1.93493),
            ),
        ),
    ),
    Case(
        "cosmos",
        ({"preference": PER_TASK}, {"preference": PER_TASK, "lambda_": 0.1}),
    ),
    Case(
        "db_mtl",
        ({}, {"beta": 0.5, "beta_sigma": 0.5}),
        (
            Hand(
                {"beta": 0.0},
                (1.45297, 1.0),
                (0.18812, 2.45297, 2.45297),
            ),
        ),
    ),
    Case(
        "dualproj",
        ({}, {"preference": PER_TASK}, {"reduction": "sum"}),
        (
            Hand({}, (0.6111, 0.5), (0.5556, 1.1111, 1.1111)),
            Hand(
                {"reduction": "sum"},
                (1.22222, 1.0),
                (1.11111, 2.22222, 2.22222),
            ),
            Hand(
                {"preference": [2.0, 1.0]},
                (0.66667, 0.38596),
                (-0.35088, 1.05263, 1.05263),
            ),
        ),
    ),
    Case("dynamic_task_priority", ({}, {"gamma": PER_TASK, "alpha": 1.0})),
    Case("dynamic_weight_average", ({}, {"temperature": 0.5})),
    Case(
        "excess_mtl",
        ({}, {"robust_step_size": 1.0, "warmup_steps": 2}),
        (Hand({}, (0.5, 0.5), (1.0, 1.0, 1.0)),),
    ),
    Case(
        "fairgrad",
        ({}, {"alpha": 2.0}, {"alpha": 0.5}),
        (Hand({}, (0.59146, 0.40707), (0.0766, 0.9985, 0.9985)),),
    ),
    Case(
        "famo",
        (
            {},
            {"losses_after": "next_batch", "min_losses": 0.1},
            {"losses_after": "next_batch", "optimizer": "sgd"},
        ),
        (Hand({}, (0.5, 0.5), (1.0, 1.0, 1.0)),),
    ),
    Case(
        "fixed",
        ({}, {"weights": PER_TASK}, {"weights": 0.5}),
        (Hand({"weights": [1.0, 0.5]}, (1.0, 0.5), (-1.0, 1.5, 1.5)),),
    ),
    Case("geometric_mean"),
    Case("graddrop", ({"seed": 3}, {"seed": 3, "leak": PER_TASK}), random=True),
    Case(
        "gradient_normalization",
        (
            {"balancer": "cagrad"},
            {"balancer": "imtlg", "normalize": "loss+"},
            {"balancer": "dynamic_weight_average", "normalize": "loss"},
        ),
        (
            Hand(
                {"balancer": "fixed"},
                (0.23570, 0.16222),
                (0.03053, 0.39792, 0.39792),
            ),
        ),
    ),
    Case("gradnorm", ({}, {"alpha": 0.0, "learning_rate": 0.5})),
    Case(
        "gradvac",
        ({"seed": 3}, {"seed": 3, "beta": 0.5}),
        # From averages of 0, which makes it PCGrad.
        (Hand({}, (2.2222, 1.5789), (0.5848, 3.8012, 3.8012)),),
        random=True,
    ),
    Case("imtl_loss"),
    Case(
        "imtlg",
        hand=(Hand({}, (0.5923, 0.4077), (0.0767, 1.0, 1.0)),),
    ),
    Case("krum", ({}, {"n_byzantine": 0, "n_selected": 2})),
    Case("log_sum"),
    Case(
        "mgda",
        tuple({"normalize": n} for n in ("none", "l2", "loss", "loss+")),
        (Hand({}, (0.6, 0.4), (0.0, 1.0, 1.0)),),
    ),
    Case(
        "moco",
        ({}, {"beta_sigma": 0.0, "gamma": 0.01, "gamma_sigma": 0.0}),
        (Hand({"beta": 1.0, "gamma": 0.01}, (0.55, 0.45), (0.5, 1.0, 1.0)),),
    ),
    Case(
        "modo",
        ({}, {"gamma": 0.01, "rho": 0.0}),
        (Hand({"gamma": 0.01}, (0.55, 0.45), (0.5, 1.0, 1.0)),),
    ),
    Case(
        "momentum",
        (
            {"balancer": "mgda"},
            {"balancer": "gradnorm", "alpha": 0.5},
            {"balancer": "dynamic_weight_average"},
        ),
        (Hand({"balancer": "mgda"}, (0.6, 0.4), (0.0, 1.0, 1.0)),),
    ),
    Case(
        "nash_mtl",
        ({}, {"max_norm": None, "preference": PER_TASK}),
        (
            Hand(
                {"max_norm": None},
                (0.59146, 0.40707),
                (0.0766, 0.9985, 0.9985),
            ),
            # ‖d‖² = Σ p = 2, cut to 1.
            Hand({}, (0.41822, 0.28784), (0.05416, 0.70606, 0.70606)),
        ),
    ),
    Case(
        "pbi",
        (
            {"preference": PER_TASK},
            {"preference": PER_TASK, "theta": 0.5, "ideal": PER_TASK},
        ),
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
    Case(
        "preference_tchebycheff",
        (
            {"preference": PER_TASK},
            {"preference": PER_TASK, "ideal": PER_TASK},
        ),
    ),
    Case("random_weighting", ({"seed": 3},), random=True),
    Case(
        "sdmgrad",
        ({}, {"learning_rate": 0.1, "lambda_": 1.0, "rescale": True}),
        (
            Hand(
                {"learning_rate": 0.1, "n_iter": 200},
                (0.78, 0.52),
                (0.0, 1.3, 1.3),
            ),
            Hand(
                {"learning_rate": 0.1, "n_iter": 200, "rescale": True},
                (0.6, 0.4),
                (0.0, 1.0, 1.0),
            ),
        ),
    ),
    Case(
        "smooth_tchebycheff",
        ({}, {"mu": 0.5, "warmup_epochs": 0, "preference": PER_TASK}),
    ),
    Case("soft_optimal_uncertainty", ({}, {"temperature": 0.1})),
    Case(
        "task_groups",
        (
            {"groups": EVEN_AND_ODD},
            {"groups": EVEN_AND_ODD, "within": "cagrad", "across": "imtlg"},
            {"groups": EVEN_AND_ODD, "across": "fixed"},
        ),
        (
            Hand({"groups": [[0], [1]]}, (0.6, 0.4), (0.0, 1.0, 1.0)),
            Hand({"groups": [[1, 0]]}, (1.0, 1.0), (2.0, 2.0, 2.0)),
        ),
    ),
    Case("trimmed_mean", ({}, {"trim_number": 2})),
    Case("uncertainty", ({}, {"coefficients": PER_TASK})),
    Case(
        "upgrad",
        ({}, {"preference": PER_TASK}, {"reduction": "sum"}),
        (
            Hand({}, (1.1111, 0.7895), (0.29240, 1.90058, 1.90058)),
            Hand(
                {"reduction": "sum"},
                (2.22222, 1.57895),
                (0.58480, 3.80117, 3.80117),
            ),
            Hand(
                {"preference": [2.0, 1.0]},
                (1.07407, 0.71930),
                (0.01949, 1.79337, 1.79337),
            ),
        ),
    ),
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
    values = [_TASK_VALUES[t % len(_TASK_VALUES)] for t in tasks]
    arguments = {
        key: values if value is PER_TASK else value
        for key, value in variant.items()
    }
    if variant.get("groups") is EVEN_AND_ODD:
        groups = [
            [i for i, t in enumerate(tasks) if t % 2 == rest] for rest in (0, 1)
        ]
        arguments["groups"] = [group for group in groups if group]
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
