import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import keras_mtl
from keras_mtl import _files
from keras_mtl.analysis import compare, verdict
from keras_mtl.analysis.results import EQUAL, SINGLE, Failure
from keras_mtl.analysis.training import load_splits, train_once
from keras_mtl.metrics import delta_m
from keras_mtl.recipe import Score, load_recipe
from keras_mtl.tasks import Task

FILES = {
    "config.json",
    "results.json",
    "results.csv",
    "report.html",
    "report.png",
    "model.keras",
    "tensorboard",
}


@pytest.fixture(scope="module")
def done(tiny, tmp_path_factory):
    """A comparison, its directory and the progress that it told."""
    told = []
    out = tmp_path_factory.mktemp("runs")
    comparison, run = compare(
        tiny,
        seeds=2,
        epochs=2,
        balancers=["uncertainty"],
        out=out,
        origin={"command": "keras-mtl compare tiny"},
        on_progress=told.append,
    )
    return comparison, run, told


def test_the_run_directory_is_whole(done, tiny):
    _, run, _ = done
    assert {path.name for path in run.iterdir()} == FILES
    assert run.parent.name == tiny.name
    assert {path.name for path in run.parent.iterdir()} == {run.name, "cells"}


RECIPE = """
import pathlib
import tiny_recipe
import keras_mtl

def build(hp, tasks):
    if "size" in tasks and "up" in tasks and pathlib.Path({flag!r}).exists():
        raise RuntimeError("out of patience")
    with open({log!r}, "a") as log:
        log.write(" ".join(tasks) + "\\n")
    return tiny_recipe.build(hp, tasks)

recipe = keras_mtl.Recipe(
    "kept", tiny_recipe.recipe.tasks, tiny_recipe.load, build,
    sources=("made", "other"), optimizer=tiny_recipe.recipe.optimizer,
)
"""


@pytest.fixture
def from_file(tmp_path):
    """A recipe of a file that tells what it has built, and can fail."""
    log, flag = tmp_path / "built.txt", tmp_path / "fail"
    file = tmp_path / "kept.py"
    file.write_text(RECIPE.format(log=str(log), flag=str(flag)))

    def run(**changes):
        log.write_text("")
        arguments = {"seeds": 1, "epochs": 1, "balancers": [], **changes}
        result = compare(load_recipe(file), out=tmp_path / "runs", **arguments)
        return *result, log.read_text().splitlines()

    return run, file, flag


def test_finished_trainings_are_not_done_twice(from_file, tmp_path):
    run, _, _ = from_file
    first, _, built = run()
    assert built == ["up", "size", "up size"]
    runs = tmp_path / "runs" / "kept"
    for place in (runs, runs / "cells"):  # as a killed comparison leaves them
        (place / ".some-0123456789ab.tmp" / "tensorboard").mkdir(parents=True)
    with _files.hidden_directory(runs / "cells" / "other") as living:
        again, directory, built = run()
        hidden = {p for p in runs.rglob(".*") if p.is_dir()}
        assert hidden == {living}
    assert built == []
    assert again.trainings == first.trainings
    assert again.config["trainings_reused"] == 3
    assert {path.parent.name for path in directory.rglob("events.*")} & {
        "train",
        "validation",
        "equal-weights",
    }
    shutil.rmtree(runs / "cells")  # as the guide tells
    keras.models.load_model(directory / "model.keras")


@pytest.mark.slow
def test_what_is_new_is_trained(from_file):
    run, file, _ = from_file
    run()
    # More of it trains what is new alone.
    assert run(seeds=2)[2] == ["up", "size", "up size"]
    assert run(balancers=["mgda"])[2] == ["up size"]
    assert run(fresh=True)[2] == ["up", "size", "up size"]
    # Other settings, or another recipe, are other trainings.
    assert len(run(epochs=2)[2]) == len(run(source="other")[2]) == 3
    file.write_text(f'"""Told anew."""\n{file.read_text()}# changed\n')
    assert run()[2] == []
    file.write_text(file.read_text() + "changed = True\n")
    assert len(run()[2]) == 3


def test_an_interrupted_comparison_goes_on(from_file):
    run, _, _ = from_file

    def stop(progress):
        if progress.training == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on_progress=stop)
    comparison, _, built = run()
    assert built == ["up size"]
    assert len(comparison.trainings) == 3


