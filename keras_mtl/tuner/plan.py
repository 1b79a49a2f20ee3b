"""What a search is to do, as its processes read it from its run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from keras_mtl.analysis.training import judging_metrics
from keras_mtl.recipe import Recipe
from keras_mtl.tuner.baselines import Scores
from keras_mtl.tuner.hypermodel import MultiTaskHyperModel
from keras_mtl.tuner.objective import Objective

CONFIG = "config.json"
TRIALS = "trials"


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
        return keras_tuner.HyperParameters.from_config(self.settings["space"])

    def hypermodel(self, recipe: Recipe) -> MultiTaskHyperModel:
        """The models of the space."""
        configs = self.settings["balancers"].values()
        return MultiTaskHyperModel.from_recipe(recipe, configs)

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
        settings = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    if not isinstance(settings, dict) or "space" not in settings:
        raise ValueError(
            f"`run` must be a run of `keras-mtl tune`. Received: {str(run)!r}, "
            f"which has no {CONFIG} of one."
        )
    return Plan(run, settings)
