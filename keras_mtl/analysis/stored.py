"""Reads what earlier runs have written, which others may have changed."""

from collections.abc import Mapping
from typing import Any

NUMBER = (int, float)
OPTIONAL_TEXT = (str, type(None))


def check_fields(record: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Holds a record against the fields that it must have.

    Args:
        record: What a JSON file held.
        fields: A type, or a tuple of types, by name.

    Returns:
        The record.

    Raises:
        ValueError: It is no object, lacks a field, or has one of another
            type.
    """
    if not isinstance(record, dict):
        raise ValueError(f"it holds no object but a {type(record).__name__}")
    for name, types in fields.items():
        if name not in record:
            raise ValueError(f"it has no {name!r}")
        check_type(record[name], types, name)
    return record


def check_type(value: Any, types: Any, name: str) -> None:
    """Holds one value against its type.

    Raises:
        ValueError: It has another.
    """
    # A boolean is an integer to Python, and to nobody else.
    if not isinstance(value, types) or (
        isinstance(value, bool) and types is not bool
    ):
        raise ValueError(f"its {name!r} cannot be {str(value)[:80]!r}")


def check_numbers(values: Any, name: str) -> None:
    """Holds a dict of numbers, or of None where there is none, against that.

    Raises:
        ValueError: It is something else.
    """
    check_type(values, dict, name)
    for key, value in values.items():
        if value is not None:
            check_type(value, NUMBER, f"{name}[{key}]")


def check_logs(logs: Any, name: str) -> None:
    """Holds a dict of lists of numbers against that.

    Raises:
        ValueError: It is something else.
    """
    check_type(logs, dict, name)
    for key, values in logs.items():
        check_type(values, list, f"{name}[{key}]")
        check_numbers(dict(enumerate(values)), f"{name}[{key}]")
