"""KerasTuner's oracles, made to survive whatever ends their process.

KerasTuner writes its files in place, counts trials that run when it is ended
as failed or runs them twice, and forgets where a grid was. Here files are
replaced as a whole, and a trial belongs to its worker until it has ended.
"""

import json
import warnings
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from keras_mtl import _files
from keras_mtl.tuner import proposal
from keras_mtl.tuner.trial_record import RECORD, is_trial

# More failures in a row than any search has: failed trials do not end it.
_NO_LIMIT = 10**9


class _Durable:
    """What is added to each of KerasTuner's oracles.

    Attributes:
        workers: Names of workers that will come again after a restart, or
            None if any may.
        on_full_disk: Called where a file cannot be written, before the error
            is raised: in a chief, only a worker would see that.
    """

    workers: Collection[str] | None = None
    on_full_disk: Callable[[OSError], None] = staticmethod(lambda error: None)
    starts_with_defaults = True

    # Of `keras_tuner.Oracle`.
    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    start_order: list[str]
    end_order: list[str]
    get_space: Any
    get_state: Any
    _project_dir: str
    _retry_queue: list[str]
    _record_values: Any

    def populate_space(self, trial_id: str) -> Any:
        """The values of a trial: of the first one, the defaults."""
        if self.starts_with_defaults and not self.trials:
            return {"status": "RUNNING", "values": self._defaults()}
        with warnings.catch_warnings():
            # The Gaussian process complains of few and of equal points.
            warnings.simplefilter("ignore")
            return super().populate_space(trial_id)  # type: ignore[misc]

    def _defaults(self) -> dict[str, Any]:
        return proposal.values_of(self.get_space().space, lambda p: p.default)

    def save(self) -> None:
        """Writes the state, whole or not at all."""
        self._write(self.folder / "oracle.json", self.get_state())

    def _save_trial(self, trial: Any) -> None:
        folder = self.folder / f"trial_{trial.trial_id}"
        self._write(folder / "trial.json", trial.get_state())

    def _write(self, file: Path, state: dict[str, Any]) -> None:
        try:
            _files.write_text(file, json.dumps(state))
        except _files.CannotWriteError as error:
            self.on_full_disk(error)
            raise

    def reload(self) -> None:
        """Goes on from the files of an earlier process.

        Raises:
            ValueError: A file is damaged.
        """
        state = self._state()
        try:
            super().reload()  # type: ignore[misc]
            self._go_on(state)
        except _files.CannotWriteError:
            raise
        # KerasTuner checks nothing of what it reads.
        except Exception as error:
            raise _damaged(self.folder, repr(error)) from error

    def _go_on(self, state: dict[str, Any]) -> None:
        trials = self.trials
        ended = {
            trial_id
            for trial_id in self.end_order
            if (self.folder / f"trial_{trial_id}" / RECORD).exists()
        }
        # Workers go on with what they have begun.
        ongoing = {
            worker: trials[trial_id]
            for worker, trial_id in state["ongoing_trials"].items()
            if trial_id not in ended
            and (self.workers is None or worker in self.workers)
        }
        # A trial may be on disk of which the state does not know yet.
        for trial in trials.values():
            self._record_values(trial)
        held = {trial.trial_id for trial in ongoing.values()}
        waiting = sorted(set(trials) - ended - held, key=int, reverse=True)
        for trial in ongoing.values():
            trial.status = "RUNNING"
        for trial_id in waiting:
            trials[trial_id].status = "INVALID"
        self.ongoing_trials = ongoing
        self._retry_queue = waiting
        self.start_order = sorted(trials, key=int)
        self.end_order = [i for i in self.end_order if i in ended]

    @property
    def folder(self) -> Path:
        """Where the files of the trials are."""
        return Path(self._project_dir)

    def _state(self) -> dict[str, Any]:
        files = [
            self.folder / "oracle.json",
            *self.folder.glob("trial_*/trial.json"),
        ]
        for file in files:
            try:
                state = _files.read_json(file)
                if not isinstance(state, dict):
                    raise ValueError("it holds no object")
                if file.name == "oracle.json":
                    found: dict[str, Any] = state
                else:
                    _check_trial(state, file.parent.name)
            except ValueError as error:
                raise _damaged(file, str(error)) from error
        return found


def _check_trial(state: dict[str, Any], folder: str) -> None:
    """What a trial says of itself names the folder that is written to."""
    said = f"trial_{state.get('trial_id')}"
    if said != folder or not is_trial(said):
        raise ValueError(f"it is of {said[:80]!r}")


