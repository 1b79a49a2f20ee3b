"""What a search finds, and what its choice is worth.

    python benchmarks/search.py DIRECTORY

**Correlation.** At both ends of the correlation of `recipes/correlation.py`,
with fewer examples, every way of sharing is trained with every of seven
learning rates for several seeds, each of which makes another problem. On that
table, oracles search: a trial looks its result up, so that a search of any
length costs nothing, and they are those of `keras-mtl tune`. A search sees
validation data alone; shown is what the model that it chose gains over
single-task models, with the recipe's learning rate, on test data. Random and
Bayesian searches have the same budget and begin with the defaults. Each
problem is searched ten times, with other seeds of the oracle; their mean counts
once, for problems are what is tested over.

**Digits.** `keras-mtl tune` as it is, on `recipes/digits.py`. The values that
it chose are trained again beside the defaults, with seeds that it has not seen.

Goes on where it was stopped. Writes `search.json` and `search.md`; what
searches leave behind is in `runs`.
"""

import argparse
import functools
import itertools
import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import runpy
import tempfile
from pathlib import Path

import keras
import keras_tuner
import numpy as np
from correlation import Experiment
from correlation_report import SINGLE
from reporting import Report
from scipy import stats

import keras_mtl
from keras_mtl import tuner
from keras_mtl.data import Mixture
from keras_mtl.metrics import task_deltas
from keras_mtl.tuner.oracles import make_oracle

RECIPES = Path(__file__).parents[1] / "recipes"
# Few enough that it matters how tasks share.
EXAMPLES = {"train": 5_000, "validation": 2_000, "test": 5_000}
RATES = (5e-4, 1e-3, 1.7e-3, 3e-3, 5e-3, 9e-3, 2e-2)
DEFAULT = 3e-3  # of the recipe
ORACLES = ("random", "bayesian")
BUDGETS = (5, 10, 15)
SEARCHES = 10  # of each problem
Scores = dict[str, float]


def trained(
    recipe: Any, splits: Any, tasks: Any, values: Mapping[str, Any], seed: int
) -> Scores:
    """The metric of each task on test data, of a model trained once."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    tasks = keras_mtl.TaskSet(tasks)
    model = tuner.MultiTaskHyperModel(
        recipe.build, tasks, recipe.optimizer, recipe.balancers
    ).build(hp)
    x, y = splits.train
    train = Mixture(  # draws another order in every epoch
        {"all": (x, {name: y[name] for name in tasks})},
        tasks,
        batch_size=recipe.batch_size,
        seed=seed,
    )
    model.fit(train, epochs=recipe.epochs, verbose=0)
    x, y = splits.test
    logs = model.evaluate(
        x, {name: y[name] for name in tasks}, return_dict=True, verbose=0
    )
    return {name: float(logs[task.monitor]) for name, task in tasks.items()}


def gains(recipe: Any, scores: Scores, single: Scores) -> Scores:
    """What each task gains over its single-task model, in percent."""
    directions = {name: task.direction for name, task in recipe.tasks.items()}
    return task_deltas(scores, single, directions)


class Results:
    """What is known so far, on disk after every step.

    Args:
        directory: Where `search.json` is, if there is one to go on with.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "search.json"
        self.records: dict[str, Any] = {}
        self.tables: dict[str, Any] = {}
        if self.file.exists():
            self.records = json.loads(self.file.read_text("utf-8"))

    def show(self, name: str, write: Any, *rows: Any) -> None:
        """Shows all tables so far and writes them."""
        self.tables[name] = lambda report: write(report, *rows)
        report = Report("Search", self.directory / "search.md", None)
        for table in self.tables.values():
            table(report)

    def step(self, key: str, run: Any) -> Any:
        """What `run` gives, or gave when it was run before."""
        if key not in self.records:
            self.records[key] = run()
            lines = [
                f"{json.dumps(name)}: {json.dumps(record)}"
                for name, record in self.records.items()
            ]
            text = "{\n" + ",\n".join(lines) + "\n}\n"
            self.file.write_text(text, "utf-8")
            print(key, flush=True)
        return self.records[key]


