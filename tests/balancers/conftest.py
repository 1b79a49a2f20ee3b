import pytest

from .cases import CASES, IDS, ROWS


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        metafunc.parametrize("row", ROWS, ids=IDS)
    if "hand" in metafunc.fixturenames:
        metafunc.parametrize(
            ("case", "hand"),
            [
                pytest.param(case, hand, id=f"{case.name}-{hand.arguments}")
                for case in CASES
                for hand in case.hand
            ],
        )
