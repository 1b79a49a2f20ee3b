"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pathlib

import pytest

import keras_mtl

PACKAGE = pathlib.Path(keras_mtl.__file__).parent
MODULES = sorted(
    ".".join(("keras_mtl", *path.relative_to(PACKAGE).with_suffix("").parts))
    for path in PACKAGE.rglob("*.py")
    if any(
        ">>> " in line and "+SKIP" not in line
        for line in path.read_text("utf-8").splitlines()
    )
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0
