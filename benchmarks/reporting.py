"""Results as tables on the screen, in Markdown and in JSON."""

import argparse
import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from sampling import Spread

PACKAGES = ("tensorflow", "keras", "numpy")
WIDTH = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark that say where results go."""
    parser.add_argument("--markdown", type=Path, help="write tables here")
    parser.add_argument("--json", type=Path, help="write figures here")


class Report:
    """Collects tables; prints each at once and writes files at the end.

    Args:
        title: Heading of the files.
        markdown: Where to write tables, or None.
        figures: Where to write figures as JSON, or None.
    """

    def __init__(
        self, title: str, markdown: Path | None, figures: Path | None
    ) -> None:
        self.title, self.markdown, self.figures = title, markdown, figures
        self.console = Console(width=WIDTH)
        self.sections: list[str] = []
        self.records: list[dict[str, Any]] = []

    def table(
        self,
        title: str,
        records: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        notes: Sequence[str] = (),
    ) -> None:
        """Shows one table and keeps its figures.

        Args:
            title: Above the table.
            records: One mapping a row.
            columns: Heading of each key that is shown.
            notes: Lines below the table.
        """
        shown = Table(title=title, box=box.SIMPLE, title_justify="left")
        for i, heading in enumerate(columns.values()):
            shown.add_column(heading, justify="right" if i else "left")
        rows = [[_text(r.get(key)) for key in columns] for r in records]
        for row in rows:
            shown.add_row(*row)
        self.console.print(shown)
        for note in notes:
            self.console.print(note)
        lines = [
            f"## {title}",
            "",
            "| " + " | ".join(columns.values()) + " |",
            "|---|" + "---:|" * (len(columns) - 1),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
        if notes:
            lines += ["", *(f"- {note}" for note in notes)]
        self.sections.append("\n".join(lines))
        self.records += [{"table": title, **record} for record in records]
        self._write()

    def _write(self) -> None:
        machine = _machine()
        if self.markdown:
            head = f"# {self.title}\n\n" + ", ".join(
                f"{key} {value}" for key, value in machine.items()
            )
            text = "\n\n".join([head + ".", *self.sections]) + "\n"
            self.markdown.write_text(text)
        if self.figures:
            content = {"title": self.title, "machine": machine}
            content["records"] = [
                {key: _plain(value) for key, value in record.items()}
                for record in self.records
            ]
            self.figures.write_text(json.dumps(content, indent=1) + "\n")


def verdict(value: float, bar: float | None) -> str:
    """Whether a bar is met, and by how much it is missed."""
    if bar is None:
        return ""
    return "met" if value <= bar else f"{value / bar - 1:.0%} over"


def _machine() -> dict[str, str]:
    found = {
        "date": date.today().isoformat(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, Spread) else value
