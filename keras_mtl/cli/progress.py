"""Progress bars, or plain lines where the output is no terminal."""

from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from keras_mtl.cli.output import new_console


class Bars:
    """One bar for each of some counts, on standard error.

    Args:
        *names: What is counted.
    """

    def __init__(self, *names: str) -> None:
        console = new_console(stderr=True)
        self.on_terminal = console.is_terminal
        self._last_label = ""
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[label]}"),
            console=console,
            transient=True,
            disable=not self.on_terminal,
        )
        self._bars = {
            name: self._progress.add_task(name, total=None, label="")
            for name in names
        }

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, name: str, done: int, total: int, label: str = "") -> None:
        """Moves a bar; elsewhere than on a terminal, prints new labels."""
        self._progress.update(
            self._bars[name], completed=done, total=total, label=label
        )
        if not self.on_terminal and label and label != self._last_label:
            self._last_label = label
            self._console.print(label)


def show(bars: Bars, progress: Any) -> None:
    """Shows the `Progress` of a comparison in two bars."""
    number, total = progress.training, progress.trainings
    finished = progress.epoch == progress.epochs
    label = f"{progress.label}, seed {progress.seed}"
    if finished:
        bars.update("trainings", number + 1, total, "")
    else:
        prefix = "" if bars.on_terminal else f"[{number + 1}/{total}] "
        bars.update("trainings", number, total, prefix + label)
    bars.update("epochs", progress.epoch, progress.epochs)