@pytest.mark.slow
def test_models_get_the_inputs_that_they_have(tiny, tmp_path):
    """Keras would pair those of a larger dict by position."""

    def load(source, data_dir):
        splits = tiny.load(source, data_dir)
        return keras_mtl.Splits(
            *(
                ({"a_other": np.full(len(x), 7), "table": x}, y)
                for x, y in splits[:3]
            )
        )

    def build(hp, tasks):
        model = tiny.build(hp, tasks)
        if len(tasks) == 1:
            return keras_mtl.MultiTaskModel(
                {"table": model.input}, model.output, tasks=tasks
            )
        inputs = {
            "a_other": keras.Input((), name="a_other"),
            "table": model.input,
        }
        return keras_mtl.MultiTaskModel(inputs, model.output, tasks=tasks)

    seen = []

    def largest(model, x, truth):
        seen.append(sorted(x) if isinstance(x, dict) else None)
        return float(model.predict(x, verbose=0)["size"].max())

    recipe = dataclasses.replace(
        tiny,
        load=load,
        build=build,
        scores={"size": [Score("largest", "max", largest)]},
    )
    comparison, _ = compare(
        recipe, seeds=1, epochs=1, balancers=[], out=tmp_path
    )
    assert ["table"] in seen and ["a_other", "table"] in seen
    plain, _ = compare(
        dataclasses.replace(tiny, scores=recipe.scores),
        seeds=1,
        epochs=1,
        balancers=[],
        out=tmp_path,
    )
    for with_other, alone in zip(
        comparison.trainings[:2], plain.trainings[:2], strict=True
    ):
        assert with_other.measures == pytest.approx(alone.measures, rel=1e-6)


@pytest.mark.slow
def test_a_damaged_record_is_trained_again(from_file, tmp_path):
    run, _, _ = from_file
    run()
    records = sorted((tmp_path / "runs/kept/cells").glob("*/training.json"))
    records[0].write_text('{"method": "sing')
    records[1].write_text('{"method": "single-task"}')
    assert len(run()[2]) == 2


def test_a_failed_method_does_not_lose_the_others(from_file):
    run, _, flag = from_file
    run()  # equal weights are there
    flag.touch()
    comparison, directory, _ = run(balancers=["mgda"])
    assert comparison.methods == [SINGLE, EQUAL]
    assert comparison.failures == [Failure("mgda", 0, "out of patience")]
    assert "out of patience" in (directory / "report.html").read_text()
    with pytest.raises(
        ValueError, match=r"Nothing is left.*equal weights.*out of patience"
    ):
        run(epochs=2)


def test_a_first_training_that_fails_is_told_as_it_is(tiny, tmp_path):
    def build(hp, tasks):
        raise RuntimeError("no such layer")

    recipe = dataclasses.replace(tiny, build=build)
    with pytest.raises(RuntimeError, match="no such layer"):
        compare(recipe, seeds=1, out=tmp_path)


def test_every_task_alone_and_all_together_with_every_seed(done):
    comparison = done[0]
    assert comparison.methods == [SINGLE, EQUAL, "uncertainty"]
    assert [(t.label, t.seed) for t in comparison.trainings] == [
        (label, seed)
        for seed in (0, 1)
        for label in (
            f"{SINGLE} up",
            f"{SINGLE} size",
            EQUAL,
            "uncertainty",
        )
    ]


def test_all_have_the_same_budget(done):
    for training in done[0].trainings:
        assert len(training.history["loss"]) == 2
    parameters = {t.label: t.parameters for t in done[0].trainings}
    # 6 → 8 → 1, with biases; two heads on one hidden layer when shared.
    assert parameters == {
        f"{SINGLE} up": 65,
        f"{SINGLE} size": 65,
        EQUAL: 74,
        "uncertainty": 74,
    }
    for training in done[0].trainings:  # what a step takes has no seed
        assert (training.memory or 0) > 0 or training.seed
        assert training.memory is None or training.seed == 0


def test_summaries_follow_from_the_trainings_in_the_file(done):
    record = json.loads((done[1] / "results.json").read_text())
    directions = {k: m["direction"] for k, m in record["metrics"].items()}

    def scores(method, split):
        return [
            {
                task: value
                for t in record["trainings"]
                if (t["method"], t["seed"]) == (method, seed)
                for task, value in t[split].items()
            }
            for seed in record["seeds"]
        ]

    best = {}
    for summary in record["summaries"]:
        for split, key in (
            ("test", "delta_m"),
            ("validation", "validation_delta_m"),
        ):
            single = scores(SINGLE, split)
            baseline = {
                task: np.mean([s[task] for s in single]) for task in directions
            }
            deltas = [
                delta_m(s, baseline, directions)
                for s in scores(summary["method"], split)
            ]
            assert summary[key]["mean"] == pytest.approx(
                np.mean(deltas), abs=1e-9
            )
            assert summary[key]["sd"] == pytest.approx(np.std(deltas, ddof=1))
        best[summary["method"]] = np.mean(deltas)
    del best[SINGLE]
    assert record["chosen"] == max(best, key=best.get)


