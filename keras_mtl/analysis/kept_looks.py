"""A watched training as a file, so that none need be done twice."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_mtl import _files
from keras_mtl.analysis.look_ahead import Look
from keras_mtl.analysis.overfitting import OverfittingGap

if TYPE_CHECKING:
    from keras_mtl.analysis.watched_training import WatchedTraining

_PARTS = ("step", "losses", "present", "ahead", "grams")


def write_looks(training: "WatchedTraining", file: Path) -> None:
    """Writes one, whole or not at all.

    Raises:
        CannotWriteError: It cannot be written.
    """
    out = io.BytesIO()
    gaps = training.gaps
    parts: dict[str, Any] = {
        part: np.stack([getattr(look, part) for look in training.looks])
        for part in _PARTS
    }
    np.savez(
        out,
        layers=np.array(training.layers),
        tasks=np.array(list(gaps)),
        train=np.array([gap.train for gap in gaps.values()]),
        validation=np.array([gap.validation for gap in gaps.values()]),
        **parts,
    )
    _files.write_bytes(file, out.getvalue())


def read_looks(
    file: Path,
) -> tuple[list[Look], list[str], dict[str, OverfittingGap]] | None:
    """Looks, layers and losses by epoch; None if there is no good file."""
    try:
        # From memory: of a file that is none, numpy leaves it open.
        data = io.BytesIO(file.read_bytes())
        with np.load(data, allow_pickle=False) as arrays:
            looks = [
                Look(int(step), *rest)
                for step, *rest in zip(
                    *(arrays[part] for part in _PARTS), strict=True
                )
            ]
            gaps = {
                str(task): OverfittingGap(train.tolist(), validation.tolist())
                for task, train, validation in zip(
                    arrays["tasks"],
                    arrays["train"],
                    arrays["validation"],
                    strict=True,
                )
            }
            return looks, arrays["layers"].tolist(), gaps
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
