"""A disk that is full or may not be written to: told at once, nothing lost."""

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import _files, analysis, serving, tuner
from keras_mtl.analysis import training_run
from keras_mtl.callbacks import Checkpoint, load_checkpoint
from keras_mtl.recipe import load_recipe

TINY = Path(__file__).parents[1] / "analysis" / "tiny_recipe.py"


def fail_with(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture(params=[errno.ENOSPC, errno.EROFS])
def no_disk(request, monkeypatch):
    """Nothing gets to the disk any more; returns the system's words."""
    monkeypatch.setattr(os, "fsync", fail_with(request.param))
    return os.strerror(request.param)


@pytest.fixture(scope="module")
def tiny():
    return load_recipe(TINY)


@pytest.fixture(scope="module")
def one_model():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, {"a": keras.layers.Dense(1)(inputs)})
    model.compile("adam", {"a": "mse"})
    return model


@pytest.fixture
def model(one_model):
    one_model.optimizer.iterations.assign(0)
    return one_model


def fit(model, *callbacks, epochs=1):
    x = np.ones((4, 2))
    model.fit(x, {"a": x}, epochs=epochs, callbacks=callbacks, verbose=0)


def everything(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


# ------------------------------------------------------------ before anything

COMMANDS = {
    "train": training_run.train,
    "compare": analysis.compare,
    "advise": analysis.advise,
    "tune": tuner.tune,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_say_it_before_data_are_loaded(
    command, tiny, tmp_path, no_disk
):
    def load(source, data_dir):
        raise AssertionError("data are loaded")

    recipe = dataclasses.replace(tiny, load=load)
    with pytest.raises(_files.CannotWriteError, match=no_disk):
        command(recipe, out=tmp_path / "runs")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.skipif(os.name == "nt", reason="directories cannot be locked")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_clear_what_killed_ones_have_left(command, tiny, tmp_path):
    left = tmp_path / tiny.name / ".20261101-120000-0123456789ab.tmp"
    (left / "tensorboard").mkdir(parents=True)

    def load(source, data_dir):
        raise OSError("that is enough")

    with pytest.raises(OSError, match="that is enough"):
        command(dataclasses.replace(tiny, load=load), out=tmp_path)
    assert not left.exists()


def test_an_export_says_it_and_leaves_nothing(model, tmp_path, no_disk):
    with pytest.raises(_files.CannotWriteError, match=no_disk):
        serving.export(model, tmp_path / "model")
    assert everything(tmp_path) == {"model"}


def test_a_checkpoint_says_it_before_the_first_step(model, tmp_path, no_disk):
    with pytest.raises(_files.CannotWriteError, match=no_disk):
        fit(model, Checkpoint(tmp_path / "model.keras"))
    assert int(model.optimizer.iterations) == 0
    assert everything(tmp_path) == set()


def test_a_checkpoint_below_a_file(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(_files.CannotWriteError, match="Cannot write to `path`"):
        fit(model, Checkpoint(tmp_path / "file" / "model.keras"))
    assert int(model.optimizer.iterations) == 0


def test_no_room_for_a_second_checkpoint(model, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage._replace(free=100)
    )
    with pytest.raises(_files.CannotWriteError, match="no room for a second"):
        fit(model, Checkpoint(tmp_path / "model.keras"))
    assert int(model.optimizer.iterations) == 0


# ---------------------------------------------------------------- later


@pytest.mark.parametrize("at", ["save", "fsync", "replace"])
def test_a_disk_that_fills_up_leaves_the_last_checkpoint(
    model, tmp_path, monkeypatch, at
):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path), epochs=2)
    before = path.read_bytes()

    def half(self, file):
        Path(file).write_bytes(before[: len(before) // 2])
        fail_with(errno.ENOSPC)()

    class FillUp(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if at == "save":
                monkeypatch.setattr(type(self.model), "save", half)
            else:
                monkeypatch.setattr(os, at, fail_with(errno.ENOSPC))

    with pytest.raises(
        _files.CannotWriteError, match="No space left on device"
    ):
        fit(model, FillUp(), Checkpoint(path))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert everything(tmp_path) == {"model.keras"}
    assert load_checkpoint(path)[1] == 2


def test_an_older_checkpoint_stays_until_an_epoch_is_done(model, tmp_path):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path), epochs=3)
    before = path.read_bytes()

    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("in the first step")

    with pytest.raises(RuntimeError, match="in the first step"):
        fit(model, Fail(), Checkpoint(path))
    assert path.read_bytes() == before


def test_the_first_checkpoint_is_there_before_the_first_step(model, tmp_path):
    path = tmp_path / "model.keras"

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            assert load_checkpoint(path)[1:] == (0, {})

    fit(model, Checkpoint(path), Look())
    assert load_checkpoint(path)[1] == 1


def test_leftovers_of_killed_processes_are_cleared(model, tmp_path):
    path = tmp_path / "model.keras"
    half = tmp_path / ".model.keras-0123456789ab.tmp"
    half.mkdir()
    (half / "model.keras").write_bytes(b"half")
    others = tmp_path / ".other.keras-0123456789ab.tmp"
    others.write_bytes(b"")
    fit(model, Checkpoint(path))
    assert everything(tmp_path) == {"model.keras", others.name}


# ------------------------------------------------------------- what they say


def test_what_takes_no_more():
    full = os.strerror(errno.ENOSPC)
    for error in (
        OSError(errno.ENOSPC, full),
        OSError(errno.EROFS, "x"),
        tf.errors.ResourceExhaustedError(None, None, f"runs/x; {full}"),
        tf.errors.FailedPreconditionError(
            None, None, f"runs/x; {os.strerror(errno.EROFS)}"
        ),
        _files.CannotWriteError(Path("x"), full),
    ):
        assert _files.takes_no_more(error)
    for error in (
        OSError(errno.ENOENT, "x"),
        ValueError(full),
        tf.errors.ResourceExhaustedError(None, None, "OOM"),
    ):
        assert not _files.takes_no_more(error)


def test_a_full_disk_that_tensorflow_tells_of_is_explained(tmp_path):
    error = tf.errors.ResourceExhaustedError(
        None, None, f"{tmp_path}/x; {os.strerror(errno.ENOSPC)}"
    )
    with (
        pytest.raises(
            _files.CannotWriteError, match=r"Cannot write.*: No space left on"
        ),
        _files.staged_directory(tmp_path / "d"),
    ):
        raise error
    assert everything(tmp_path) == set()


def test_a_place_is_tried_and_nothing_is_made(tmp_path):
    _files.check_place(tmp_path / "new" / "a.txt")
    _files.check_place(tmp_path)
    assert everything(tmp_path) == set()
    file = tmp_path / "file"
    file.write_text("kept")
    _files.check_place(file)
    assert file.read_text() == "kept"
    with pytest.raises(_files.CannotWriteError, match="file is not a dir"):
        _files.check_place(file / "below" / "x")


# ---------------------------------------------------------------- the real one

FILLS_UP = """
mount -t tmpfs -o size={size}k tmpfs {place}
cd {place}
{python} -m keras_mtl.cli train {recipe} --epochs 400 2>&1 | tail -5
echo "files:" $(find runs -name '.*' -o -name 'model.keras')
cp runs/*/*/model.keras {saved} || true
"""


@pytest.mark.slow
@pytest.mark.skipif(
    subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        check=False,
    ).returncode
    != 0
    if shutil.which("unshare")
    else True,
    reason="needs to mount a small file system",
)
@pytest.mark.parametrize("size", [8, 100])
def test_a_small_disk(tmp_path, size):
    place, saved = tmp_path / "small", tmp_path / "saved.keras"
    place.mkdir()
    script = FILLS_UP.format(
        size=size,
        place=place,
        python=sys.executable,
        recipe=TINY,
        saved=saved,
    )
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "COLUMNS": "500",
        },
    )
    assert "Error: Cannot write" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if saved.exists():
        with zipfile.ZipFile(saved) as archive:
            assert archive.testzip() is None
        load_checkpoint(saved)
