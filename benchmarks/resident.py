"""Resident memory of this process, on Linux."""

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path

PROCESS = Path("/proc/self")


def peak() -> int:
    """The largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def growth(run: Callable[[], object]) -> int:
    """How far the resident size rises above where it was, while `run` runs.

    Forgets the peak so far.
    """
    # What earlier work has freed but kept would hide what this takes.
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    (PROCESS / "clear_refs").write_text("5")  # the peak starts anew
    run()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    for line in (PROCESS / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise KeyError(key)
