"""Progress bars, or plain lines where the output is no terminal."""

import datetime
import time
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


class Pace:
    """How long something takes that has been counted for a while.

    The mean pace so far is taken to go on. What was done at the first call, or
    was known from before, is not counted; the clock starts anew where the
    count does.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._before = self._done = 0.0

    def update(self, done: float, *, known: bool = False) -> None:
        """Tells how much is done.

        Args:
            done: Of what is counted; a fraction of one, too.
            known: Whether what is new was known from before.
        """
        if self._begun is None or done < self._done:
            self._begun, self._before = time.monotonic(), done
        elif known:
            self._before += done - self._done
        self._done = done

    def left(self, total: float) -> str:
        """The time left, such as "0:12:34 left"; empty where none is known."""
        done = self._done - self._before
        if self._begun is None or done <= 0 or self._done >= total:
            return ""
        past = time.monotonic() - self._begun
        seconds = round(past * (total - self._done) / done)
        return f"{datetime.timedelta(seconds=seconds)} left"


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
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="progress.remaining"),
            TextColumn("{task.fields[label]}"),
            console=console,
            transient=True,
            disable=not self.on_terminal,
        )
        self._bars = {
            name: self._progress.add_task(name, total=None, label="", left="")
            for name in names
        }
        self._paces = {name: Pace() for name in names}

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

    def update(
        self,
        name: str,
        done: float,
        total: int,
        label: str = "",
        *,
        known: bool = False,
    ) -> None:
        """Moves a bar; elsewhere than on a terminal, prints new labels.

        Args:
            name: Which.
            done: How much is done, a fraction of the next one included.
            total: How much there is.
            label: What is done now.
            known: Whether what is new was known from before, and so tells
                nothing about the time left.
        """
        pace = self._paces[name]
        pace.update(done, known=known)
        self._progress.update(
            self._bars[name],
            completed=done,
            total=total,
            label=label,
            left=pace.left(total),
        )
        if not self.on_terminal and label and label != self._last_label:
            self._last_label = label
            self._console.print(label)


def show(bars: Bars, progress: Any) -> None:
    """Shows the `Progress` of a comparison in two bars."""
    number, total = progress.training, progress.trainings
    share = progress.epoch / progress.epochs
    label = ""
    if share < 1:
        prefix = "" if bars.on_terminal else f"[{number + 1}/{total}] "
        label = f"{prefix}{progress.label}, seed {progress.seed}"
    known = progress.reused
    bars.update("trainings", number + share, total, label, known=known)
    bars.update("epochs", progress.epoch, progress.epochs, known=known)