def measure(page: dict[str, Any], way: str, seeds: int) -> dict[str, Any]:
    """Errors of one way of sharing, or of single-task models.

    Returns:
        By end, learning rate and split, for each seed and task.
    """
    recipe = page["recipe"]
    experiment = Experiment(recipe, page["draw"], range(seeds), "test", 0)
    groups = experiment.models(way)
    names = list(recipe.tasks)
    found: dict[str, Any] = {}
    for end in (recipe.sources[0], recipe.sources[-1]):
        drawn = [page["draw"](float(end), seed) for seed in range(seeds)]
        data = {
            split: (
                np.stack([getattr(one, split)[0] for one in drawn]),
                np.stack(
                    [
                        np.stack(
                            [getattr(one, split)[1][n] for n in names], axis=-1
                        )
                        for one in drawn
                    ]
                ),
            )
            for split in EXAMPLES
        }
        found[end] = {}
        for rate in [DEFAULT] if way == SINGLE else RATES:
            errors = {"validation": [], "test": []}
            for group in groups:
                columns = [names.index(task) for task in group.tasks]
                own = {
                    split: (x, y[..., columns])
                    for split, (x, y) in data.items()
                }
                curve = group.fit(
                    own["train"],
                    own["validation"],
                    rate,
                    recipe.epochs,
                    recipe.batch_size,
                    lambda epoch: np.stack(
                        [
                            np.random.default_rng([seed, epoch]).permutation(
                                EXAMPLES["train"]
                            )
                            for seed in range(seeds)
                        ]
                    ),
                )
                errors["validation"].append(curve[-1])
                errors["test"].append(group.errors(own["test"]))
            found[end][str(rate)] = {
                split: np.concatenate(parts, axis=-1).tolist()
                for split, parts in errors.items()
            }
    return found


