import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_mtl.analysis.training_run import resume, train


class Killed(Exception):
    pass


def kill_after(epoch):
    def on_epoch(done, total):
        if done == epoch:
            raise Killed

    return on_epoch


def state(run):
    model = keras.models.load_model(run / "model.keras")
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v) for v in variables]


@pytest.mark.parametrize("balancer", ["uncertainty", "pcgrad"])
def test_a_resumed_run_is_bit_identical(tiny, tmp_path, balancer):
    # The recipe has dropout, so random state must come back, too.
    whole = train(tiny, balancer=balancer, seed=3, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(
            tiny,
            balancer=balancer,
            seed=3,
            out=tmp_path / "killed",
            on_epoch=kill_after(1),
        )
    (run,) = (tmp_path / "killed" / "tiny").iterdir()
    assert not (run / "results.json").exists()
    done = resume(tiny, run)
    assert (done.balancer, done.epochs) == (balancer, 3)
    assert done.test == whole.test
    results = [
        json.loads((directory / "results.json").read_text())
        for directory in (run, whole.directory)
    ]
    assert results[0] == results[1]
    measures = results[0]["measures"]["test"]
    assert measures["up_accuracy"] == results[0]["test"]["up"]
    assert set(measures) == {
        *("up_loss", "up_accuracy", "size_loss", "size_mae")
    }
    assert len(results[0]["history"]["loss"]) == 3
    for resumed, straight in zip(
        state(run), state(whole.directory), strict=True
    ):
        np.testing.assert_array_equal(resumed, straight)


def test_more_epochs_and_mistakes(tiny, tmp_path):
    run = train(tiny, epochs=1, out=tmp_path).directory
    with pytest.raises(ValueError, match="has done its 1 epochs"):
        resume(tiny, run)
    assert resume(tiny, run, epochs=2).epochs == 2
    assert json.loads((run / "config.json").read_text())["epochs"] == 2

    other = dataclasses.replace(tiny, batch_size=16)
    with pytest.raises(ValueError, match="`batch_size` must be what the run"):
        resume(other, run, epochs=3)
    other = dataclasses.replace(tiny, tasks=[tiny.tasks["up"]])
    with pytest.raises(ValueError, match="`tasks` must be what the run"):
        resume(other, run, epochs=3)
    with pytest.raises(FileNotFoundError, match="There is no run"):
        resume(tiny, tmp_path / "none")
    with pytest.raises(ValueError, match="`run` must be a run of"):
        resume(tiny, tmp_path)
    (run / "model.keras").unlink()
    with pytest.raises(FileNotFoundError, match="no epoch was finished"):
        resume(tiny, run, epochs=3)


def test_killed_after_the_last_epoch_but_before_the_results(tiny, tmp_path):
    run = train(tiny, epochs=1, out=tmp_path)
    (run.directory / "results.json").unlink()
    assert resume(tiny, run.directory).test == run.test
    assert (run.directory / "results.json").exists()


def test_a_place_that_cannot_be_written(tiny, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match="Cannot write to `path`"):
        train(tiny, out=file)
