import json

import keras_tuner
import numpy as np
import pytest

from keras_mtl import _files
from keras_mtl.tuner.oracles import ORACLES, make_oracle
from keras_mtl.tuner.trial_record import COMPLETED, TrialRecord


def a_space():
    hp = keras_tuner.HyperParameters()
    hp.Choice("way", ["left", "right"])
    with hp.conditional_scope("way", ["left"]):
        hp.Int("steps", 1, 3)
    with hp.conditional_scope("way", ["right"]):
        hp.Float("slope", 0.1, 10.0, sampling="log", default=1.0)
    return hp


@pytest.fixture
def start(tmp_path):
    def start(name="random", workers=None, trials=8, epochs=4):
        oracle = make_oracle(
            name, a_space(), trials=trials, epochs=epochs, seed=0
        )
        oracle.workers = workers
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), "trials")
        if (tmp_path / "trials" / "oracle.json").exists():
            oracle.reload()
        return oracle

    return start


def end(oracle, trial, score=1.0):
    record = TrialRecord(trial.trial_id, COMPLETED, {}, 0)
    record.write(oracle.folder / f"trial_{trial.trial_id}")
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def run(oracle, limit=30):
    """The values of all trials of one worker."""
    values = []
    while len(values) < limit:
        trial = oracle.create_trial("w")
        if trial.status == "STOPPED":
            break
        values.append(trial.hyperparameters.values)
        slope = values[-1].get("slope", 0.0)
        end(oracle, trial, score=-abs(slope - 2.0))
    return values


@pytest.mark.parametrize("name", ORACLES)
def test_only_what_is_active_has_a_value(name, start):
    # More take long to propose.
    values = run(start(name, trials=5))
    assert len(values) == 5
    for trial in values:
        known = {k for k in trial if not k.startswith("tuner/")}
        assert known == {
            "way",
            {"left": "steps", "right": "slope"}[trial["way"]],
        }
    if name != "hyperband":
        assert values[0] == {"way": "left", "steps": 1}
        assert len({json.dumps(v) for v in values}) == 5


def test_neighbouring_seeds_draw_other_trials(tmp_path):
    """KerasTuner's own would be the same, one trial later."""
    slopes = []
    for seed in range(3):
        oracle = make_oracle("random", a_space(), trials=8, epochs=1, seed=seed)
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), str(seed))
        slopes += [values.get("slope", 1.0) for values in run(oracle)]
    drawn = [slope for slope in slopes if slope != 1.0]
    assert len(drawn) == len(set(drawn)) >= 6


def test_the_grid_is_complete_and_goes_on_after_a_restart(start):
    together = run(start("grid", trials=30))
    # Three steps on the left, ten slopes on the right, and their default.
    assert [v["way"] for v in together] == ["left"] * 3 + ["right"] * 11


def test_the_grid_goes_on_in_a_new_process(start, tmp_path):
    expected = run(start("grid", trials=30))
    for file in (tmp_path / "trials").rglob("*.json"):
        file.unlink()
    for folder in (tmp_path / "trials").iterdir():
        folder.rmdir()
    first = run(start("grid", trials=30), limit=4)
    rest = run(start("grid", trials=30))
    assert first + rest == expected


@pytest.mark.parametrize("name", ORACLES)
def test_a_restart_keeps_what_workers_run(name, start):
    oracle = start(name)
    ended = oracle.create_trial("w1")
    end(oracle, ended)
    mine, yours = oracle.create_trial("w1"), oracle.create_trial("w2")
    again = start(name, workers=("w1", "w2"))
    assert again.create_trial("w2").trial_id == yours.trial_id
    assert again.create_trial("w1").trial_id == mine.trial_id
    assert again.create_trial("w1").status == "RUNNING"
    assert again.end_order == [ended.trial_id]


def test_a_proposal_follows_from_the_seed_and_the_trials(start):
    oracle = start("bayesian")
    run(oracle, limit=5)
    again = start("bayesian")
    expected = again.populate_space("5")
    assert oracle.populate_space("5") == expected
    assert expected["status"] == "RUNNING"


