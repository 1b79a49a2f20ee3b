import csv
import dataclasses
import json
import re
import shutil

import keras
import keras_tuner
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import (
    parse_experiment_plugin_data,
    parse_session_end_info_plugin_data,
    parse_session_start_info_plugin_data,
)

from keras_mtl import _files, tuner
from keras_mtl.tuner import baselines, search
from keras_mtl.tuner.plan import read_plan
from keras_mtl.tuner.train_values import train_values
from keras_mtl.tuner.trial_record import read_records


@pytest.fixture(scope="module")
def finished(sleepy, tmp_path_factory):
    """A search of three trials, one of which fails; and its progress."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLEEPY_FAILS", "bad")
        result = tuner.tune(
            sleepy,
            trials=3,
            oracle="random",
            seed=4,
            out=tmp_path_factory.mktemp("runs"),
            on_progress=seen.append,
        )
    return result, seen


def test_a_failed_trial_is_recorded_and_the_search_goes_on(finished):
    result, _ = finished
    statuses = {t.values["mood"]: t.status for t in result.trials}
    assert statuses == {"good": "completed", "bad": "failed"}
    assert len(result.trials) == 3
    for trial in result.trials:
        reason = (
            "RuntimeError: a bad mood" if trial.status == "failed" else None
        )
        assert trial.reason == reason


def test_the_first_trial_has_the_defaults(finished):
    result, _ = finished
    assert result.trials[0].values == {
        "mood": "good",
        "width": 2,
        "weight/b": 1,
        "learning_rate": pytest.approx(1e-3),
    }


def test_the_best_is_chosen_and_trained_again_to_the_same(finished):
    result, _ = finished
    assert result.chosen in result.front
    assert result.chosen.score == max(t.score for t in result.completed)
    gains = result.chosen.gains
    assert result.chosen.score == pytest.approx(sum(gains.values()) / 2)
    assert result.scores["validation"] == result.chosen.validation
    # Test data is that of validation here.
    assert result.test_gains == pytest.approx(gains)


@pytest.mark.slow
def test_every_trial_can_be_repeated_from_its_record(finished, sleepy):
    result, _ = finished
    trial = next(t for t in result.completed if t is not result.chosen)
    plan = read_plan(result.run)
    _, history, _ = train_values(
        plan.hypermodel(sleepy),
        sleepy,
        sleepy.load("default", None),
        trial.values,
        seed=trial.seed,
        epochs=trial.epochs,
    )
    assert history == trial.history


def test_the_files_of_a_run(finished):
    result, _ = finished
    names = {path.name for path in result.run.iterdir()}
    assert names == {
        "config.json",
        "trials",
        "results.json",
        "trials.csv",
        "front.csv",
        "front.png",
        "model.keras",
        "report.html",
        "tensorboard",
    }
    record = json.loads((result.run / "results.json").read_text())
    assert record["chosen"]["trial"] == result.chosen.trial
    assert record["front"] == [t.trial for t in result.front]
    with (result.run / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == [t.status for t in result.trials]
    best = max(rows, key=lambda row: float(row["score"] or "-inf"))
    assert best["trial"] == result.chosen.trial
    assert float(best["b_mae"]) == result.chosen.validation["b"]
    model = keras.models.load_model(result.run / "model.keras")
    assert set(model.output) == {"a", "b"}


def test_the_report_stands_alone(finished):
    result, _ = finished
    html = (result.run / "report.html").read_text(encoding="utf-8")
    for address in re.findall(r'(?:src|href)="(.{5})', html):
        assert address == "data:"
    assert "http" not in html
    table = html.split('class="sorts"')[-1]
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    for trial in result.trials:
        first = f"{trial.trial}</td>"
        (row,) = [r for r in rows if r.partition("<td>")[2].startswith(first)]
        assert trial.status in row
        assert (trial.reason or "") in row
    assert f"keras {keras.__version__}" in html


def test_tensorboard_has_every_trial_whole(finished):
    result, _ = finished
    board = result.run / "tensorboard"
    folders = {path.name for path in board.iterdir() if path.is_dir()}
    assert folders == {f"trial_{trial.trial}" for trial in result.trials}
    start, end = "_hparams_/session_start_info", "_hparams_/session_end_info"
    for trial in result.trials:
        events = EventAccumulator(str(board / f"trial_{trial.trial}")).Reload()
        begun = parse_session_start_info_plugin_data(
            events.SummaryMetadata(start).plugin_data.content
        )
        assert begun.group_name == f"trial {trial.trial}"
        assert {
            name: value.string_value or value.number_value
            for name, value in begun.hparams.items()
        } == trial.values
        ended = parse_session_end_info_plugin_data(
            events.SummaryMetadata(end).plugin_data.content
        )
        failed = trial.status == "failed"
        assert ended.status == (STATUS_FAILURE if failed else STATUS_SUCCESS)
        scalars = {
            tag: [
                float(tf.make_ndarray(event.tensor_proto))
                for event in events.Tensors(tag)
            ]
            for tag in events.Tags()["tensors"]
            if not tag.startswith("_hparams_/")
        }
        if failed:
            assert scalars == {}
            continue
        assert scalars["gain/mean"] == [pytest.approx(trial.score)]
        assert scalars["gain/a"] == [pytest.approx(trial.gains["a"])]
        assert scalars["mae/b"] == pytest.approx(trial.history["val_b_mae"])
        assert scalars["loss/a"] == pytest.approx(trial.history["val_a_loss"])


def test_tensorboard_knows_the_space(finished):
    result, _ = finished
    events = EventAccumulator(str(result.run / "tensorboard")).Reload()
    space = parse_experiment_plugin_data(
        events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    )
    described = {info.name: info for info in space.hparam_infos}
    assert set(described) == set(result.trials[0].values)
    moods = described["mood"].domain_discrete.values
    assert [value.string_value for value in moods] == ["bad", "good"]
    width = described["width"].domain_interval
    assert (width.min_value, width.max_value) == (2, 9)
    assert {
        info.name.tag: info.display_name for info in space.metric_infos
    } == {
        "gain/mean": "Δm, %",
        "gain/a": "a: gain, %",
        "gain/b": "b: gain, %",
        "mae/a": "a: mae",
        "mae/b": "b: mae",
    }


def test_hypervolume_never_shrinks(finished):
    result, _ = finished
    volumes = result.hypervolumes()
    assert volumes == sorted(volumes)
    assert len(volumes) == len(result.completed)


def test_progress_counts(finished):
    _, seen = finished
    steps = list(dict.fromkeys(progress.step for progress in seen))
    assert steps == ["single-task", "trial", "chosen"]
    begun = [p for p in seen if p.step == "trial" and p.epoch == 0]
    assert [(p.done, p.total) for p in begun][:1] == [(0, 3)]


def test_single_tasks_are_trained_once(finished, sleepy, monkeypatch):
    result, _ = finished

    def train(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(baselines, "train_once", train)
    splits = sleepy.load("default", None)
    budget = {"epochs": 1, "seed": 4}
    cache = result.run.parents[1] / ".single_task"
    known = baselines.single_task_scores(sleepy, splits, cache=cache, **budget)
    assert known == result.baselines
    # Anything that matters makes them others.
    same = baselines.content_hash(sleepy, splits, **budget)
    assert (cache / f"{same}.json").exists()
    x, y = splits.train
    for recipe, data, changed in (
        (sleepy, splits, {"epochs": 2}),
        (sleepy, splits, {"seed": 5}),
        (dataclasses.replace(sleepy, batch_size=16), splits, {}),
        (dataclasses.replace(sleepy, optimizer="sgd"), splits, {}),
        (sleepy, splits._replace(train=(x + 1e-3, y)), {}),
    ):
        other = baselines.content_hash(recipe, data, **{**budget, **changed})
        assert other != same


@pytest.mark.slow
def test_a_finished_search_can_go_on_and_choose_anew(finished, sleepy):
    result, _ = finished
    with pytest.raises(ValueError, match="has done its 3 trials"):
        tuner.resume(sleepy, result.run)
    with pytest.raises(ValueError, match="may grow, not shrink"):
        tuner.resume(sleepy, result.run, trials=2)
    again = tuner.resume(sleepy, result.run, prefer={"b": 1.0})
    assert again.trials == result.trials
    best = max(t.gains["b"] for t in result.completed)
    assert again.chosen.gains["b"] == best
    longer = tuner.resume(sleepy, result.run, trials=4)
    assert longer.trials[:3] == result.trials
    assert len(longer.trials) == 4


@pytest.mark.slow
def test_an_interrupted_search_goes_on(sleepy, tmp_path, monkeypatch):
    begun = []

    def interrupt(progress):
        if progress.step == "trial" and progress.epoch == 0:
            begun.append(progress.label)
        if progress.label == "trial 1" and progress.epoch == 0:
            raise KeyboardInterrupt

    options = {"trials": 3, "oracle": "grid", "out": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        tuner.tune(sleepy, on_progress=interrupt, **options)
    (run,) = tmp_path.glob("sleepy/*")
    assert [r.trial for r in read_records(run / "trials")] == ["0"]
    assert not (run / "results.json").exists()
    result = tuner.resume(sleepy, run)
    assert [t.status for t in result.trials] == ["completed"] * 3
    assert begun == ["trial 0", "trial 1"]


def test_all_trials_failed(sleepy, tmp_path, monkeypatch, capfd):
    with pytest.raises(
        ValueError, match="All 1 trials failed: RuntimeError: a bad mood"
    ):
        tuner.tune(
            sleepy,
            trials=1,
            oracle="random",  # begins with the defaults
            out=tmp_path,
            on_start=lambda run: monkeypatch.setenv("SLEEPY_FAILS", "good"),
        )
    # KerasTuner alone prints one for each trial.
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err


@pytest.mark.parametrize("more", [{"prefer": "knee"}, {"trials": 5}], ids=str)
def test_a_damaged_record(more, finished, sleepy, tmp_path):
    run = shutil.copytree(finished[0].run, tmp_path / "run")
    file = run / "trials" / "trial_0" / "record.json"
    file.write_text(file.read_text()[:50])
    with pytest.raises(ValueError, match=r"record.json.*Delete that file"):
        tuner.resume(sleepy, run, **more)
    # No other trial was begun, to fail by it.
    assert len(list(run.glob("trials/trial_*"))) == 3


@pytest.mark.slow
def test_a_record_that_is_damaged_meanwhile_fails_no_other(sleepy, tmp_path):
    def damage(progress):
        if progress.label == "trial 1" and progress.epoch == 0:
            (file,) = tmp_path.glob("sleepy/*/trials/trial_0/record.json")
            file.write_text("{")

    with pytest.raises(ValueError, match=r"record.json.*Delete that file"):
        tuner.tune(
            sleepy,
            trials=3,
            oracle="random",
            out=tmp_path,
            on_progress=damage,
        )
    records = tmp_path.glob("sleepy/*/trials/*/record.json")
    assert [file.parent.name for file in records] == ["trial_0"]


@pytest.mark.slow
def test_a_full_disk_ends_the_search(sleepy, tmp_path, monkeypatch):
    write = _files.write_text

    def full(path, text):
        if path.name == "record.json":
            raise _files.CannotWriteError(path, "No space left on device")
        write(path, text)

    monkeypatch.setattr(_files, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device.*record\.json"):
        tuner.tune(sleepy, trials=2, oracle="random", out=tmp_path)


def test_a_place_that_cannot_be_written(sleepy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write to `path`"):
        tuner.tune(sleepy, out=tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"objective": ["c"]}, "tasks of the recipe: a, b. Received: 'c'"),
        ({"objective": ["delta"]}, "Did you mean 'delta_m'?"),
        ({"oracle": "bayes"}, "`oracle` must be one of"),
        ({"trials": 0}, "`trials` must be 1 or more"),
        ({"prefer": {"c": 1.0}}, "for some of: a, b"),
        ({"prefer": {"a": 0.0}}, "not all zero"),
        ({"prefer": "best"}, "must be 'knee' or hold numbers"),
        ({"workers": -1}, "`workers` must be 0 or more"),
        ({"workers": 0}, "give an `address`"),
        ({"workers": 2, "address": "here"}, "must be 'host:port'"),
        ({"balancers": ["pcgard"]}, "Did you mean 'pcgrad'"),
    ],
)
def test_bad_arguments(sleepy, tmp_path, arguments, told):
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        tuner.tune(sleepy, out=tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_workers_need_a_file(sleepy, tmp_path):
    other = dataclasses.replace(sleepy, batch_size=16)
    with pytest.raises(ValueError, match="not loaded from one"):
        tuner.tune(other, workers=2, out=tmp_path)


def test_a_model_that_cannot_be_built(sleepy, tmp_path, monkeypatch):
    monkeypatch.setenv("SLEEPY_FAILS", "good")
    with pytest.raises(ValueError, match="built: RuntimeError: a bad mood"):
        tuner.tune(sleepy, out=tmp_path)


def test_nothing_to_search(sleepy, tmp_path):
    def build(hp, tasks):
        return sleepy.build(keras_tuner.HyperParameters(), tasks)

    models = tuner.MultiTaskHyperModel(
        build, [sleepy.tasks["a"]], lambda hp: "adam"
    )
    with pytest.raises(ValueError, match="There is nothing to search"):
        models.space()


def test_resume_of_something_else(sleepy, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no run"):
        tuner.resume(sleepy, tmp_path / "none")
    with pytest.raises(ValueError, match="must be a run of `keras-mtl tune`"):
        tuner.resume(sleepy, tmp_path)


def test_resume_with_another_recipe(finished, sleepy):
    result, _ = finished
    other = dataclasses.replace(sleepy, batch_size=16)
    with pytest.raises(ValueError, match="`batch_size` must be what the run"):
        tuner.resume(other, result.run, trials=6)


def test_a_gain_that_is_not_defined(sleepy, tmp_path, monkeypatch):
    zero = {"validation": {"a": 0.0, "b": 1.0}, "test": {"a": 0.0, "b": 1.0}}
    monkeypatch.setattr(search, "single_task_scores", lambda *a, **k: zero)
    with pytest.raises(
        ValueError, match=r"of task 'a' is not defined.*\['b'\]"
    ):
        tuner.tune(sleepy, out=tmp_path)
