"""Finished trainings of a comparison, so that none need be done twice."""

import ast
import contextlib
import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mtl import _files
from keras_mtl.analysis.results import Training, to_json
from keras_mtl.analysis.stored import NUMBER, OPTIONAL_TEXT, check_fields

MODEL = "model.keras"
_RECORD, _LOGS = "training.json", "tensorboard"
_FIELDS = {
    "method": str,
    "tasks": tuple,
    "seed": int,
    "seconds": NUMBER,
    "parameters": int,
    "sharing": OPTIONAL_TEXT,
    "operations": (int, type(None)),
    "memory": (int, type(None)),
}


@dataclass(frozen=True)
class Cell:
    """A finished training on disk.

    Attributes:
        training: What came of it.
        directory: Has its logs and, if it was to be kept, its model.
    """

    training: Training
    directory: Path

    @property
    def model(self) -> Path:
        """The file of its model."""
        return self.directory / MODEL

    def copy_logs(self, target: Path) -> None:
        """Copies what TensorBoard shows of it."""
        shutil.copytree(self.directory / _LOGS, target)


class Cells:
    """A directory of finished trainings, each by a digest of what made it.

    A training appears there whole or not at all.

    Args:
        directory: Where they are.
        made_from: Whatever all of them depend on, as plain data.
    """

    def __init__(self, directory: Path, made_from: Mapping[str, Any]) -> None:
        self.directory = directory
        self._made_from = dict(made_from)

    def find(self, settings: Mapping[str, Any]) -> Cell | None:
        """The training with these settings, if it is there and whole."""
        path = self._path(settings)
        try:
            record = _files.read_json(path / _RECORD)
            return Cell(_training(record), path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    @contextlib.contextmanager
    def new(self, settings: Mapping[str, Any]) -> Iterator["NewCell"]:
        """A training to be done, kept if the block succeeds."""
        path = self._path(settings)
        if path.exists():  # not whole: `find` would have found it
            shutil.rmtree(path)
        with (
            # Another process may have done the same meanwhile.
            contextlib.suppress(FileExistsError),
            _files.staged_directory(path) as staged,
        ):
            yield NewCell(staged)

    def _path(self, settings: Mapping[str, Any]) -> Path:
        key = json.dumps({**self._made_from, **settings}, sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.directory / digest[:32]


@dataclass(frozen=True)
class NewCell:
    """A training that is being done.

    Attributes:
        directory: Where it is written meanwhile.
    """

    directory: Path

    @property
    def logs(self) -> Path:
        """Where TensorBoard's logs go."""
        return self.directory / _LOGS

    def keep(self, training: Training, model: Any = None) -> None:
        """Writes what came of it, and the model unless it is None."""
        if model is not None:
            model.save(self.directory / MODEL)
        self.logs.mkdir(exist_ok=True)
        record = to_json(dataclasses.asdict(training))
        _files.write_text(self.directory / _RECORD, record)


def _training(record: dict[str, Any]) -> Training:
    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)  # not in JSON

    for key in ("validation", "test", "measures"):
        record[key] = {k: number(v) for k, v in record[key].items()}
    record["history"] = {
        k: [number(v) for v in values]
        for k, values in record["history"].items()
    }
    record["tasks"] = tuple(record["tasks"])
    check_fields(record, _FIELDS)
    return Training(**record)


def code_of(file: Path) -> str:
    """What a recipe's file does: its text but for comments and docstrings."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return ast.dump(tree)
