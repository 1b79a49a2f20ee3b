"""Files of text, a record a line, that may be compressed."""

import gzip
import lzma
from collections.abc import Iterator
from typing import Any

SUFFIXES = ("", ".gz", ".xz")
_MAGIC: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}


def find_text(folder: Any, name: str) -> Any:
    """A file in a folder, as it is or as `.gz` or `.xz`; None if not there."""
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.exists()), None)


def read_lines(path: Any) -> Iterator[tuple[str, str]]:
    r"""The lines of a file, each with its place.

    A line ends with `\n` or `\r\n` alone, not with the other marks that
    Unicode has for it: what lies in two files side by side stays so.

    Args:
        path: A file in UTF-8; whether it is compressed, its first bytes tell.

    Yields:
        `("<path>, line <number>", <line without its end>)`.

    Raises:
        ValueError: Not UTF-8, or a compressed file that is cut off.
    """
    with path.open("rb") as file:
        opener = _MAGIC.get(file.read(2), open)
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                place = f"{path}, line {number}"
                yield place, _decode(line, place).rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise ValueError(
            f"{path}: cannot be unpacked after line {number} ({error}). Is the "
            "file complete?"
        ) from error


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: expected text in UTF-8. Received: {line!r}"
        ) from error
