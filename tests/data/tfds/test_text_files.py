import gzip
import lzma

import pytest

from keras_mtl.data.tfds.text_files import find_text, read_lines

TEXT = "ein\r\nzwei drei\n\nvier\u2028fünf\x0bsechs"


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gz", "xz"]
)
def test_lines_end_at_line_feeds_alone(pack, tmp_path):
    # The name does not say what it is, as with files that TFDS downloads.
    path = tmp_path / "text"
    path.write_bytes(pack(TEXT.encode()))
    assert list(read_lines(path)) == [
        (f"{path}, line 1", "ein"),
        (f"{path}, line 2", "zwei drei"),
        (f"{path}, line 3", ""),
        (f"{path}, line 4", "vier\u2028fünf\x0bsechs"),
    ]


def test_empty_file(tmp_path):
    (tmp_path / "text").touch()
    assert list(read_lines(tmp_path / "text")) == []


def test_not_utf8(tmp_path):
    (tmp_path / "text").write_bytes(b"a\nb\n\xe9t\xe9\n")
    message = r"text, line 3: expected text in UTF-8. Received: b'\\xe9t\\xe9"
    with pytest.raises(ValueError, match=message):
        list(read_lines(tmp_path / "text"))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_archive_that_is_cut_off(pack, tmp_path):
    packed = pack(TEXT.encode())
    (tmp_path / "text").write_bytes(packed[:-6])
    with pytest.raises(ValueError, match=r"text: cannot be unpacked after"):
        list(read_lines(tmp_path / "text"))


def test_find(tmp_path):
    assert find_text(tmp_path, "a.tsv") is None
    for name in ("a.tsv.xz", "a.tsv.gz", "a.tsv"):
        (tmp_path / name).touch()
        assert find_text(tmp_path, "a.tsv") == tmp_path / name
