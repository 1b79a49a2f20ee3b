import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_mtl import balancers, serving


def words(result):
    return " ".join(result.stdout.split())


def test_balancers_lists_the_registry(run):
    result = run("balancers")
    assert result.exit_code == 0
    for name in balancers.registry:
        assert name in result.stdout
    (pcgrad,) = [r for r in result.stdout.splitlines() if "pcgrad" in r]
    assert "gradient" in pcgrad
    assert "arXiv:2001.06782" in pcgrad


def test_compare_ends_with_tables_files_and_commands(run, recipe_file):
    result = run(
        *("compare", recipe_file, "--seeds", "1", "--epochs", "1"),
        *("--balancer", "pcgrad"),
    )
    assert result.exit_code == 0, result.stderr
    text = words(result)
    assert "against single-task" in text
    assert "cannot be said from 1 seed" in text
    (directory,) = Path("runs/tiny").glob("2*")
    assert f"report {directory}/report.html" in text
    assert f"picture {directory}/report.png" in text
    assert f"tensorboard --logdir {directory}/tensorboard" in text
    assert "Export saved_models/tiny/1" in text
    assert "tensorflow/serving" in text
    assert "curl -d" in text
    # Tables fit; commands are one line each, to be copied.
    table = result.stdout.split("report ")[0]
    assert max(map(len, table.splitlines())) <= 80
    config = json.loads((directory / "config.json").read_text())
    assert config["file"] == recipe_file
    assert len(config["file_sha256"]) == 64
    assert serving.check("saved_models/tiny").ok
    assert result.stderr.splitlines()[-1] == "[4/4] pcgrad, seed 0"


WAYS = """
import dataclasses

import keras
from tiny_recipe import recipe as tiny

from keras_mtl import builders


def build(hp, tasks):
    way = hp.Choice("sharing", ["hard_sharing", "cross_stitch"])
    block = keras.layers.Dense(4, name=f"tower_{way}")
    return builders.hard_sharing(keras.Input((6,)), tasks, [block])


ways = dataclasses.replace(
    tiny, build=build, sharings=("hard_sharing", "cross_stitch")
)
del tiny
"""


@pytest.fixture
def ways_file(tmp_path, monkeypatch, recipe_file):
    monkeypatch.syspath_prepend(str(Path(recipe_file).parent))
    file = tmp_path / "ways.py"
    file.write_text(WAYS)
    return str(file)


def test_compare_ways_of_sharing(run, ways_file):
    result = run(
        *("compare", ways_file, "--seeds", "1", "--epochs", "1"),
        *("--balancer", "pcgrad"),
    )
    assert result.exit_code == 0, result.stderr
    assert "balancers with hard_sharing" in words(result)
    table = result.stdout.split("report ")[0]
    for name in ("hard_sharing", "cross_stitch", "pcgrad"):
        assert re.search(rf"^ *{name}", table.split("Cost of")[1], re.M)
    assert max(map(len, table.splitlines())) <= 80


def test_train_one_way_of_sharing(run, ways_file):
    result = run(
        *("train", ways_file, "--epochs", "1"),
        *("--sharing", "cross_stitch"),
    )
    assert result.exit_code == 0, result.stderr
    assert "tiny: cross_stitch, equal weights, 1 epochs" in words(result)
    (directory,) = Path("runs/tiny").iterdir()
    for name in ("config.json", "results.json"):
        record = json.loads((directory / name).read_text())
        assert record["sharing"] == "cross_stitch"
    model = keras.models.load_model(directory / "model.keras")
    model.get_layer("tower_cross_stitch")
    result = run(
        *("train", ways_file, "--resume", str(directory)),
        *("--sharing", "hard_sharing"),
    )
    assert result.exit_code == 2
    assert "--sharing cannot be given with --resume" in " ".join(
        result.stderr.split()
    )


