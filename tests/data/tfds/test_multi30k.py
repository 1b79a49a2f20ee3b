import gzip
import os
import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl.data import load_multi30k
from keras_mtl.data.tfds import Multi30k

FILES = pathlib.Path(__file__).parent / "multi30k"  # invented captions
NAMES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("multi30k")


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def in_files():
    return {
        split: {
            language: [
                line.strip()
                for line in (FILES / f"{name}.{language}")
                .read_text("utf-8")
                .splitlines()
            ]
            for language in ("en", "de", "fr", "cs")
        }
        for split, name in NAMES.items()
    }


def test_every_caption(data_dir):
    parts = load_multi30k(data_dir, FILES)
    assert parts == in_files()
    assert {split: len(part["cs"]) for split, part in parts.items()} == {
        "train": 7,
        "validation": 2,
        "test": 1,
    }
    # Without the space after it that the file has.
    assert parts["train"]["de"][1] == "Zwei Ziegen auf einem Dach."


def test_supervised(data_dir):
    load_multi30k(data_dir, FILES)
    builder = tfds.builder("multi30k", data_dir=data_dir)
    examples = tfds.as_numpy(builder.as_dataset("test", as_supervised=True))
    (caption,) = examples
    assert caption == (
        b"A key.",
        {
            "de": "Ein Schlüssel.".encode(),
            "fr": "Une clé.".encode(),
            "cs": "Klíč.".encode(),
        },
    )


def test_metadata(tmp_path):
    builder = tfds.builder("multi30k", data_dir=tmp_path)
    assert isinstance(builder, Multi30k)
    assert builder.info.as_proto.redistribution_info.license == "For research."
    assert "W16-3210" in builder.info.citation
    assert "captions of pictures" in builder.info.description
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )


def test_download(monkeypatch, tmp_path):
    def download(self, urls):
        """As TFDS does: the names of the files are its own."""
        paths = {}
        for split, by_language in urls.items():
            paths[split] = {}
            for language, url in by_language.items():
                assert url == f"{URL}/{NAMES[split]}.{language}.gz"
                text = FILES / f"{NAMES[split]}.{language}"
                path = tmp_path / f"{split}_{language}"
                path.write_bytes(gzip.compress(text.read_bytes()))
                paths[split][language] = path
        return paths

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    Multi30k(data_dir=tmp_path / "data").download_and_prepare()
    assert load_multi30k(tmp_path / "data") == in_files()


def test_prepared_data_needs_no_files(data_dir, offline, tmp_path):
    load_multi30k(data_dir, FILES)
    assert load_multi30k(data_dir, tmp_path) == in_files()


def test_absent_data_is_said_at_once(copy, offline):
    (copy / "val.cs").unlink()
    message = (
        r"`multi30k/1.0.0` is not prepared in .*, and .* does not hold train, "
        r"val and test_2016_flickr in .* prepare it .*"
        r"Multi30k\(data_dir='.*'\).download_and_prepare\(\)"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_multi30k(copy)


def test_file_that_is_cut_off(copy):
    (copy / "train.fr").write_text("Un cerf-volant bleu.\n")
    message = r"as many lines .*train.en: 7, .*train.fr: 1, .*train.cs: 7. Are"
    with pytest.raises(ValueError, match=message):
        load_multi30k(copy)


def test_line_that_is_empty(copy):
    (copy / "val.de").write_text("Eine Lampe.\n \n")
    message = "val.de, line 2: expected a sentence. Received: ' '"
    with pytest.raises(ValueError, match=message):
        load_multi30k(copy)


@pytest.mark.data
def test_real_data():
    data_dir = os.environ.get("TFDS_DATA_DIR", "~")
    if not tfds.core.Path(data_dir, "multi30k").expanduser().exists():
        pytest.skip("set TFDS_DATA_DIR to where multi30k is prepared")
    parts = load_multi30k(data_dir)
    for split, count in (
        ("train", 29_000),
        ("validation", 1_014),
        ("test", 1_000),
    ):
        assert [len(texts) for texts in parts[split].values()] == [count] * 4
    assert parts["test"]["en"][-1].endswith("with a mountain in the distance.")
    assert parts["test"]["cs"][-1] == "Dívka na břehu pláže s horami v dáli."
