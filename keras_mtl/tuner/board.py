"""What TensorBoard shows of a search: its page HParams, and curves."""

import math

from keras_mtl import _files
from keras_mtl.callbacks.hparams_board import write_space, write_trial
from keras_mtl.callbacks.tensorboard import scalar_tag
from keras_mtl.recipe import Recipe
from keras_mtl.tuner.plan import Plan
from keras_mtl.tuner.trial_record import FAILED, TrialRecord

BOARD = "tensorboard"

_MEAN = "gain/mean"


def begin_board(plan: Plan, recipe: Recipe) -> None:
    """Makes the folder that TensorBoard reads, if it is not there."""
    if (plan.run / BOARD).exists():
        return
    objective = plan.objective(recipe)
    all_count = len(objective.tasks) == len(recipe.tasks)
    titles = {_MEAN: "Δm, %" if all_count else "mean gain, %"}
    titles |= {_gain(task): f"{task}: gain, %" for task in objective.tasks}
    titles |= {
        f"{metric.name}/{task}": f"{task}: {metric.label}"
        for task, metric in objective.metrics.items()
    }
    with _files.staged_directory(plan.run / BOARD) as staged:
        write_space(staged, plan.space().space, titles)


def show_trial(plan: Plan, recipe: Recipe, record: TrialRecord) -> None:
    """Shows a trial that has ended, unless it is shown."""
    folder = plan.run / BOARD / f"trial_{record.trial}"
    if folder.exists():
        return
    curves = {
        scalar_tag(key.removeprefix("val_"), recipe.tasks): [
            math.nan if value is None else value  # JSON has no NaN
            for value in curve
        ]
        for key, curve in record.history.items()
        if key.startswith("val_")
    }
    for task, metric in plan.objective(recipe).metrics.items():
        if task in record.validation:  # scores have no curve
            found = [record.validation[task]]
            curves.setdefault(f"{metric.name}/{task}", found)
    curves |= {_gain(task): [gain] for task, gain in record.gains.items()}
    if record.score is not None:
        curves[_MEAN] = [record.score]
    # Not within what TensorBoard reads: there a trial appears whole.
    with _files.hidden_directory(plan.run / BOARD) as staged:
        write_trial(
            staged,
            f"trial {record.trial}",
            record.values,
            curves,
            failed=record.status == FAILED,
        )
        _files.publish(staged, folder)


def _gain(task: str) -> str:
    return f"gain/{task}"
