"""Runs trials for an oracle, here or in another process."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from keras_mtl import _files
from keras_mtl.analysis.training import evaluate, judged
from keras_mtl.callbacks import Checkpoint
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tuner.board import show_trial
from keras_mtl.tuner.dominated_stopping import DominatedStopping
from keras_mtl.tuner.hypermodel import plain_values
from keras_mtl.tuner.oracles import make_oracle
from keras_mtl.tuner.plan import TRIALS, Plan
from keras_mtl.tuner.train_values import train_values
from keras_mtl.tuner.trial_record import (
    COMPLETED,
    FAILED,
    STOPPED,
    DamagedRecordError,
    TrialRecord,
    read_record,
)

ATTEMPTS = "attempts"

_MODEL = "model.keras"
# A trial that ends the process that runs it, out of memory say, so often is
# given up.
_MAX_ATTEMPTS = 3


class TrialTuner(BaseTuner):
    """KerasTuner's loop of trials, which keeps a record of each.

    As KerasTuner has it, the environment tells whether the oracle is in this
    process or in that of a chief.

    Args:
        plan: What to search.
        recipe: With the tasks of its source.
        splits: From `load_splits`; None for a chief, which trains nothing.
        workers: Names of workers that will come again, for a search that goes
            on; None if any may.
        on_epoch: Called with the trial, epochs done and epochs.
    """

    def __init__(
        self,
        plan: Plan,
        recipe: Recipe | None = None,
        splits: Splits | None = None,
        workers: tuple[str, ...] | None = None,
        on_epoch: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self.plan, self.recipe, self.splits = plan, recipe, splits
        self.report = on_epoch or (lambda trial, epoch, epochs: None)
        if recipe is not None:
            self.models = plan.hypermodel(recipe)
            self.gains = plan.objective(recipe)
        settings = plan.settings
        oracle = make_oracle(
            settings["oracle"],
            plan.space(),
            trials=settings["trials"],
            epochs=settings["epochs"],
            seed=settings["seed"],
        )
        oracle.workers = workers
        oracle.verbose = 0
        super().__init__(oracle, directory=str(plan.run), project_name=TRIALS)
        self._asked = 0.0
        # Of a chief and of a search in one process, the oracle is here.
        here = isinstance(self.oracle, keras_tuner.Oracle)
        if here and (plan.trials_folder / "oracle.json").exists():
            self.oracle.reload()

    def save(self) -> None:
        """Saves the oracle, where it is; a tuner has no state."""
        if isinstance(self.oracle, keras_tuner.Oracle):
            self.oracle.save()

    def pre_create_trial(self) -> None:
        """Waits a little before it asks an oracle again that has no trial."""
        time.sleep(max(0.0, self._asked + 0.2 - time.monotonic()))
        self._asked = time.monotonic()

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs a trial, unless there is a record of it."""
        folder = Path(self.get_trial_dir(trial.trial_id))
        try:
            record = read_record(folder)
            if record is None:
                record = self._run(trial, folder)
                record.write(folder)
                assert self.recipe is not None
                show_trial(self.plan, self.recipe, record)
        except (ValueError, OSError) as error:  # not of the model
            raise keras_tuner.errors.FatalError(str(error)) from error
        if record.status == FAILED:
            raise keras_tuner.errors.FailedTrialError(record.reason)
        return {"score": record.score}

    # KerasTuner's own prints a traceback for each trial that fails. Nothing
    # else differs: should the name change, that comes back.
    def _try_run_and_update_trial(
        self, trial: Any, *args: Any, **kwargs: Any
    ) -> None:
        try:
            results = self.run_trial(trial)
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = "FAILED", str(error)
        else:
            self.oracle.update_trial(trial.trial_id, results)
            trial.status = "COMPLETED"

    def _run(self, trial: Any, folder: Path) -> TrialRecord:
        values = plain_values(trial.hyperparameters.values)
        known: dict[str, Any] = {
            "trial": trial.trial_id,
            "values": {
                name: value
                for name, value in values.items()
                if not name.startswith("tuner/")
            },
            "seed": self.plan.settings["seed"],
            "worker": self.tuner_id,
        }
        before = _count_attempt(folder)
        if before >= _MAX_ATTEMPTS:
            return TrialRecord(
                **known,
                status=FAILED,
                reason=f"{before} processes ended while they ran it",
            )
        try:
            return self._train(values, folder, known)
        except KeyboardInterrupt:
            (folder / ATTEMPTS).unlink()  # no fault of the trial
            raise
        except Exception as error:
            # Nothing that this trial is to be blamed for, nor any other.
            if _files.takes_no_more(error) or isinstance(
                error, DamagedRecordError
            ):
                raise
            return TrialRecord(**known, status=FAILED, reason=_told(error))

    def _train(
        self, values: dict[str, Any], folder: Path, known: dict[str, Any]
    ) -> TrialRecord:
        recipe, splits = self.recipe, self.splits
        assert recipe is not None and splits is not None
        epochs = values.get("tuner/epochs", self.plan.settings["epochs"])
        self.report(known["trial"], 0, epochs)
        callbacks: list[Any] = [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: self.report(
                    known["trial"], epoch + 1, epochs
                )
            )
        ]
        stopping = None
        start = None
        if "tuner/epochs" in values:  # Hyperband stops trials by itself
            callbacks.append(Checkpoint(folder / _MODEL))
            if past := values.get("tuner/trial_id"):
                start = Path(self.get_trial_dir(past)) / _MODEL
        else:
            counting = {task: recipe.tasks[task] for task in self.gains.tasks}
            stopping = DominatedStopping(
                self.plan.trials_folder, counting, epochs
            )
            callbacks.append(stopping)
        model, history, seconds = train_values(
            self.models,
            recipe,
            splits,
            known["values"],
            seed=known["seed"],
            epochs=epochs,
            callbacks=callbacks,
            checkpoint=start,
        )
        measures = evaluate(model, recipe, splits, "validation", recipe.tasks)
        validation = judged(measures, self.gains.metrics)
        for task in self.gains.tasks:
            if not math.isfinite(validation[task]):
                raise ValueError(
                    f"{self.gains.metrics[task].name} of task {task!r} is "
                    f"{validation[task]} on validation data"
                )
        reason = stopping.reason if stopping else None
        return TrialRecord(
            **known,
            status=STOPPED if reason else COMPLETED,
            epochs=len(history["loss"]),
            validation=validation,
            gains=self.gains.gains(validation),
            score=self.gains.score(validation),
            seconds=seconds,
            parameters=keras.Model(model.inputs, model.outputs).count_params(),
            history=history,
            reason=reason,
        )


def _count_attempt(folder: Path) -> int:
    """How often the trial was begun before."""
    file = folder / ATTEMPTS
    try:
        before = int(file.read_text())
    except (FileNotFoundError, ValueError):  # none yet, or damaged
        before = 0
    _files.write_text(file, str(before + 1))
    return before


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".strip(": ")
