import json
from pathlib import Path

import pytest

from keras_mtl import serving
from keras_mtl.cli.tune import _preference


@pytest.mark.slow
def test_tune_ends_with_tables_files_and_commands(run, recipe_file):
    result = run(
        *("tune", recipe_file, "--trials", "2", "--epochs", "1"),
        *("--oracle", "random", "--prefer", "up=1"),
    )
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    (directory,) = Path("runs/tiny").iterdir()
    assert "★ chosen, ◆ knee, ● on the front; 2 completed" in words
    assert f"front {directory}/front.csv" in words
    assert "Export saved_models/tiny/1" in words
    table = result.stdout.split("trials  ")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert serving.check("saved_models/tiny").ok
    lines = result.stderr.splitlines()
    assert lines[:2] == ["[1/2] single-task up", "[2/2] single-task size"]
    assert lines[2] == f"run {directory}"
    assert lines[-2:] == ["[2/2] trial 1", "[1/1] chosen model"]
    config = json.loads((directory / "config.json").read_text())
    assert config["command"]
    chosen = json.loads((directory / "results.json").read_text())["chosen"]
    gains = {
        file.parent.name: json.loads(file.read_text())["gains"]["up"]
        for file in directory.glob("trials/*/record.json")
    }
    assert gains[f"trial_{chosen['trial']}"] == max(gains.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "r", "--seed", "1"], "--seed cannot be given with"),
        (["--join", "r", "--trials", "1"], "--trials cannot be given with"),
        (["--resume", "r"], "There is no run 'r'"),
        (["--join", "r"], "There is no run 'r'"),
        (["--prefer", "up"], "`--prefer` must be like left=2,right=1"),
        (["--objective", "down"], "Received: 'down'"),
        (["--workers", "0"], "give an `address`"),
    ],
)
def test_mistakes(run, recipe_file, arguments, message):
    result = run("tune", recipe_file, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert list(Path().iterdir()) == []


def test_preference():
    assert _preference("left=2, right=.5") == {"left": 2.0, "right": 0.5}
    assert _preference("knee") == "knee"
    assert _preference(None) is None
