import importlib
import importlib.util
import pathlib
import re

import pytest

import keras_mtl

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location(
        "docs_reference", DOCS / "reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_guide_is_in_the_menu():
    menu = (DOCS.parent / "mkdocs.yml").read_text("utf-8").partition("nav:")[2]
    named = re.findall(r"- (\w+\.md)", menu)
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))


def test_every_public_name_has_a_place_in_the_reference(reference):
    pages = "\n".join(reference.pages().values())
    documented = set(re.findall(r"^::: (\S+)$", pages, re.M))
    for path in documented:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
    names = {path.rpartition(".")[2] for path in documented}
    for name in keras_mtl.__all__:
        shown = name in names or f"# keras_mtl.{name}\n" in pages
        assert shown or name == "__version__", name
    for room in reference.ROOMS:
        module = importlib.import_module(f"keras_mtl.{room}")
        left_out = set(module.__all__) - names - {"rates", "registry"}
        assert not left_out, room