def test_what_fails_is_left_alone(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Choice("way", ["left", "right"])
    hp.Int("steps", 1, 30)
    oracle = make_oracle("bayesian", hp, trials=12, epochs=1, seed=0)
    oracle.verbose = 0
    oracle._set_project_dir(str(tmp_path), "trials")
    ways = []
    for _ in range(12):
        trial = oracle.create_trial("w")
        values = trial.hyperparameters.values
        ways.append(values["way"])
        if values["way"] == "left":
            end(oracle, trial, score=-values["steps"])
        else:
            trial.status = "FAILED"
            oracle.end_trial(trial)
    # It looks whether all of it fails, and goes where trials succeed.
    assert 1 <= ways.count("right") <= 4


@pytest.mark.slow
def test_proposals_beat_draws_and_what_diverges_misleads_nobody(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Choice("balancer", ["fixed", "one", "two"])
    with space.conditional_scope("balancer", ["fixed"]):
        space.Float("weight", 0.01, 100.0, sampling="log", default=1.0)
    space.Int("depth", 1, 3, default=3)
    space.Float("rate", 1e-3, 1.0, sampling="log", default=1e-2)

    def score(values):
        rate = np.log10(values["rate"])
        if rate > -0.5:
            return -1e6
        weight = np.log10(values.get("weight", 10.0))
        loss = {"fixed": 0, "one": 1, "two": 2}[values["balancer"]]
        loss += values["depth"] + (weight + 1) ** 2 + 4 * (rate + 1) ** 2
        return -loss

    def best(name, seed):
        oracle = make_oracle(name, space.copy(), trials=12, epochs=1, seed=seed)
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), f"{name}-{seed}")
        scores = []
        for _ in range(12):
            trial = oracle.create_trial("w")
            scores.append(score(trial.hyperparameters.values))
            end(oracle, trial, scores[-1])
        return max(scores)

    drawn, found = (
        np.array([best(name, seed) for seed in range(6)])
        for name in ("random", "bayesian")
    )
    assert found.mean() > drawn.mean() + 0.5
    assert np.median(found) > -2  # of -1 at best


def test_trials_of_workers_that_are_gone_go_to_others(start):
    oracle = start()
    trials = [oracle.create_trial(f"w{i}") for i in range(3)]
    again = start(workers=("w1",))
    assert again.create_trial("w1").trial_id == trials[1].trial_id
    taken = [again.create_trial(name).trial_id for name in ("x", "y")]
    assert taken == [trials[0].trial_id, trials[2].trial_id]


def test_a_kill_between_the_files_of_a_trial(start, monkeypatch):
    oracle = start()
    monkeypatch.setattr(oracle, "save", lambda: None)
    torn = oracle.create_trial("w")  # on disk, but not in oracle.json
    monkeypatch.undo()
    other = start()
    other.save()
    again = start()
    taken = again.create_trial("v")
    assert taken.trial_id == torn.trial_id
    assert taken.hyperparameters.values == torn.hyperparameters.values
    # The state did not know that its values are drawn already.
    next_ = again.create_trial("w")
    assert next_.trial_id != torn.trial_id
    assert next_.hyperparameters.values != torn.hyperparameters.values


def test_a_kill_after_a_trial_has_ended(start, monkeypatch):
    oracle = start()
    trial = oracle.create_trial("w")
    before = (oracle.folder / "oracle.json").read_text()
    end(oracle, trial)
    (oracle.folder / "oracle.json").write_text(before)
    # The worker has its trial back, and finds a record of it.
    assert start().create_trial("w").trial_id == trial.trial_id


def test_a_trial_whose_record_was_deleted_is_run_again(start):
    oracle = start()
    trial = oracle.create_trial("w")
    end(oracle, trial)
    (oracle.folder / f"trial_{trial.trial_id}" / "record.json").unlink()
    again = start()
    assert again.create_trial("w").trial_id == trial.trial_id
    assert again.end_order == []


@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
def test_a_damaged_file(name, start):
    oracle = start()
    end(oracle, oracle.create_trial("w"))
    (oracle.folder / name).write_text('{"trial')
    with pytest.raises(ValueError, match=rf"damaged: .*{name}"):
        start()


def test_failures_in_a_row_do_not_end_a_search(start):
    oracle = start()
    for _ in range(5):
        trial = oracle.create_trial("w")
        trial.status = "FAILED"
        oracle.end_trial(trial)
    assert oracle.create_trial("w").status == "RUNNING"


def test_a_full_disk_is_told_where_it_is_noticed(start, monkeypatch):
    def full(path, text):
        raise _files.CannotWriteError(path, "No space left on device")

    told = []
    oracle = start()
    oracle.on_full_disk = told.append
    monkeypatch.setattr(_files, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        oracle.save()
    assert [type(error) for error in told] == [_files.CannotWriteError]


def test_an_unknown_oracle():
    with pytest.raises(ValueError, match="must be one of: bayesian, random"):
        make_oracle("oracel", a_space(), trials=1, epochs=1, seed=0)
