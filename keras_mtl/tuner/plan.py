"""What a search is to do, as its processes read it from its run."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from keras_mtl import _files
from keras_mtl.analysis.stored import (
    OPTIONAL_TEXT,
    check_fields,
    check_numbers,
    check_type,
)
from keras_mtl.analysis.training import judging_metrics
from keras_mtl.recipe import Recipe
from keras_mtl.tuner.baselines import Scores
from keras_mtl.tuner.hypermodel import MultiTaskHyperModel
from keras_mtl.tuner.objective import Objective

CONFIG = "config.json"
TRIALS = "trials"

_FIELDS = {
    "recipe": str,
    "recipe_file": OPTIONAL_TEXT,
    "batch_size": int,
    "tasks": list,
    "source": str,
    "data_dir": OPTIONAL_TEXT,
    "epochs": int,
    "seed": int,
    "oracle": str,
    "trials": int,
    "objective": list,
    "balancers": dict,
    "baselines": dict,
    "space": dict,
}


@dataclass(frozen=True)
class Plan:
    """The settings of a search, as `config.json` has them.

    Attributes:
        run: The directory of the search.
        settings: All of `config.json`.
    """

    run: Path
    settings: dict[str, Any]

    @property
    def trials_folder(self) -> Path:
        """The folder with the folders of the trials."""
        return self.run / TRIALS

    @property
    def baselines(self) -> Scores:
        """What single-task models reach, by split and task."""
        scores: Scores = self.settings["baselines"]
        return scores

    def space(self) -> Any:
        """All hyperparameters."""
        return _space(self.settings)

    def hypermodel(self, recipe: Recipe) -> MultiTaskHyperModel:
        """The models of the space.

        Raises:
            ValueError: The balancers of `config.json` are none.
        """
        configs = self.settings["balancers"].values()
        try:
            return MultiTaskHyperModel.from_recipe(recipe, configs)
        # A config of somebody else may hold anything; Keras runs none of it.
        except Exception as error:
            raise ValueError(
                f"The balancers in the {CONFIG} of {str(self.run)!r} cannot "
                f"be made: {type(error).__name__}: {error}"
            ) from error

    def objective(self, recipe: Recipe) -> Objective:
        """What is maximized."""
        return Objective(
            tasks=tuple(self.settings["objective"]),
            metrics=judging_metrics(recipe),
            baselines=self.baselines["validation"],
        )


def read_plan(run: str | Path) -> Plan:
    """The plan of a search that was started.

    Raises:
        FileNotFoundError: There is no such directory.
        ValueError: It is not that of a search.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(
            f"There is no run {str(run)!r}. Expected: the directory that "
            "`keras-mtl tune` has made."
        )
    try:
        plan = Plan(run, _checked(_files.read_json(run / CONFIG)))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`run` must be a run of `keras-mtl tune`. Received: {str(run)!r}, "
            f"which has no {CONFIG} of one: {error}."
        ) from error
    return plan


def _checked(settings: Any) -> dict[str, Any]:
    found = check_fields(settings, _FIELDS)
    for task in found["objective"]:
        check_type(task, str, "objective")
    for split in ("validation", "test"):
        check_numbers(found["baselines"].get(split), f"baselines[{split}]")
        for task in found["objective"]:
            if found["baselines"][split].get(task) is None:
                raise ValueError(f"it has no baseline of task {task!r}")
    try:
        _space(found)
    # KerasTuner checks nothing of it.
    except Exception as error:
        raise ValueError(f"its 'space' is none ({error!r})") from error
    return found


def _space(settings: dict[str, Any]) -> Any:
    # A copy: KerasTuner puts objects into the config that it reads.
    config = copy.deepcopy(settings["space"])
    return keras_tuner.HyperParameters.from_config(config)
