"""What a search found: the front, the choice, its model and the files."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files
from keras_mtl.analysis.results import Metric, to_json
from keras_mtl.analysis.training import evaluate, judged
from keras_mtl.metrics.hypervolume import hypervolume
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tuner.baselines import Scores
from keras_mtl.tuner.board import show_trial
from keras_mtl.tuner.pareto import knee, pareto_front, preferred
from keras_mtl.tuner.plan import Plan
from keras_mtl.tuner.plots import save_front
from keras_mtl.tuner.report import REPORT, write_report
from keras_mtl.tuner.train_values import train_values
from keras_mtl.tuner.trial_record import (
    COMPLETED,
    FAILED,
    RECORD,
    TrialRecord,
    read_records,
)

MODEL = "model.keras"
RESULTS = "results.json"


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search, and the one that was chosen.

    Attributes:
        run: The directory of the search.
        trials: In the order in which they began.
        tasks: Those that count: one objective each.
        front: Trials that no other surpasses in every objective.
        knee: The one of them where a gain costs most.
        chosen: The one that was taken.
        metrics: What each task is judged by.
        baselines: That metric of single-task models, by split and task.
        scores: The same of the chosen model.
        test_gains: Its gains over them on test data, in percent.
        config: All that is needed to repeat the search.
    """

    run: Path
    trials: list[TrialRecord]
    tasks: tuple[str, ...]
    front: list[TrialRecord]
    knee: TrialRecord
    chosen: TrialRecord
    metrics: dict[str, Metric]
    baselines: Scores
    scores: Scores
    test_gains: dict[str, float]
    config: dict[str, Any]

    @property
    def completed(self) -> list[TrialRecord]:
        """Trials that had the whole budget."""
        return _completed(self.trials)

    def marks(self, trial: TrialRecord) -> str:
        """★ for the chosen trial, ◆ for the knee, ● for the front."""
        marks = {
            "★": trial == self.chosen,
            "◆": trial == self.knee,
            "●": trial in self.front,
        }
        return "".join(mark for mark, marked in marks.items() if marked)

    def hypervolumes(self) -> list[float]:
        """The volume that the trials so far dominate, after each of them.

        It is held against the worst gain of each task in any of them.
        """
        points = [
            [t.gains[task] for task in self.tasks] for t in self.completed
        ]
        worst = [min(column) for column in zip(*points, strict=True)]
        return [
            hypervolume(points[: number + 1], worst)
            for number in range(len(points))
        ]

    def to_json(self) -> str:
        """Everything but the histories, which the trials' folders have."""
        record = {
            "objective": list(self.tasks),
            "metrics": {k: asdict(m) for k, m in self.metrics.items()},
            "single_task": self.baselines,
            "chosen": {
                "trial": self.chosen.trial,
                "values": self.chosen.values,
                "seed": self.chosen.seed,
                **self.scores,
                "test_gains": self.test_gains,
            },
            "front": [t.trial for t in self.front],
            "knee": self.knee.trial,
            "hypervolume": self.hypervolumes(),
            "trials": [
                {k: v for k, v in asdict(t).items() if k != "history"}
                for t in self.trials
            ],
        }
        return to_json(record)

    def to_csv(self, trials: list[TrialRecord]) -> str:
        """One line for each trial."""
        names = sorted({name for t in trials for name in t.values})
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *("trial", "status", "score"),
                *(f"gain_{task}" for task in self.tasks),
                *(f"{k}_{m.name}" for k, m in self.metrics.items()),
                *names,
                *("epochs", "seed", "seconds", "parameters", "reason"),
            ]
        )
        for t in trials:
            writer.writerow(
                [
                    *(t.trial, t.status, t.score),
                    *(t.gains.get(task) for task in self.tasks),
                    *(t.validation.get(task) for task in self.metrics),
                    *(t.values.get(name) for name in names),
                    *(t.epochs, t.seed, t.seconds, t.parameters, t.reason),
                ]
            )
        return out.getvalue()


