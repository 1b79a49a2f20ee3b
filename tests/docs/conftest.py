import importlib.util
import pathlib

import pytest

GENERATE = pathlib.Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="session")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", GENERATE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
