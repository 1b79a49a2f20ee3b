"""Watched trainings as files."""

import dataclasses

import numpy as np
import pytest

from keras_mtl.analysis.kept_looks import read_looks, write_looks
from keras_mtl.analysis.look_ahead import Look
from keras_mtl.analysis.overfitting import OverfittingGap
from keras_mtl.analysis.watched_training import WatchedTraining


@pytest.fixture
def training():
    draw = np.random.default_rng(0)
    looks = [
        Look(
            step,
            draw.normal(size=2).astype("float32"),
            np.array([True, step > 0]),
            draw.normal(size=(2, 2)),
            draw.normal(size=(3, 2, 2)),
        )
        for step in (0, 10)
    ]
    gaps = {
        "a": OverfittingGap([1.0, 0.5], [1.0, float("nan")]),
        "b c": OverfittingGap([3.0, 2.0], [3.0, 4.0]),
    }
    return WatchedTraining(looks, ["low", "low", "high"], gaps, 7)


def test_what_is_read_is_what_was_written(training, tmp_path):
    file = tmp_path / "kept" / "seed-7.npz"
    write_looks(training, file)
    looks, layers, gaps = read_looks(file)
    assert layers == training.layers
    for found, given in zip(looks, training.looks, strict=True):
        for part in dataclasses.fields(Look):
            ours, theirs = (getattr(x, part.name) for x in (found, given))
            np.testing.assert_array_equal(ours, theirs)
            assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert str(gaps) == str(training.gaps)  # NaN is not itself
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("part", [0, 0.5, 1])
def test_a_file_that_is_not_whole_is_none(part, training, tmp_path):
    file = tmp_path / "seed-7.npz"
    assert read_looks(file) is None
    write_looks(training, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(part * len(whole))] if part < 1 else b"{}")
    assert read_looks(file) is None


def test_a_file_without_a_part_is_none(tmp_path):
    file = tmp_path / "seed-7.npz"
    np.savez(file, layers=np.array(["low"]))
    assert read_looks(file) is None
