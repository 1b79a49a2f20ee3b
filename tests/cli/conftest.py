from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_mtl.cli.app import app

TINY = Path(__file__).parents[1] / "analysis" / "tiny_recipe.py"


@pytest.fixture(scope="session")
def recipe_file():
    return str(TINY)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `keras-mtl` with some arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        # Rich asks the environment how wide the terminal is.
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)

    return run
