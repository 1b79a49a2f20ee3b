"""What one trial does beside training."""

import dataclasses
import json

import pytest

from keras_mtl import tuner
from keras_mtl.tuner.plan import read_plan
from keras_mtl.tuner.train_values import train_values
from keras_mtl.tuner.trial_tuner import TrialTuner, _count_attempt


@pytest.mark.slow
def test_hyperband_goes_on_with_the_best(sleepy, tmp_path):
    recipe = dataclasses.replace(sleepy, epochs=4)
    result = tuner.tune(recipe, oracle="hyperband", trials=12, out=tmp_path)
    epochs = [trial.epochs for trial in result.trials]
    assert set(epochs) == {2, 4}
    assert all(trial.epochs == 4 for trial in result.completed)
    assert {trial.status for trial in result.trials} == {"completed"}
    # One that went on is as if it had been trained at once.
    states = [
        json.loads(file.read_text())["hyperparameters"]["values"]
        for file in sorted(result.run.glob("trials/*/trial.json"))
    ]
    number, past = next(
        (n, values["tuner/trial_id"])
        for n, values in enumerate(states)
        if "tuner/trial_id" in values
    )
    trial = result.trials[number]
    short = result.trials[int(past)]
    assert trial.values == short.values
    for key, curve in short.history.items():
        assert trial.history[key][:2] == curve
    _, history, _ = train_values(
        read_plan(result.run).hypermodel(recipe),
        recipe,
        recipe.load("default", None),
        trial.values,
        seed=trial.seed,
        epochs=4,
    )
    for key, curve in history.items():
        assert trial.history[key] == pytest.approx(curve, rel=1e-6)


@pytest.mark.slow
def test_a_trial_that_takes_its_process_along_is_given_up(
    sleepy, tmp_path, monkeypatch
):
    def die(*args, **kwargs):
        raise SystemExit(1)  # as far as this process goes

    monkeypatch.setattr(TrialTuner, "_train", die)
    options = {"trials": 1, "oracle": "random", "out": tmp_path}
    with pytest.raises(SystemExit):
        tuner.tune(sleepy, **options)
    (run,) = tmp_path.glob("sleepy/*")
    attempts = run / "trials" / "trial_0" / "attempts"
    assert attempts.read_text() == "1"
    plan = read_plan(run)
    splits = sleepy.load("default", None)
    attempts.write_text("3")
    tuner.search.run_trials(plan, sleepy, splits, ("tuner0",))
    record = json.loads((attempts.parent / "record.json").read_text())
    assert record["status"] == "failed"
    assert record["reason"] == "3 processes ended while they ran it"


@pytest.mark.parametrize("damaged", ["", "two"])
def test_attempts_are_counted_anew_where_nobody_can_read_them(
    damaged, tmp_path
):
    assert [_count_attempt(tmp_path) for _ in range(3)] == [0, 1, 2]
    (tmp_path / "attempts").write_text(damaged)
    assert [_count_attempt(tmp_path) for _ in range(2)] == [0, 1]
