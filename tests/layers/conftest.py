import numpy as np
import pytest

from .cases import CASES


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=[c.test_id for c in CASES])


@pytest.fixture(autouse=True)
def fresh_numbers(request):
    """What a test draws does not depend on the tests before it."""
    if hasattr(request.module, "RNG"):
        request.module.RNG = np.random.default_rng(0)