class LookUp(keras_tuner.Tuner):
    """Trials whose results are known.

    Args:
        oracle: Proposes values.
        scores: By way of sharing and learning rate.
        directory: Where KerasTuner keeps its files.
    """

    def __init__(self, oracle: Any, scores: Any, directory: str) -> None:
        self.scores, self.tried = scores, []
        super().__init__(oracle, directory=directory, project_name="table")

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Looks the result up."""
        values = trial.hyperparameters.values
        key = (values["sharing"], float(values["learning_rate"]))
        self.tried.append(key)
        return {"score": self.scores[key]}


def searched(
    oracle: str, scores: dict[Any, float], ways: list[str], seed: int
) -> list[Any]:
    """What an oracle tries, in this order."""
    space = keras_tuner.HyperParameters()
    space.Choice("sharing", ways)
    space.Choice("learning_rate", list(RATES), default=DEFAULT, ordered=True)
    with tempfile.TemporaryDirectory() as directory:
        tuner = LookUp(
            make_oracle(
                oracle, space, trials=max(BUDGETS), epochs=1, seed=seed
            ),
            scores,
            directory,
        )
        tuner.search(verbose=0)
    return tuner.tried


def searches(
    oracle: str, scores: dict[Any, float], ways: list[str], seed: int
) -> list[list[Any]]:
    """What several searches try, each with a seed of its own."""
    return [
        searched(oracle, scores, ways, seed + 1000 * number)
        for number in range(SEARCHES)
    ]


def search_correlation(results: Results, seeds: int) -> None:
    """Searches on the table of all that could be found."""
    page = runpy.run_path(str(RECIPES / "correlation.py"))
    page["EXAMPLES"].update(EXAMPLES)
    ways = list(page["recipe"].sharings)
    table = {
        way: results.step(
            f"correlation, {seeds} seeds, {way}",
            functools.partial(measure, page, way, seeds),
        )
        for way in (*ways, SINGLE)
    }
    rows = []
    for end in table[SINGLE]:
        # Δm in percent (seeds,), by split, way and rate.
        deltas = {
            split: {
                (way, rate): delta_of(
                    table[way][end][str(rate)][split],
                    table[SINGLE][end][str(DEFAULT)][split],
                )
                for way in ways
                for rate in RATES
            }
            for split in ("validation", "test")
        }
        for seed in range(seeds):
            known = {
                split: {key: float(v[seed]) for key, v in values.items()}
                for split, values in deltas.items()
            }
            for oracle in ORACLES:
                found = results.step(
                    f"correlation {end}, {seeds} seeds, seed {seed}, {oracle}, "
                    f"{SEARCHES} searches",
                    functools.partial(
                        searches, oracle, known["validation"], ways, seed
                    ),
                )
                for tried, budget in itertools.product(found, BUDGETS):
                    chosen = max(
                        map(tuple, tried[:budget]), key=known["validation"].get
                    )
                    rows.append(
                        {
                            **{"end": end, "seed": seed, "model": oracle},
                            **{"budget": budget, "sharing": chosen[0]},
                            "rate": chosen[1],
                            "delta": known["test"][chosen],
                        }
                    )
            rows += [
                {
                    **{"end": end, "seed": seed, "model": way, "rate": rate},
                    "delta": delta,
                }
                for (way, rate), delta in known["test"].items()
            ]
    results.show("correlation", correlation_tables, rows)


def delta_of(errors: Any, single: Any) -> Any:
    """Δm of each seed, for errors `(seeds, tasks)`."""
    errors, single = np.array(errors), np.array(single)
    return 100 * np.mean((single - errors) / single, axis=-1)


def tuned(recipe: Any, runs: Path, trials: int) -> dict[str, Any]:
    """What `tune` finds."""
    result = tuner.tune(recipe, trials=trials, out=runs)
    return {
        "chosen": result.chosen.values,
        "validation": result.chosen.score,
        "test_gains": result.test_gains,
        "trials": [
            {"status": t.status, "score": t.score, "values": t.values}
            for t in result.trials
        ],
    }


def search_digits(results: Results, seeds: int, trials: int) -> None:
    """Gains of the chosen values and of the defaults, for fresh seeds."""
    recipe = runpy.run_path(str(RECIPES / "digits.py"))["recipe"]
    found = results.step(
        f"digits, {trials}",
        functools.partial(tuned, recipe, results.directory / "runs", trials),
    )
    splits = recipe.load("digits", None)
    rows = []
    for seed in range(1, seeds + 1):  # the search had seed 0
        models = {
            **{name: ([task], {}) for name, task in recipe.tasks.items()},
            "defaults": (recipe.tasks.values(), {}),
            "chosen": (recipe.tasks.values(), found["chosen"]),
        }
        scores = {
            name: results.step(
                f"digits, seed {seed}, {name}"
                + (f", {trials}" if name == "chosen" else ""),
                functools.partial(trained, recipe, splits, *how, seed),
            )
            for name, how in models.items()
        }
        single = {name: scores[name][name] for name in recipe.tasks}
        rows.append(
            {
                "seed": seed,
                "single-task": single,
                **{
                    name: {
                        "scores": scores[name],
                        "gains": gains(recipe, scores[name], single),
                    }
                    for name in ("defaults", "chosen")
                },
            }
        )
    results.show("digits", digits_table, rows, found["chosen"])


def delta(row: Mapping[str, Any]) -> float:
    """Δm: the mean gain."""
    return float(np.mean(list(row["gains"].values())))


def spread(values: list[float], digits: int = 2) -> str:
    """Mean ± standard deviation."""
    deviation = np.std(values, ddof=1) if len(values) > 1 else float("nan")
    return f"{np.mean(values):+.{digits}f} ± {deviation:.{digits}f}"


def paired(first: list[float], second: list[float]) -> str:
    """How often and how far the first is above the second."""
    differences = np.subtract(first, second)
    told = (
        f"{spread(list(differences))}, above in {(differences > 0).sum()} of "
        f"{len(differences)}"
    )
    if len(differences) > 1 and np.std(differences) > 0:
        told += f", p = {stats.ttest_rel(first, second).pvalue:.2g}"
    return told


def correlation_tables(report: Report, rows: list[dict[str, Any]]) -> None:
    """Two tables for each end: what there is to find, and what was found."""
    for end in dict.fromkeys(row["end"] for row in rows):
        here = [row for row in rows if row["end"] == end]
        plain = [row for row in here if "budget" not in row]
        ways = list(dict.fromkeys(row["model"] for row in plain))

        def of(way: str, rate: float, plain: Any = plain) -> list[float]:
            return [
                row["delta"]
                for row in plain
                if (row["model"], row["rate"]) == (way, rate)
            ]

        best = {
            way: max(RATES, key=lambda rate, way=way: np.mean(of(way, rate)))
            for way in ways
        }
        order = sorted(ways, key=lambda way: -np.mean(of(way, best[way])))
        seeds = len(of(ways[0], DEFAULT))
        report.table(
            f"Correlation {end}: Δm of each way on test data, %",
            [
                {
                    "way": way,
                    "default": spread(of(way, DEFAULT), 1),
                    "best": spread(of(way, best[way]), 1),
                    "rate": f"{best[way]:g}",
                }
                for way in order
            ],
            {
                "way": "way of sharing",
                "default": f"learning rate {DEFAULT:g}",
                "best": "best learning rate",
                "rate": "which",
            },
            [
                f"Mean ± sd of {seeds} problems; the best rate by their mean.",
                f"{order[0]} over {order[-1]}, each with its best rate: "
                + paired(
                    of(order[0], best[order[0]]), of(order[-1], best[order[-1]])
                )
                + ".",
            ],
        )
        table, notes = [], []
        # The mean over all that a search could have picked.
        at_random = np.mean(
            [of(way, rate) for way in ways for rate in RATES], axis=0
        )
        table.append({"model": "a model at random", "delta": spread(at_random)})
        table.append(
            {"model": "defaults", "delta": spread(of(ways[0], DEFAULT))}
        )
        for budget in BUDGETS:
            found = {
                oracle: [
                    row
                    for row in here
                    if (row["model"], row.get("budget")) == (oracle, budget)
                ]
                for oracle in ORACLES
            }
            for oracle, chosen in found.items():
                counts = Counter(row["sharing"] for row in chosen)
                table.append(
                    {
                        "model": f"{oracle}, {budget} trials",
                        "delta": spread(by_problem(chosen)),
                        "chosen": ", ".join(
                            f"{way} {count}"
                            for way, count in counts.most_common()
                        ),
                    }
                )
            random, bayesian = (by_problem(found[name]) for name in ORACLES)
            notes += [
                f"{budget} trials: Bayesian over random "
                f"{paired(bayesian, random)}; over a model at random "
                f"{paired(bayesian, at_random)}; over the defaults "
                f"{paired(bayesian, of(ways[0], DEFAULT))}."
            ]
        report.table(
            f"Correlation {end}: what searches chose, Δm on test data, %",
            table,
            {
                "model": "model",
                "delta": "Δm over single-task",
                "chosen": "ways it chose",
            },
            notes,
        )


def by_problem(rows: list[dict[str, Any]]) -> list[float]:
    """Δm of each problem, the mean of its searches."""
    problems: dict[int, list[float]] = {}
    for row in rows:
        problems.setdefault(row["seed"], []).append(row["delta"])
    return [float(np.mean(deltas)) for deltas in problems.values()]


def digits_table(
    report: Report, rows: list[dict[str, Any]], values: Mapping[str, Any]
) -> None:
    """Metrics and gains of the defaults and of what was chosen."""
    tasks = list(rows[0]["single-task"])
    table = []
    for model in ("single-task", "defaults", "chosen"):
        scores = [
            row[model] if model == "single-task" else row[model]["scores"]
            for row in rows
        ]
        table.append(
            {
                "model": model,
                **{
                    task: spread([s[task] for s in scores], 4).lstrip("+")
                    for task in tasks
                },
                "delta": ""
                if model == "single-task"
                else spread([delta(row[model]) for row in rows]),
            }
        )
    told = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
    notes = [
        f"Chosen with seed 0: {told}.",
        "Chosen over defaults, Δm: "
        + paired(*([delta(r[m]) for r in rows] for m in ("chosen", "defaults")))
        + ".",
        *(
            f"Chosen over defaults, gain of {task}: "
            + paired(
                *(
                    [r[m]["gains"][task] for r in rows]
                    for m in ("chosen", "defaults")
                )
            )
            + "."
            for task in tasks
        ),
    ]
    report.table(
        f"Digits: test data, mean ± sd of {len(rows)} seeds",
        table,
        {
            "model": "model",
            **{task: task for task in tasks},
            "delta": "Δm over single-task, %",
        },
        notes,
    )


def main() -> None:
    """Searches, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--problems", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5, help="of digits")
    parser.add_argument("--trials", type=int, default=20, help="on digits")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    results = Results(args.directory)
    search_digits(results, args.seeds, args.trials)
    search_correlation(results, args.problems)


if __name__ == "__main__":
    main()
