"""Files and directories that appear whole or not at all."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

# What a place has that takes no more, whoever writes.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
# To be sure of room for small files, and not for an empty one alone.
_PROBE = bytes(4096)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_HIDDEN = re.compile(r"\..+-[0-9a-f]{12}\.tmp")


class CannotWriteError(OSError):
    """A place cannot be written to; the message tells why and what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"Cannot write to `path`: {reason}. Received: {str(path)!r}; "
            "choose a directory that you may write to and that has room."
        )


def takes_no_more(error: BaseException) -> bool:
    """Whether an error tells that a disk is full or may not be written to.

    TensorFlow has no class for it; its message then has the system's words.
    """
    if isinstance(error, CannotWriteError):
        return True
    if isinstance(error, OSError):
        return error.errno in _FULL
    words = str(getattr(error, "message", ""))
    return any(os.strerror(code) in words for code in _FULL)


def check_place(path: str | os.PathLike[str]) -> None:
    """Tells before long work that a path could not be written.

    A small file is written into the nearest directory that is there, and
    removed; nothing else is made.

    Args:
        path: What is to be written later, a file or a directory.

    Raises:
        CannotWriteError: It could not be.
    """
    path = Path(path)
    places = (path.absolute(), *path.absolute().parents)
    nearest = next(p for p in places if os.path.lexists(p))
    if nearest.is_file() and nearest == places[0]:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise CannotWriteError(path, f"{nearest} is not a directory")
    probe = _sibling(nearest / "probe")
    with _explained(path):
        try:
            with probe.open("xb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds.

    Args:
        path: The file, perhaps of somebody else.

    Raises:
        ValueError: It is not JSON.
        OSError: It cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 file: readers see the old text or all of the new.

    Args:
        path: The file. Missing parent directories are made.
        text: What it is to hold.

    Raises:
        CannotWriteError: The file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file: readers see the old bytes or all of the new.

    Args:
        path: The file. Missing parent directories are made.
        data: What it is to hold.

    Raises:
        CannotWriteError: The file cannot be written.
    """
    path = Path(path)
    staged = _sibling(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not `tempfile`: its files can be read by their owner alone.
            with staged.open("xb") as file:
                file.write(data)
            replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)


def replace(
    staged: str | os.PathLike[str], path: str | os.PathLike[str]
) -> None:
    """Renames a finished file over another, once it is on disk.

    Args:
        staged: The file, on the same file system.
        path: Its place.

    Raises:
        CannotWriteError: The file cannot be renamed.
    """
    path = Path(path)
    with _explained(path):
        with open(staged, "rb") as file:
            os.fsync(file.fileno())
        os.replace(staged, path)
        _sync_directory(path.parent)


@contextlib.contextmanager
def staged_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A directory to fill, which becomes `target` when the block succeeds.

    Until then it is a hidden sibling of `target`; when the block raises, it
    is removed. A process that is killed leaves the hidden directory behind,
    for `clear_abandoned` to find.

    Args:
        target: The directory to make; must not exist.

    Yields:
        The directory to write into.

    Raises:
        FileExistsError: `target` exists, also if it came to be meanwhile.
        CannotWriteError: The directory cannot be made or written.

    Example:
    >>> with staged_directory("runs/first") as staged:  # doctest: +SKIP
    ...     (staged / "log.txt").write_text("all of it, or nothing")
    """
    target = Path(target)
    if os.path.lexists(target):
        raise _exists(target)
    with hidden_directory(target) as staged:
        yield staged
        publish(staged, target)


@contextlib.contextmanager
def hidden_directory(beside: Path) -> Iterator[Path]:
    """A new directory beside a path, gone after the block unless published.

    Its name starts with a dot. That there is room is found out at once.
    """
    with _explained(beside.parent):
        beside.parent.mkdir(parents=True, exist_ok=True)
        staged, lock = _new_locked(beside)
    try:
        check_place(staged)
        yield staged
    except CannotWriteError:
        raise
    except Exception as error:
        if takes_no_more(error):
            raise CannotWriteError(beside.parent, _reason(error)) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def clear_leftovers(path: str | os.PathLike[str]) -> None:
    """Removes what killed processes have left behind beside a path.

    Only for a path that no other process is writing now.

    Args:
        path: What the hidden files and directories were to become.
    """
    path = Path(path)
    mine = re.compile(rf"\.{re.escape(path.name)}-[0-9a-f]{{12}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in list(path.parent.iterdir()):
            if mine.fullmatch(entry.name):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def clear_abandoned(directory: str | os.PathLike[str]) -> None:
    """Removes hidden directories that killed processes have left.

    Those that a living process fills stay; all of them do where directories
    cannot be locked, as on Windows and some network file systems.

    Args:
        directory: Where `staged_directory` or `hidden_directory` made them.
    """
    with contextlib.suppress(OSError):
        for entry in list(Path(directory).iterdir()):
            if not _HIDDEN.fullmatch(entry.name) or entry.is_symlink():
                continue
            try:
                lock = _lock(entry) if entry.is_dir() else None
            except OSError:
                continue
            if lock is not None:
                shutil.rmtree(entry, ignore_errors=True)
                os.close(lock)


def publish(staged: Path, target: Path) -> None:
    """Renames a directory to a name that must be free, once it is on disk.

    Args:
        staged: The directory.
        target: Its new name, on the same file system.

    Raises:
        FileExistsError: `target` exists.
        CannotWriteError: The directory cannot be renamed.
    """
    with _explained(target.parent):
        for folder, _, names in os.walk(staged):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    os.fsync(file.fileno())
            _sync_directory(Path(folder))
        if os.path.lexists(target):
            raise _exists(target)
        try:
            # Fails where another process has just published a directory.
            os.rename(staged, target)
        except OSError as error:
            if error.errno in _TAKEN:
                raise _exists(target) from error
            raise
        _sync_directory(target.parent)


def _sibling(path: Path) -> Path:
    return path.parent / f".{path.name}-{secrets.token_hex(6)}.tmp"


def _new_locked(beside: Path) -> tuple[Path, int | None]:
    while True:
        staged = _sibling(beside)
        staged.mkdir()
        # Before it is locked, another process may take it for abandoned.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(staged)
            if staged.exists():
                return staged, lock
            if lock is not None:
                os.close(lock)


def _lock(directory: Path) -> int | None:
    """Locks a directory until the process ends or closes what this returns.

    None where that cannot be done. Raises `BlockingIOError` if it is locked.
    """
    if fcntl is None:
        return None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:  # says already what is wrong
            raise
        raise CannotWriteError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    words = str(getattr(error, "message", error))
    for code in _FULL:
        if os.strerror(code) in words:
            return os.strerror(code)
    return getattr(error, "strerror", None) or words


def _exists(target: Path) -> FileExistsError:
    return FileExistsError(
        "`target` must not exist, so that nothing is overwritten. "
        f"Received: {str(target)!r}; choose another name or remove it."
    )
