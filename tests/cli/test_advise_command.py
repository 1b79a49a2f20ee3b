import json
from pathlib import Path

import pytest


def words(text):
    return " ".join(text.split())


def test_advise_ends_with_advice_and_files(run, recipe_file):
    result = run("advise", recipe_file, "--seeds", "1", "--epochs", "1")
    assert result.exit_code == 0, result.stderr
    (directory,) = Path("runs/tiny").iterdir()
    record = json.loads((directory / "advice.json").read_text())
    text = words(result.stdout)
    assert words(record["headline"]) in text
    assert words(record["balancer"]["why"]) in text
    assert "with one seed nobody can say how much is chance" in text
    assert f"page {directory}/advice.html" in text
    assert f"keras-mtl compare {recipe_file}" in text
    assert max(map(len, result.stdout.split("page ")[0].splitlines())) <= 80
    assert result.stderr.splitlines()[-1] == "[1/1] all tasks, seed 0"
    config = json.loads((directory / "config.json").read_text())
    assert config["file"] == recipe_file


@pytest.mark.slow
def test_pairs_are_measured_where_asked_for(run, recipe_file):
    result = run(
        *("advise", recipe_file, "--seeds", "2", "--epochs", "1"),
        *("--pairs", "--networks", "1"),
    )
    assert result.exit_code == 0, result.stderr
    (directory,) = Path("runs/tiny").iterdir()
    record = json.loads((directory / "advice.json").read_text())
    assert len(record["transfer_percent"]) == 2
    assert len(record["by_budget"]) == 1
    assert "Measured on validation data" in words(result.stdout)
    labels = [line.partition("] ")[2] for line in result.stderr.splitlines()]
    assert labels[-3:] == [
        "up, seed 1",
        "size, seed 1",
        "up + size, seed 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none"], "no data source 'none'"),
        (["--out", "file"], "Cannot write to `path`"),
    ],
)
def test_mistakes_come_before_training(run, recipe_file, arguments, message):
    Path("file").write_text("")
    result = run("advise", recipe_file, *arguments)
    assert result.exit_code == 2
    assert message in words(result.stderr)
    assert [path.name for path in Path().iterdir()] == ["file"]
