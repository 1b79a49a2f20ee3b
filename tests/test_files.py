import errno
import os
import stat
import subprocess
import sys

import pytest

from keras_mtl import _files


def fail_with(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_write_text_replaces_whole_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    _files.write_text(path, "Δ" * 1000)
    _files.write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    assert os.listdir(path.parent) == ["a.txt"]


def test_files_are_as_readable_as_any(tmp_path):
    (tmp_path / "usual.txt").write_text("")
    _files.write_bytes(tmp_path / "a.bin", b"\0")
    with _files.staged_directory(tmp_path / "d"):
        pass
    (tmp_path / "usual").mkdir()

    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("a.bin") == mode("usual.txt")
    assert mode("d") == mode("usual")


def test_failed_write_keeps_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    _files.write_text(path, "old")
    monkeypatch.setattr(os, "fsync", fail_with(errno.ENOSPC))
    with pytest.raises(_files.CannotWriteError, match="No space left"):
        _files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (
        lambda p: _files.write_text(p, "x"),
        lambda p: _files.staged_directory(p).__enter__(),
    ):
        with pytest.raises(
            _files.CannotWriteError,
            match=r"Cannot write to `path`: .* Received: .*file.*; choose a",
        ):
            write(tmp_path / "file" / "below" / "x")
    assert os.listdir(tmp_path) == ["file"]


def test_no_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(_files.Path, "mkdir", fail_with(errno.EACCES))
    with (
        pytest.raises(_files.CannotWriteError, match="Permission denied"),
        _files.staged_directory(tmp_path / "d"),
    ):
        pass


def test_staged_directory_appears_whole(tmp_path):
    target = tmp_path / "new" / "d"
    with _files.staged_directory(target) as staged:
        (staged / "sub").mkdir()
        (staged / "sub" / "a").write_text("1")
        assert staged.parent == target.parent
        assert staged.name.startswith(".")
        assert not target.exists()
    assert (target / "sub" / "a").read_text() == "1"
    assert os.listdir(target.parent) == ["d"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_block_leaves_nothing(tmp_path, error):
    with (
        pytest.raises(error),
        _files.staged_directory(tmp_path / "d") as staged,
    ):
        (staged / "a").write_text("1")
        raise error
    assert os.listdir(tmp_path) == []


def test_full_disk_in_block(tmp_path):
    with (
        pytest.raises(_files.CannotWriteError, match="No space left"),
        _files.staged_directory(tmp_path / "d"),
    ):
        fail_with(errno.ENOSPC)()
    assert os.listdir(tmp_path) == []


def test_other_os_errors_in_block_pass(tmp_path):
    with (
        pytest.raises(FileNotFoundError),
        _files.staged_directory(tmp_path / "d"),
    ):
        (tmp_path / "nowhere").read_text()


def test_existing_target_is_not_overwritten(tmp_path):
    (tmp_path / "d").mkdir()
    with (
        pytest.raises(FileExistsError, match="`target` must not exist"),
        _files.staged_directory(tmp_path / "d"),
    ):
        pass


def test_target_made_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    target = tmp_path / "d"
    with (
        pytest.raises(FileExistsError, match="`target` must not exist"),
        _files.staged_directory(target) as staged,
    ):
        (staged / "a").write_text("ours")
        target.mkdir()
        (target / "a").write_text("theirs")
        # The other comes between our look and our rename.
        monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert (target / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["d"]


FILLS = """
import sys
from keras_mtl import _files
with _files.hidden_directory(_files.Path(sys.argv[1])) as directory:
    print(directory.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="directories cannot be locked")
def test_what_a_killed_process_was_filling_is_cleared(tmp_path):
    (tmp_path / ".mine").mkdir()
    with (
        _files.hidden_directory(tmp_path / "here") as here,
        subprocess.Popen(
            [sys.executable, "-c", FILLS, tmp_path / "there"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        there = process.stdout.readline().strip()
        _files.clear_abandoned(tmp_path)
        assert set(os.listdir(tmp_path)) == {".mine", here.name, there}
        process.kill()
        process.wait()
        _files.clear_abandoned(tmp_path)
        assert set(os.listdir(tmp_path)) == {".mine", here.name}
    _files.clear_abandoned(tmp_path / "missing")


def test_directories_that_cannot_be_locked_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "fcntl", None)
    with _files.staged_directory(tmp_path / "d"):
        _files.clear_abandoned(tmp_path)
    assert os.listdir(tmp_path) == ["d"]