def test_the_kept_model_is_the_chosen_one_of_the_first_seed(done, tiny):
    comparison, run, _ = done
    model = keras.models.load_model(run / "model.keras")
    x, y = tiny.load("made", None).test
    logs = model.evaluate(x, y, batch_size=32, return_dict=True, verbose=0)
    (training,) = [
        t
        for t in comparison.trainings
        if (t.method, t.seed) == (comparison.chosen, 0)
    ]
    assert logs["up_accuracy"] == pytest.approx(training.test["up"])
    assert logs["size_mae"] == pytest.approx(training.test["size"])


def test_scores_judge_and_pictures_show(tiny, tmp_path):
    shown = []

    def largest(model, x, truth):
        predicted = model.predict(x, verbose=0)["size"][:, 0]
        return np.abs(predicted - truth["size"]).max()

    def pictures(model, x, truth):
        shown.append((len(x), sorted(truth), sorted(model.output)))
        return {"Sizes <seen>": Figure()}

    recipe = dataclasses.replace(
        tiny,
        scores={"size": [Score("largest", "min", largest, "m")]},
        pictures=pictures,
    )
    comparison, run = compare(
        recipe, seeds=1, epochs=1, balancers=[], out=tmp_path
    )
    assert shown == [(50, ["size", "up"], ["size", "up"])]
    record = json.loads((run / "results.json").read_text())
    assert record["metrics"]["size"]["name"] == "largest"
    assert [m["name"] for m in record["other_metrics"]["size"]] == ["mae"]
    (together,) = [t for t in record["trainings"] if t["method"] == EQUAL]
    assert together["test"]["size"] == together["measures"]["size_largest"]
    assert together["test"]["size"] > together["measures"]["size_mae"]
    assert comparison.summary(EQUAL).others["size_mae"].mean == pytest.approx(
        together["measures"]["size_mae"]
    )
    page = (run / "report.html").read_text()
    assert "More measures on test data" in page
    assert "Sizes &lt;seen&gt;" in page
    rows = csv.DictReader((run / "results.csv").read_text().splitlines())
    assert [r["metric"] for r in rows if r["method"] == EQUAL] == [
        *("accuracy", "largest", "mae")
    ]


def test_only_the_tasks_of_a_source_are_trained(tiny, tmp_path):
    def load(source, data_dir):
        splits = tiny.load(source, data_dir)
        return splits._replace(
            **{
                name: (x, {"up": y["up"], "big": y["size"] > 3})
                for name in ("train", "validation", "test")
                for x, y in [getattr(splits, name)]
            }
        )

    recipe = dataclasses.replace(
        tiny,
        tasks=[*tiny.tasks.values(), Task("big", "binary")],
        load=load,
        sources={"made": ["up", "size"], "other": ["up", "big"]},
    )
    comparison, run = compare(
        recipe, source="other", seeds=1, epochs=1, balancers=[], out=tmp_path
    )
    assert list(comparison.metrics) == ["up", "big"]
    tasks = json.loads((run / "config.json").read_text())["tasks"]
    assert [task["name"] for task in tasks] == ["up", "big"]


def test_config_tells_how_to_repeat_it(done):
    config = json.loads((done[1] / "config.json").read_text())
    assert config["command"] == "keras-mtl compare tiny"
    assert config["seeds"] == [0, 1]
    assert (config["epochs"], config["batch_size"]) == (2, 32)
    assert config["source"] == "made"
    assert config["optimizer"]["class_name"] == "Adam"
    assert list(config["balancers"]) == [EQUAL, "uncertainty"]
    assert [task["name"] for task in config["tasks"]] == ["up", "size"]
    assert {"keras", "numpy", "python"} <= set(config["versions"])


def test_report_inference_and_progress(done):
    comparison, run, told = done
    html = (run / "report.html").read_text()
    assert verdict(comparison).sentence in html
    assert "Made &lt;tables&gt;." in html
    low, median, high = comparison.inference.shared
    assert 0 < low <= median <= high
    assert [(p.training, p.epoch) for p in told] == [
        (training, epoch) for training in range(8) for epoch in range(3)
    ]


@pytest.fixture(scope="module")
def ways(several_ways, tmp_path_factory):
    out = tmp_path_factory.mktemp("ways")
    return compare(
        several_ways, seeds=1, epochs=1, balancers=["uncertainty"], out=out
    )


