"""What one trial tried and found: enough to repeat it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_mtl import _files
from keras_mtl.analysis.results import to_json
from keras_mtl.analysis.stored import (
    NUMBER,
    OPTIONAL_TEXT,
    check_fields,
    check_logs,
    check_numbers,
)

RECORD = "record.json"

COMPLETED = "completed"
STOPPED = "stopped"
FAILED = "failed"


_FIELDS = {
    "trial": str,
    "status": str,
    "values": dict,
    "seed": int,
    "epochs": int,
    "validation": dict,
    "gains": dict,
    "score": (*NUMBER, type(None)),
    "seconds": NUMBER,
    "parameters": int,
    "history": dict,
    "reason": OPTIONAL_TEXT,
    "worker": str,
}


class DamagedRecordError(ValueError):
    """The record of a trial cannot be read; the message tells what to do."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        trial: Its name within the search, a number.
        status: `COMPLETED`, `STOPPED` early or `FAILED`.
        values: The hyperparameters, by name.
        seed: Of weights and data order.
        epochs: How many were done.
        validation: The judging metric of each task on validation data.
        gains: The objectives: gains over single-task models, in percent.
        score: Their mean.
        seconds: Time of `fit`.
        parameters: Number of weights of the model without its balancer.
        history: The logs of each epoch.
        reason: Why it stopped or failed.
        worker: Who ran it.
    """

    trial: str
    status: str
    values: dict[str, Any]
    seed: int
    epochs: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    seconds: float = 0.0
    parameters: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    reason: str | None = None
    worker: str = ""

    def write(self, folder: Path) -> None:
        """Writes `record.json` into the trial's folder.

        Raises:
            CannotWriteError: It cannot be written.
        """
        _files.write_text(folder / RECORD, to_json(dataclasses.asdict(self)))


def read_record(folder: Path) -> TrialRecord | None:
    """The record of a trial, or None if it has not ended.

    Raises:
        DamagedRecordError: The file is damaged.
    """
    file = folder / RECORD
    try:
        return _checked(_files.read_json(file), folder)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DamagedRecordError(
            f"The record of a trial cannot be read: {file} ({error}). Delete "
            "that file and go on with --resume: the trial is run again."
        ) from error


def read_records(trials: Path) -> list[TrialRecord]:
    """The records of all trials that have ended, by number.

    Args:
        trials: The folder that holds the folders of the trials.

    Raises:
        DamagedRecordError: A file is damaged.
    """
    folders = sorted(
        (path for path in trials.glob("trial_*") if is_trial(path.name)),
        key=lambda path: int(path.name.removeprefix("trial_")),
    )
    records = (read_record(folder) for folder in folders)
    return [record for record in records if record is not None]


def is_trial(name: str) -> bool:
    """Whether this is the name of a trial's folder, and of nothing else."""
    number = name.removeprefix("trial_")
    return number.isascii() and number.isdigit() and name != number


def _checked(record: Any, folder: Path) -> TrialRecord:
    check_fields(record, _FIELDS)
    check_numbers(record["validation"], "validation")
    check_numbers(record["gains"], "gains")
    check_logs(record["history"], "history")
    if f"trial_{record['trial']}" != folder.name:
        raise ValueError(f"it is of trial {record['trial'][:80]!r}")
    if record["status"] not in (COMPLETED, STOPPED, FAILED):
        raise ValueError(f"its status is {record['status'][:80]!r}")
    return TrialRecord(**record)
