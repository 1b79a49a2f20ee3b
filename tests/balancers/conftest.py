import pytest

from .cases import CASES, IDS, ROWS

# What costs seconds a row; the variants of a method share its code.
COSTLY = {"test_xla_agrees_with_eager", "test_dtype_in_is_dtype_out"}


def rows_of(test):
    for row, name in zip(ROWS, IDS, strict=True):
        case, variant = row
        slow = test in COSTLY and variant != case.variants[0]
        yield pytest.param(
            row, id=name, marks=[pytest.mark.slow] if slow else []
        )


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        metafunc.parametrize("row", list(rows_of(metafunc.function.__name__)))
    if "hand" in metafunc.fixturenames:
        metafunc.parametrize(
            ("case", "hand"),
            [
                pytest.param(case, hand, id=f"{case.name}-{hand.arguments}")
                for case in CASES
                for hand in case.hand
            ],
        )