def test_each_way_of_sharing_then_each_balancer_with_the_first(ways):
    comparison, run = ways
    assert [
        (t.label, t.sharing, t.parameters) for t in comparison.trainings
    ] == [
        (f"{SINGLE} up", None, 33),
        (f"{SINGLE} size", None, 33),
        # 6 → 4 shared → 1, or 6 → 5 → 1 for each task.
        ("hard_sharing", "hard_sharing", 38),
        ("cross_stitch", "cross_stitch", 82),
        ("uncertainty", "hard_sharing", 38),
    ]
    config = json.loads((run / "config.json").read_text())
    assert config["sharings"] == ["hard_sharing", "cross_stitch"]
    assert list(config["balancers"]) == [EQUAL, "uncertainty"]
    rows = csv.DictReader((run / "results.csv").read_text().splitlines())
    assert [row["sharing"] for row in rows] == [
        *["", ""],
        *["hard_sharing"] * 2,
        *["cross_stitch"] * 2,
        *["hard_sharing"] * 2,
    ]


def test_the_report_tells_how_balancers_share(ways, done):
    html = (ways[1] / "report.html").read_text()
    assert "balancers were tried with\nhard_sharing." in html
    assert "<th>Sharing</th>\n<td>hard_sharing, cross_stitch</td>" in html
    html = (done[1] / "report.html").read_text()
    assert "balancers were tried" not in html
    assert "Sharing</th>" not in html


def test_one_way_of_sharing_goes_by_the_balancers_names(several_ways, tmp_path):
    comparison, _ = compare(
        several_ways,
        seeds=1,
        epochs=1,
        balancers=[],
        sharings=["cross_stitch"],
        out=tmp_path,
    )
    assert comparison.methods == [SINGLE, EQUAL]
    assert comparison.balancers_share_by is None
    # Single tasks stay those of the recipe's first way.
    assert [t.parameters for t in comparison.trainings] == [33, 33, 82]


def test_a_way_of_sharing_that_the_recipe_lacks(several_ways, tmp_path):
    with pytest.raises(ValueError, match=r"'ple'.*hard_sharing, cross_stitch"):
        compare(several_ways, sharings=["ple"], out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_build_must_ask_how_to_share(tiny, tmp_path):
    recipe = dataclasses.replace(tiny, sharings=("hard_sharing", "mmoe"))
    with pytest.raises(ValueError, match=r"build what hp.Choice.*does not ask"):
        compare(recipe, seeds=1, epochs=1, out=tmp_path)


def test_trainings_are_repeatable(done, tiny):
    (before,) = [
        t for t in done[0].trainings if (t.method, t.seed) == (EQUAL, 1)
    ]
    splits = load_splits(tiny, "made")
    _, history, _ = train_once(tiny, splits, tiny.tasks, seed=1, epochs=2)
    assert history == before.history


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "`seeds` must be 1 or more"),
        ({"epochs": 0}, "`epochs` must be 1 or more"),
        ({"source": "none"}, "no data source 'none'"),
        ({"sharings": ["mmoe"]}, "no way of sharing 'mmoe'. It offers none"),
        ({"balancers": ["pcgrd"]}, "no balancer named 'pcgrd'.*'pcgrad'"),
    ],
)
def test_errors_come_before_training(tiny, tmp_path, arguments, message):
    def load(source, data_dir):
        raise AssertionError("data was loaded")

    recipe = dataclasses.replace(tiny, load=load)
    with pytest.raises(ValueError, match=message):
        compare(recipe, out=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said_before_loading(tiny, tmp_path):
    def load(source, data_dir):
        raise AssertionError("data was loaded")

    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match="Cannot write to `path`"):
        compare(dataclasses.replace(tiny, load=load), out=file)


def test_nothing_is_left_of_a_comparison_that_fails(tiny, tmp_path):
    def build(hp, tasks):
        if len(tasks) > 1:
            raise ValueError("no shared model")
        return tiny.build(hp, tasks)

    recipe = dataclasses.replace(tiny, build=build)
    with pytest.raises(ValueError, match="no shared model"):
        compare(recipe, seeds=1, epochs=1, out=tmp_path)
    assert not list((tmp_path / "tiny").iterdir())  # not even a hidden one


def test_one_task_cannot_be_compared(tiny, tmp_path):
    recipe = dataclasses.replace(tiny, tasks=[tiny.tasks["up"]])
    with pytest.raises(ValueError, match=r"two tasks or more.*\['up'\]"):
        compare(recipe, out=tmp_path)