def _damaged(file: Path, reason: str) -> ValueError:
    return ValueError(
        f"The search cannot go on, for a file of it is damaged: {file} "
        f"({reason}). Put back a copy of it, or start a new search."
    )


class RandomOracle(_Durable, keras_tuner.oracles.RandomSearchOracle):
    """Draws every value at random; the first trial has the defaults."""


class BayesianOracle(_Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Fits a Gaussian process to the trials so far.

    Unlike KerasTuner's own, which takes the choices among names for numbers,
    it gives names no order; it goes by the ranks of the scores, so that one
    trial that diverged does not hide what makes others good; a trial that
    failed counts as the worst; and what it proposes follows from the seed and
    the trials, also after a restart. See `proposal`.
    """

    def populate_space(self, trial_id: str) -> Any:
        """New values for a trial."""
        ended = [t for t in self.trials.values() if t.status == "COMPLETED"]
        if len(ended) < self.num_initial_points:
            return super().populate_space(trial_id)
        values = self._promising(ended)
        if values is None:  # all that was drawn has been tried
            return self._random_populate_space()
        return {"status": "RUNNING", "values": values}

    def _promising(self, ended: list[Any]) -> dict[str, Any] | None:
        space = self.get_space().space
        ended = sorted(ended, key=lambda t: -t.score)
        failed = [t for t in self.trials.values() if t.status == "FAILED"]
        drawn = proposal.candidates(
            space,
            [t.hyperparameters.values for t in ended],
            np.random.default_rng([self.seed, len(self.trials)]),
        )
        new = [values for values in drawn if not self._duplicate(values)]
        if not new:
            return None

        def points(all_values: Iterable[Any]) -> Any:
            return np.array([proposal.encoded(space, v) for v in all_values])

        row = proposal.most_promising(
            points(t.hyperparameters.values for t in (*ended, *failed)),
            proposal.normal_scores(
                [*(t.score for t in ended), *(-np.inf for _ in failed)]
            ),
            points(
                t.hyperparameters.values for t in self.ongoing_trials.values()
            ),
            points(new),
            self.seed,
        )
        return new[row]


class HyperbandOracle(_Durable, keras_tuner.oracles.HyperbandOracle):
    """Trains many for a short time, and the best of them longer."""

    # All trials of a bracket are drawn alike.
    starts_with_defaults = False


class GridOracle(_Durable, keras_tuner.oracles.GridSearchOracle):
    """Tries all combinations, the defaults first.

    A combination follows from its number alone, so that a search can go on
    in a new process. Ranges without a `step` have ten values each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._grid: list[dict[str, Any] | None] = []

    def populate_space(self, trial_id: str) -> Any:
        """The next combination."""
        number = len(self.trials)
        if not self._grid:
            self._grid.append(self._defaults())
        while len(self._grid) <= number and self._grid[-1] is not None:
            self._grid.append(self._get_next_combination(self._grid[-1]))
        values = self._grid[min(number, len(self._grid) - 1)]
        if values is None:
            return {"status": "STOPPED", "values": None}
        return {"status": "RUNNING", "values": dict(values)}


ORACLES = {
    "bayesian": BayesianOracle,
    "random": RandomOracle,
    "grid": GridOracle,
    "hyperband": HyperbandOracle,
}


def make_oracle(
    name: str, space: Any, *, trials: int, epochs: int, seed: int
) -> Any:
    """An oracle that maximizes `score`.

    Args:
        name: One of `ORACLES`.
        space: A `keras_tuner.HyperParameters`.
        trials: How many to try at most.
        epochs: Of a trial; Hyperband trains some for fewer.
        seed: Of what is drawn.

    Raises:
        ValueError: There is no such oracle.
    """
    check_oracle(name)
    arguments: dict[str, Any] = {
        "objective": keras_tuner.Objective("score", "max"),
        "hyperparameters": space,
        # KerasTuner counts up from its seed with every draw, so that a
        # search with the next seed would have the same trials, shifted; and
        # it takes 0 for no seed.
        "seed": int(np.random.default_rng(seed).integers(1, 2**31)),
        "max_consecutive_failed_trials": _NO_LIMIT,
    }
    if name == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, **arguments)
        oracle.max_trials = trials
        return oracle
    if name == "bayesian":
        # By default more random trials come first than most searches have.
        arguments["num_initial_points"] = max(3, trials // 4)
    return ORACLES[name](max_trials=trials, **arguments)


def check_oracle(name: str) -> None:
    """Refuses a name that no oracle has.

    Raises:
        ValueError: There is no such oracle.
    """
    if name not in ORACLES:
        raise ValueError(
            f"`oracle` must be one of: {', '.join(ORACLES)}. "
            f"Received: oracle={name!r}"
        )
