import os
import signal
import subprocess
import sys
import time

import pytest

import keras_mtl
from keras_mtl.cli.app import lost_interrupts


def test_help_lists_the_commands_and_does_not_import_tensorflow():
    program = (
        "import sys; from keras_mtl.cli.app import app; "
        "app(['--help'], standalone_mode=False); "
        "print([m for m in ('keras', 'tensorflow', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    *page, modules = done.stdout.strip().splitlines()
    assert modules == "[]"
    for command in (
        *("new", "train", "compare", "tune", "advise"),
        *("export", "check", "serve", "balancers"),
    ):
        assert command in "\n".join(page)


def test_version(run):
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"keras-mtl {keras_mtl.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "none.py"], "Error: There is no recipe file none.py."),
        (["train", "recipe.txt"], "ends in .py. Received: recipe.txt"),
        (["check", "none"], "there is no such directory"),
        (["export", "none.keras"], "Received: none.keras"),
        (["compare", "none.py", "--seeds", "0"], "--seeds"),
        (["compare", "none.py", "--sedes", "1"], "No such option: --sedes"),
        (["train", "x.py", "--resume", "r", "--seed", "1"], "--seed cannot be"),
    ],
)
def test_mistakes_are_told_on_standard_error_with_code_2(
    run, arguments, message
):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_debug_shows_the_traceback(run):
    result = run("--debug", "compare", "none.py")
    assert isinstance(result.exception, FileNotFoundError)


def test_a_broken_recipe_is_one_paragraph(run, tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\ny = missing\n")
    result = run("compare", "broken.py")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert "NameError: name 'missing' is not defined" in message
    assert "(broken.py, line 2: y = missing)" in message


def test_errors_of_our_own_making_keep_their_traceback(run, monkeypatch):
    def fail(*arguments):
        raise KeyError("a bug")

    monkeypatch.setattr("keras_mtl.serving.versions.version_directory", fail)
    result = run("check", "x")
    assert isinstance(result.exception, KeyError)
    assert result.exit_code == 1


class Interrupted:
    def __del__(self):
        raise KeyboardInterrupt


def test_ctrl_c_in_a_finalizer_is_not_lost():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), lost_interrupts():
            Interrupted()
            for _ in range(100):
                time.sleep(0.1)
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_with_130_and_leaves_nothing_half_done(
    tmp_path, recipe_file
):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "keras_mtl.cli",
            *("compare", recipe_file, "--epochs", "1000000"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stderr.readline()
    assert first == "[1/15] single-task up, seed 0\n"
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.strip() == "Interrupted."
    assert not [p for p in (tmp_path / "runs").rglob("*") if p.is_file()]