def test_train_resume_export_and_check(run, recipe_file):
    result = run("train", recipe_file, "--epochs", "1", "--balancer", "mgda")
    assert result.exit_code == 0, result.stderr
    assert "tiny: mgda, 1 epochs" in words(result)
    (directory,) = Path("runs/tiny").iterdir()
    assert result.stderr == f"run {directory}\nepoch 0 of 1\nepoch 1 of 1\n"
    assert f"keras-mtl export {directory}" in words(result)

    result = run("train", recipe_file, "--resume", str(directory))
    assert result.exit_code == 2
    assert "has done its 1 epochs" in " ".join(result.stderr.split())
    result = run(
        "train", recipe_file, "--resume", str(directory), "--epochs", "2"
    )
    assert result.exit_code == 0, result.stderr
    assert "tiny: mgda, 2 epochs" in words(result)

    result = run("export", str(directory), "--out", "served")
    assert result.exit_code == 0, result.stderr
    assert "Export served/tiny/1" in words(result)
    result = run("check", "served/tiny")
    assert result.exit_code == 0
    assert "every signature runs" in words(result)


def test_export_with_everything(run):
    inputs = keras.Input((3,), name="x")
    model = keras.Model(
        inputs, {key: keras.layers.Dense(1)(inputs) for key in "abc"}
    )
    model.save("tiny.keras")
    np.savez("rows.npz", x=np.ones((5, 3)))
    result = run(
        *("export", "tiny.keras", "--group", "ends=a,c", "--examples"),
        *("--float16", "--warmup", "rows.npz", "--label", "stable"),
    )
    assert result.exit_code == 0, result.stderr
    for name in ("ends", "serving_examples", "serving_default"):
        assert name in words(result)
    assert "Warm-up requests that ran: 12" in words(result)
    assert "--model_config_file=/models/models.config" in words(result)
    config = Path("saved_models/models.config").read_text()
    assert 'version_labels { key: "stable" value: 1 }' in config

    Path(
        "saved_models/tiny/1/assets.extra/tf_serving_warmup_requests"
    ).write_bytes(b"no record" * 9)
    result = run("check", "saved_models/tiny")
    assert result.exit_code == 1
    assert "The warm-up file fails: request 1: the file is" in words(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--group", "a,b"), "--group must be NAME=TASK,TASK"),
        (("--warmup", "rows.csv"), "--warmup must be an .npz file"),
        (("--format", "h5"), "`format` must be one of"),
        (("--label", "a/b"), "`label` must start with"),
        (("--format", "litert", "--label", "a"), "--label is for what"),
    ],
)
def test_exports_that_do_not_suit(run, arguments, message):
    inputs = keras.Input((3,), name="x")
    keras.Model(inputs, {"a": keras.layers.Dense(1)(inputs)}).save("m.keras")
    Path("rows.csv").write_text("1,2")
    result = run("export", "m.keras", *arguments)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.stderr.split())
    assert not Path("saved_models/m").exists()


def test_a_failed_check_is_code_1(run):
    broken = Path("broken/1")
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"nothing")
    result = run("check", "broken")
    assert result.exit_code == 1
    assert "The check failed:" in result.stderr


def test_a_failed_export_is_code_1(run):
    Path("model.keras").write_bytes(b"nothing")
    result = run("export", "model.keras")
    assert result.exit_code == 1
    assert "The export failed:" in result.stderr


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--balancer", "mdga"], "Did you mean 'mgda'?"),
        (["--sharing", "mmoe"], "It offers none to choose from"),
        (["--data", "none"], "no data source 'none'"),
        (["--out", "file"], "Cannot write to `path`"),
    ],
)
def test_mistakes_come_before_training(
    run, recipe_file, command, arguments, message
):
    Path("file").write_text("")
    result = run(command, recipe_file, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_compare_tells_beforehand_where_it_cannot_export(run, recipe_file):
    Path("file").write_text("")
    result = run("compare", recipe_file, "--saved-models", "file")
    assert result.exit_code == 2
    assert "file is not a directory" in " ".join(result.stderr.split())
    assert not Path("runs").exists()
