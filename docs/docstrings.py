"""Lets the reference show our docstrings' examples as code.

A griffe extension: what the tool calls `Examples:`, indented, is `Example:`
here, and need not be.
"""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n(.*?)(?=^[A-Z][A-Za-z ]*:$|\Z)", re.M | re.S)


class Examples(griffe.Extension):
    """Renames and indents the sections."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        """Changes the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(_indented, obj.docstring.value)


def _indented(match: re.Match[str]) -> str:
    lines = match[1].splitlines()
    first = next((line for line in lines if line.strip()), "")
    margin = "" if first.startswith(" ") else "    "
    body = "\n".join(margin + line if line.strip() else line for line in lines)
    return f"Examples:\n{body}\n"
