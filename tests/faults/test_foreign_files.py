"""Files that are damaged, changed or of somebody else are told, never run."""

import json
import random
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_mtl import Task, builders, tuner
from keras_mtl.analysis import training_run
from keras_mtl.analysis.cells import Cell, Cells
from keras_mtl.analysis.results import Training
from keras_mtl.callbacks import Checkpoint, load_checkpoint
from keras_mtl.cli.app import app
from keras_mtl.recipe import Recipe, load_recipe
from keras_mtl.serving.labels import read_labels
from keras_mtl.training.loading import load_keras_file
from keras_mtl.tuner.oracles import make_oracle
from keras_mtl.tuner.plan import CONFIG, Plan, read_plan
from keras_mtl.tuner.trial_record import (
    COMPLETED,
    TrialRecord,
    read_record,
    read_records,
)
from tests.faults import changed
from tests.tuner.small_plan import PLAN

# CI takes the first number, `-m slow` the second.
ROUNDS = [60, pytest.param(5_000, marks=pytest.mark.slow)]
FILES = [10, pytest.param(400, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model.keras"
    model = builders.hard_sharing(
        keras.Input((2,)),
        [Task("a", "regression"), Task("b", "binary")],
        [keras.layers.Dense(4, name="low")],
    )
    model.compile("adam", balancer="uncertainty")
    x = np.ones((8, 2), "float32")
    y = {"a": x[:, :1], "b": x[:, 1]}
    model.fit(x, y, verbose=0, callbacks=[Checkpoint(path)])
    return path


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rebuilt(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


# ------------------------------------------------------------------- .keras


def evil(path):
    call = f"__import__('pathlib').Path({str(path)!r}).touch()"
    return [
        {"module": "os", "class_name": "system", "config": [f"touch {path}"]},
        {"module": "builtins", "class_name": "eval", "config": call},
        {
            "module": "subprocess",
            "class_name": "run",
            "config": {"args": ["touch", str(path)]},
            "registered_name": None,
        },
        {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {
                "function": {
                    "class_name": "__lambda__",
                    "config": {"code": "4wEAAAA=", "defaults": None},
                }
            },
        },
        {
            "module": "keras.utils",
            "class_name": "get_file",
            "config": {"origin": f"file://{path}"},
        },
        {"class_name": "function", "config": "system", "module": "os"},
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_model_that_would_run_something(checkpoint, tmp_path, number):
    touched = tmp_path / "touched"
    contents = entries(checkpoint)
    harmless = json.loads(contents["config.json"])
    bad = evil(touched)[number]
    places = [bad]
    for key, inner in (("compile_config", "loss"), ("config", "layers")):
        assert inner in harmless[key]
        config = json.loads(contents["config.json"])
        config[key][inner] = bad
        places.append(config)
    for config in places:
        contents["config.json"] = json.dumps(config).encode()
        file = rebuilt(tmp_path / "evil.keras", contents)
        with pytest.raises(ValueError, match=r"cannot be loaded.*run\.$"):
            load_keras_file(file)
            raise ValueError("cannot be loaded: harmless, not run.")
        assert not touched.exists()


@pytest.mark.filterwarnings("ignore:Skipping invalid path:UserWarning")
def test_entries_that_lead_out_of_the_file(checkpoint, tmp_path):
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    contents = entries(checkpoint)
    contents["../../outside.txt"] = b"out"
    contents["assets/../../../outside.txt"] = b"out"
    file = rebuilt(inside / "model.keras", contents)
    load_checkpoint(file)
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("rounds", FILES)
def test_damaged_models(checkpoint, tmp_path, rounds):
    draw = random.Random(0)
    contents = entries(checkpoint)
    whole = checkpoint.read_bytes()
    path = tmp_path / "model.keras"
    kinds = {"clear": 0, "loaded": 0}
    for number in range(rounds):
        if number % 2:
            path.write_bytes(changed.damaged(draw, whole))
        else:
            # With a right checksum, so that what is inside is read.
            name = draw.choice(list(contents))
            inside = dict(contents)
            if name.endswith(".json"):
                inside[name] = changed.json_bytes(
                    draw, json.loads(contents[name])
                )
            else:
                inside[name] = changed.damaged(draw, contents[name])
            rebuilt(path, inside)
        with changed.no_hang():
            try:
                load_checkpoint(path)
                kinds["loaded"] += 1
            except ValueError as error:
                assert "model.keras" in str(error), error
                kinds["clear"] += 1
    assert kinds["clear"] > rounds / 3


def test_no_file_and_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file"):
        load_keras_file(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("a text")
    with pytest.raises(ValueError, match=r"text.keras' cannot be loaded"):
        load_keras_file(tmp_path / "text.keras")


# --------------------------------------------------------- records of runs


def json_fuzz(rounds, file, record, read):
    """Reads a changed file again and again; how often it was refused."""
    draw, refused = random.Random(1), 0
    for _ in range(rounds):
        file.write_bytes(changed.json_bytes(draw, record))
        with changed.no_hang():
            try:
                read()
            except ValueError as error:
                assert str(file.parent) in str(error), error
                refused += 1
    assert refused > rounds / 10
    return refused


RECORD = TrialRecord(
    trial="3",
    status=COMPLETED,
    values={"width": 4, "balancer": "fixed"},
    seed=0,
    epochs=2,
    validation={"a": 0.5},
    gains={"a": 1.0},
    score=1.0,
    seconds=2.0,
    parameters=10,
    history={"loss": [1.0, None]},
    worker="tuner0",
)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_records_of_trials(tmp_path, rounds):
    folder = tmp_path / "trial_3"
    RECORD.write(folder)
    assert read_record(folder) == RECORD
    file = folder / "record.json"
    record = json.loads(file.read_text())
    json_fuzz(rounds, file, record, lambda: read_record(folder))
    (tmp_path / "trial_x").mkdir()  # nobody's
    RECORD.write(folder)
    assert read_records(tmp_path) == [RECORD]


@pytest.fixture
def search(tmp_path, tiny):
    """A search that was started and not gone on with."""

    def stop(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuner.tune(tiny, out=tmp_path, epochs=1, trials=2, on_start=stop)
    (run,) = tmp_path.glob("tiny/2*")
    return run


@pytest.fixture(scope="module")
def tiny():
    return load_recipe(
        Path(__file__).parents[1] / "analysis" / "tiny_recipe.py"
    )


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [2_000])
def test_plans_of_searches(search, rounds):
    file = search / CONFIG
    plan = read_plan(search)
    json_fuzz(rounds, file, plan.settings, lambda: read_plan(search).space())


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_plan(tmp_path, rounds):
    file = tmp_path / CONFIG
    file.write_text(json.dumps(PLAN))
    assert read_plan(tmp_path).space().get("width") == 1
    json_fuzz(rounds, file, PLAN, lambda: read_plan(tmp_path).space())


def test_balancers_of_a_plan_run_nothing(tmp_path, tiny):
    for bad in evil(tmp_path / "touched"):
        plan = Plan(tmp_path, {**PLAN, "balancers": {"x": bad}})
        with pytest.raises(ValueError, match="cannot be made"):
            plan.hypermodel(tiny)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_oracles(tmp_path, name, rounds):
    plan = Plan(tmp_path, PLAN)

    def oracle():
        made = make_oracle("random", plan.space(), trials=3, epochs=1, seed=0)
        made._set_project_dir(str(tmp_path), "trials")
        made.verbose = 0
        return made

    first = oracle()
    first.create_trial("w")
    first.save()
    file = tmp_path / "trials" / name
    record = json.loads(file.read_text())
    oracle().reload()

    def read():
        oracle().reload()

    draw = random.Random(2)
    for _ in range(rounds):
        file.write_bytes(changed.json_bytes(draw, record))
        with changed.no_hang():
            try:
                read()
            except ValueError as error:
                assert str(tmp_path) in str(error)
    assert {p.name for p in tmp_path.iterdir()} == {"trials"}


TRAINING = Training(
    method="fixed",
    tasks=("a",),
    seed=0,
    validation={"a": 1.0},
    test={"a": 1.0},
    seconds=1.0,
    parameters=3,
    history={"loss": [1.0]},
)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_kept_trainings_that_are_not_whole_are_none(tmp_path, rounds):
    cells = Cells(tmp_path, {})
    with cells.new({}) as new:
        new.keep(TRAINING)
    cell = cells.find({})
    assert cell.training == TRAINING
    file = cell.directory / "training.json"
    record = json.loads(file.read_text())
    draw, lost = random.Random(3), 0
    for _ in range(rounds):
        file.write_bytes(changed.json_bytes(draw, record))
        with changed.no_hang():
            found = cells.find({})
        lost += found is None
        assert found is None or isinstance(found, Cell)
    assert lost > rounds / 10


RUN = {
    "recipe": "tiny",
    "batch_size": 32,
    "tasks": [],
    "source": "default",
    "data_dir": None,
    "seed": 0,
    "epochs": 1,
    "balancer": "fixed",
    "balancer_config": None,
}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_configs_of_runs(tmp_path, tiny, rounds):
    file = tmp_path / "config.json"

    def read():
        training_run.resume(tiny, tmp_path)

    draw = random.Random(4)
    for _ in range(rounds):
        file.write_bytes(changed.json_bytes(draw, RUN))
        with changed.no_hang(), pytest.raises((ValueError, FileNotFoundError)):
            read()
    assert {p.name for p in tmp_path.iterdir()} == {"config.json"}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_labels_of_versions(tmp_path, rounds):
    record = {"m": {"stable": 1, "canary": 2}, "n": {}}
    file = tmp_path / "labels.json"
    json_fuzz(rounds, file, record, lambda: read_labels(tmp_path))


# ----------------------------------------------------------------- recipes

RECIPE = Path(__file__).with_name("small_recipe.py")


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_recipes(tmp_path, rounds):
    draw = random.Random(5)
    whole = RECIPE.read_bytes()
    assert load_recipe(RECIPE).name == "small"
    file, refused = tmp_path / "recipe.py", 0
    for _ in range(rounds):
        file.write_bytes(changed.damaged(draw, whole))
        with changed.no_hang():
            try:
                assert isinstance(load_recipe(file), Recipe)
            except ValueError as error:
                assert "recipe" in str(error)
                refused += 1
    assert refused > rounds / 3


def test_a_recipe_that_ends_the_process(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ValueError, match=r"SystemExit: 0 \(.*line 2: sys"):
        load_recipe(file)


def test_an_export_runs_no_recipe_that_a_run_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'touched')!r}, 'w')")
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").write_bytes(b"")
    config = {"file": str(evil), "recipe": "x", "deploy": True}
    for change, code, message in (
        ({}, 2, "not run unless it is named: add --recipe FILE"),
        ({"deploy": False}, 1, "model.keras' cannot be loaded"),
        ({"deploy": [], "recipe": "../x"}, 2, "cannot name a folder"),
        ({"deploy": 0, "recipe": 3.5}, 2, "cannot name a folder"),
        ({"deploy": 0, "recipe": [1]}, 2, "cannot name a folder"),
    ):
        (run / "config.json").write_text(json.dumps({**config, **change}))
        done = CliRunner().invoke(app, ["export", str(run)])
        assert done.exit_code == code, (change, done.output)
        assert message in " ".join(done.stderr.split())
        assert not (tmp_path / "touched").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"evil.py", "run"}


# ------------------------------------------------------- names that are paths

NAMES = ["..", ".", "../x", "/x", "a/b", "a\\b", "", "a\0", "-x", "~", "a\n"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_recipes_stay_in_their_folder(name, tiny):
    with pytest.raises(ValueError, match="`name` of a recipe names folders"):
        Recipe(name, tiny.tasks, tiny.load, tiny.build)


@pytest.mark.parametrize("name", [n for n in NAMES if n])
def test_names_of_workers_stay_in_their_folder(name, tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps(PLAN))
    with pytest.raises(ValueError, match="`name` of a worker"):
        tuner.join(tmp_path, name)


def test_names_of_trials_stay_in_their_folder(tmp_path):
    for name in ("trial_..", "trial_x", "trial_", "trial_²", "x"):
        folder = tmp_path / name
        RECORD.write(folder)
        with pytest.raises(ValueError, match="it is of trial"):
            read_record(folder)
        shutil.rmtree(folder)


def test_a_task_may_be_called_anything_else(tiny, tmp_path):
    for name in ("a/b", ""):
        with pytest.raises(ValueError, match="`name` of a task"):
            Task(name, "binary")
    # No path is made of it: see the label of a step of `compare`.
    assert Task("..", "binary").name == ".."
