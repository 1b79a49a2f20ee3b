import gzip
import lzma
import os
import pathlib
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl.data import (
    CENSUS_CATEGORIES,
    CENSUS_NUMBERS,
    load_census_income,
)
from keras_mtl.data.tfds import CensusIncome
from keras_mtl.data.tfds.census_income import census_income_dataset_builder

FILES = pathlib.Path(__file__).parent / "census_income"  # invented records
NAMES = ("census-income.data", "census-income.test")


@pytest.fixture(scope="module")
def census(tmp_path_factory):
    return load_census_income(tmp_path_factory.mktemp("census"), FILES)


def records(name):
    """The fields as they stand in a file, without what is added around."""
    lines = (FILES / name).read_text().splitlines()
    return [[f.strip().rstrip(".") for f in line.split(",")] for line in lines]


def in_words(part, row):
    """An example as the file has it, without the weight."""
    return [
        str(int(part[name][row]))
        if name in CENSUS_NUMBERS
        else CENSUS_CATEGORIES[name][part[name][row]]
        for name in census_income_dataset_builder.FIELDS
        if name != "instance_weight"
    ]


@pytest.mark.parametrize(
    "split, name, lines",
    [
        ("train", NAMES[0], range(12)),
        ("validation", NAMES[1], [0, 2, 4, 6]),
        ("test", NAMES[1], [1, 3, 5]),
    ],
)
def test_every_field_of_every_record(census, split, name, lines):
    fields = records(name)
    assert len(census[split]["age"]) == len(lines)
    for row, line in enumerate(lines):
        expected = fields[line][:24] + fields[line][25:]
        assert in_words(census[split], row) == expected


def test_columns_and_types(census):
    part = census["train"]
    assert len(part) == 41
    assert "instance_weight" not in part
    assert len(CENSUS_CATEGORIES) + len(CENSUS_NUMBERS) == 41
    for name in CENSUS_NUMBERS:
        assert part[name].dtype == np.float32
    for name in CENSUS_CATEGORIES:
        assert part[name].dtype == np.int64


def test_metadata(census):
    builder = tfds.builder("census_income")
    assert isinstance(builder, CensusIncome)
    licence = builder.info.as_proto.redistribution_info.license
    assert licence == "CC BY 4.0"
    assert "10.24432/C5N30T" in builder.info.citation
    assert "299,285 records" in builder.info.description
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )


def test_categories_are_those_that_uci_counts():
    # census-income.names: distinct values of the nominal attributes.
    assert [len(names) for names in CENSUS_CATEGORIES.values()] == [
        9, 52, 47, 17, 3, 7, 24, 15, 5, 10, 2, 3, 6, 8, 6, 6, 51, 38, 8,
        10, 9, 10, 3, 4, 5, 43, 43, 43, 5, 3, 3, 3, 2, 2,
    ]  # fmt: skip
    assert CENSUS_CATEGORIES["income"] == ("- 50000", "50000+")
    assert "?" in CENSUS_CATEGORIES["country_of_birth_self"]
    assert "Not in universe" in CENSUS_CATEGORIES["class_of_worker"]


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip), (".xz", lzma)])
def test_compressed_files(suffix, pack, census, tmp_path):
    for name in NAMES:
        packed = pack.compress((FILES / name).read_bytes())
        (tmp_path / f"{name}{suffix}").write_bytes(packed)
    # One folder for both: prepared beside the files.
    again = load_census_income(tmp_path)
    for split, columns in census.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(again[split][name], values)


def test_download(monkeypatch, tmp_path):
    """The archive of UCI: a .zip that holds a .tar.gz that holds the files."""
    archive = tmp_path / "census+income+kdd.zip"
    with tarfile.open(tmp_path / "census.tar.gz", "w:gz") as tar:
        for name in (*NAMES, "census-income.names"):
            file = FILES / NAMES[0] if name.endswith(".names") else FILES / name
            tar.add(file, name)
    with zipfile.ZipFile(archive, "w") as outer:
        outer.write(tmp_path / "census.tar.gz", "census.tar.gz")
    asked = []

    def download_and_extract(self, url):
        asked.append(url)
        return self.extract(archive)

    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", download_and_extract)
    builder = CensusIncome(data_dir=tmp_path / "data")
    builder.download_and_prepare()
    assert asked == [
        "https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip"
    ]
    assert builder.info.splits["train"].num_examples == 12
    assert builder.info.splits["validation"].num_examples == 4
    assert builder.info.splits["test"].num_examples == 3


def test_download_without_the_files(monkeypatch, tmp_path):
    with tarfile.open(tmp_path / "census.tar.gz", "w:gz") as tar:
        tar.add(FILES / NAMES[0], NAMES[0])
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, url: tmp_path,
    )
    builder = CensusIncome(data_dir=tmp_path / "data")
    message = r"Expected census-income.data and .* \['census-income.data'\]"
    with pytest.raises(FileNotFoundError, match=message):
        builder.download_and_prepare()


def test_prepared_data_needs_no_files(census, offline, tmp_path):
    load_census_income(tmp_path, FILES)
    again = load_census_income(tmp_path)
    np.testing.assert_array_equal(again["test"]["age"], census["test"]["age"])


@pytest.mark.parametrize("files", [(), NAMES[:1]])
def test_absent_data_is_said_at_once(files, offline, tmp_path):
    for name in files:
        shutil.copy(FILES / name, tmp_path)
    message = (
        r"`census_income/1.0.0` is not prepared in .*, and .* does not hold "
        r"census-income.data and census-income.test; prepare it "
        r".*CensusIncome\(data_dir='.*'\).download_and_prepare\(\)"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_census_income(tmp_path)


def test_line_that_is_cut_off(tmp_path):
    for name in NAMES:
        shutil.copy(FILES / name, tmp_path)
    text = (FILES / NAMES[1]).read_text()
    (tmp_path / NAMES[1]).write_text(text[: text.rindex(",")])
    message = "test, line 7: expected 42 fields .* Received: 41. Is the file"
    with pytest.raises(ValueError, match=message):
        load_census_income(tmp_path)


def test_category_that_is_not_known(tmp_path):
    for name in NAMES:
        text = (FILES / name).read_text()
        (tmp_path / name).write_text(text.replace(" Female,", " Femal,"))
    with pytest.raises(RuntimeError, match="name \"sex\":\n'Femal'"):
        load_census_income(tmp_path)


@pytest.mark.data
@pytest.mark.skipif(
    not tfds.core.Path(
        os.environ.get("TFDS_DATA_DIR", "~"), "census_income"
    ).exists(),
    reason="set TFDS_DATA_DIR to where census_income is prepared",
)
def test_real_data():
    parts = load_census_income(os.environ["TFDS_DATA_DIR"])
    never = CENSUS_CATEGORIES["marital_stat"].index("Never married")
    for split, count, rich, single in (
        ("train", 199_523, 0.062058, 0.433459),
        ("validation", 49_881, 0.062769, 0.433071),
        ("test", 49_881, 0.061245, 0.431848),
    ):
        part = parts[split]
        assert len(part["age"]) == count
        assert part["income"].mean() == pytest.approx(rich, abs=1e-6)
        assert np.mean(part["marital_stat"] == never) == pytest.approx(
            single, abs=1e-6
        )
    for name, names in CENSUS_CATEGORIES.items():
        # Every category occurs in the training part.
        assert set(parts["train"][name]) == set(range(len(names)))