def finish(
    plan: Plan,
    recipe: Recipe,
    splits: Splits,
    prefer: Mapping[str, float] | str | None,
    on_epoch: Callable[[int], None],
) -> SearchResult:
    """Chooses a trial, trains it once more and writes what was found.

    Raises:
        ValueError: No trial was completed.
        OSError: The files cannot be written.
    """
    trials = read_records(plan.trials_folder)
    for trial in trials:  # a process may have ended before it could
        show_trial(plan, recipe, trial)
    completed = _completed(trials)
    if not completed:
        raise ValueError(_nothing(trials, plan))
    objective = plan.objective(recipe)
    _check_gains(completed, objective.tasks, plan)
    points = [[t.gains[task] for task in objective.tasks] for t in completed]
    rows = pareto_front(points)
    front = [completed[row] for row in rows]
    points = [points[row] for row in rows]
    if isinstance(prefer, Mapping):
        weights = [prefer.get(task, 0.0) for task in objective.tasks]
        chosen = front[preferred(points, weights)]
    elif prefer == "knee":
        chosen = front[knee(points)]
    else:
        chosen = max(front, key=lambda t: t.score or 0.0)
    on_epoch(0)
    model, _, _ = train_values(
        plan.hypermodel(recipe),
        recipe,
        splits,
        chosen.values,
        seed=chosen.seed,
        # Hyperband may have ended before any trial had them all.
        epochs=plan.settings["epochs"],
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: on_epoch(epoch + 1)
            )
        ],
    )
    scores = {
        split: judged(
            evaluate(model, recipe, splits, split, recipe.tasks),
            objective.metrics,
        )
        for split in ("validation", "test")
    }
    on_test = type(objective)(
        objective.tasks, objective.metrics, plan.baselines["test"]
    )
    result = SearchResult(
        run=plan.run,
        trials=trials,
        tasks=objective.tasks,
        front=front,
        knee=front[knee(points)],
        chosen=chosen,
        metrics=dict(objective.metrics),
        baselines=plan.baselines,
        scores=scores,
        test_gains=on_test.gains(scores["test"]),
        config=plan.settings,
    )
    _write(result, model)
    return result


def _write(result: SearchResult, model: Any) -> None:
    run = result.run
    _files.clear_leftovers(run / MODEL)
    with _files.hidden_directory(run / MODEL) as staged:
        model.save(staged / MODEL)
        _files.replace(staged / MODEL, run / MODEL)
    save_front(result, run / "front.png")
    write_report(result, run / REPORT)
    _files.write_text(run / "trials.csv", result.to_csv(result.trials))
    _files.write_text(run / "front.csv", result.to_csv(result.front))
    # The last file: a search that has it is done.
    _files.write_text(run / RESULTS, result.to_json())


def _completed(trials: list[TrialRecord]) -> list[TrialRecord]:
    completed = [t for t in trials if t.status == COMPLETED]
    # Hyperband trains most for a part of the epochs only.
    longest = max((t.epochs for t in completed), default=0)
    return [t for t in completed if t.epochs == longest]


def _check_gains(
    trials: list[TrialRecord], tasks: Iterable[str], plan: Plan
) -> None:
    """Each completed trial has them, unless its record was changed."""
    for trial in trials:
        if lost := [t for t in tasks if trial.gains.get(t) is None]:
            file = plan.trials_folder / f"trial_{trial.trial}" / RECORD
            raise ValueError(
                f"The record of a trial has no gain of {lost}: {file}. Delete "
                "that file and go on with --resume: the trial is run again."
            )


def _nothing(trials: list[TrialRecord], plan: Plan) -> str:
    failed = [t for t in trials if t.status == FAILED]
    if not failed:
        return f"No trial was run. See {plan.trials_folder}."
    reasons = list(dict.fromkeys(t.reason for t in failed))
    more = f" (and {len(reasons) - 1} other reasons)" if reasons[1:] else ""
    return (
        f"All {len(failed)} trials failed: {reasons[0]}{more}. The records in "
        f"{plan.trials_folder} tell with which values."
    )
