import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl.data import (
    JOINT_SLU_INTENTS,
    JOINT_SLU_SLOTS,
    load_joint_slu,
    tasks_from_tfds,
)
from keras_mtl.data.tfds import JointSlu

FILES = pathlib.Path(__file__).parent / "joint_slu"  # invented records
NAMES = {"train": "train.tsv", "validation": "valid.tsv", "test": "test.tsv"}
LENGTH = {"atis": 14, "snips": 4}  # of the longest utterance


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("joint_slu")


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("config", ["atis", "snips"])
def test_every_field_of_every_record(config, data_dir):
    parts = load_joint_slu(config, data_dir, FILES)
    assert set(parts) == set(NAMES)
    for split, part in parts.items():
        text = (FILES / config / NAMES[split]).read_text("utf-8")
        lines = [line.split("\t") for line in text.splitlines()]
        assert part["slots"].shape == (len(lines), LENGTH[config])
        assert part["slots"].dtype == part["intent"].dtype == np.int64
        for row, (intent, words, slots) in enumerate(lines):
            codes = part["slots"][row]
            assert part["words"][row] == " ".join(words.split())
            assert JOINT_SLU_INTENTS[config][part["intent"][row]] == intent
            tags = slots.split()
            assert [JOINT_SLU_SLOTS[config][c] for c in codes if c >= 0] == tags
            assert np.all(codes[len(tags) :] == -1)


def test_a_token_for_each_slot(data_dir):
    part = load_joint_slu("snips", data_dir, FILES)["train"]
    assert part["words"][0] == "rain in málaga today"
    tokens = keras.layers.TextVectorization(
        standardize=None,
        split="whitespace",
        output_sequence_length=part["slots"].shape[1],
    )
    tokens.adapt(part["words"])
    codes = np.asarray(tokens(np.array(part["words"])))
    np.testing.assert_array_equal(codes > 0, part["slots"] >= 0)


def test_labels():
    assert {c: len(names) for c, names in JOINT_SLU_INTENTS.items()} == {
        "atis": 26,
        "snips": 7,
    }
    assert {c: len(names) for c, names in JOINT_SLU_SLOTS.items()} == {
        "atis": 127,
        "snips": 72,
    }
    for slots in JOINT_SLU_SLOTS.values():
        assert slots[0] == "O"
        assert len(set(slots)) == len(slots)
        # What goes on has a beginning.
        assert {f"B{s[1:]}" for s in slots if s[0] == "I"} <= set(slots)


def test_supervised(data_dir):
    load_joint_slu("atis", data_dir, FILES)
    builder = tfds.builder("joint_slu/atis", data_dir=data_dir)
    words, labels = next(
        iter(tfds.as_numpy(builder.as_dataset("train", as_supervised=True)))
    )
    assert words.tolist()[:3] == [b"flights", b"from", b"oslo"]
    assert labels["slots"].shape == words.shape == (8,)
    assert JOINT_SLU_INTENTS["atis"][labels["intent"]] == "atis_flight"


def test_they_become_two_tasks(data_dir):
    parts = load_joint_slu("snips", data_dir, FILES)
    found = tasks_from_tfds(
        "joint_slu/snips", ["slots", "intent"], data_dir=data_dir
    )
    kinds = {name: (t.kind, t.units) for name, t in found.tasks.items()}
    assert kinds == {"slots": ("tagging", 72), "intent": ("multiclass", 7)}
    data = found.dataset("train").padded_batch(9, padding_values=found.padding)
    words, y = next(iter(data))
    assert words.shape == y["slots"].shape
    length = words.shape[1]
    expected = parts["train"]
    np.testing.assert_array_equal(y["slots"], expected["slots"][:, :length])
    np.testing.assert_array_equal(y["intent"], expected["intent"])


@pytest.mark.parametrize(
    "config, licence", [("atis", "For research."), ("snips", "CC0 1.0")]
)
def test_metadata(config, licence, tmp_path):
    builder = tfds.builder(f"joint_slu/{config}", data_dir=tmp_path)
    assert isinstance(builder, JointSlu)
    assert builder.info.as_proto.redistribution_info.license == licence
    assert "N18-2118" in builder.info.citation
    assert "BIO notation" in builder.info.description
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )


def test_prepared_data_needs_no_files(data_dir, offline, tmp_path):
    load_joint_slu("snips", data_dir, FILES)
    again = load_joint_slu("snips", data_dir, tmp_path)
    assert again["test"]["words"] == ["play two tunes"]


def test_absent_data_is_said_at_once(copy, offline):
    (copy / "atis" / "valid.tsv").unlink()
    message = (
        r"`joint_slu/atis/1.0.0` is not prepared in .*, and .* does not hold "
        r"atis/train.tsv, atis/valid.tsv and atis/test.tsv; get .*paste "
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_joint_slu("atis", copy)
    builder = JointSlu(config="atis", data_dir=copy)
    with pytest.raises(FileNotFoundError, match=r"Expected train.tsv, .*atis;"):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=copy)
        )


def test_config_that_is_not_known(tmp_path):
    message = "`config` must be one of atis, snips. Received: config='mtop'"
    with pytest.raises(ValueError, match=message):
        load_joint_slu("mtop", tmp_path)


@pytest.mark.parametrize(
    "line, message",
    [
        ("atis_city\tcities", r"expected intent, words and slots .*'atis_city"),
        ("atis_city\ttwo cities\tO", "Received: 2 words and 1 slots"),
        ("atis_city\t\t", "at least one. Received: 0 words and 0 slots"),
        ("atis_town\ttowns\tO", r"Received: 'atis_town'. Does the file"),
        ("GetWeather\train\tB-rain", "Received: 'GetWeather', 'B-rain'"),
        ("", r"Received: ''. Is the file complete\?"),
    ],
)
def test_record_that_is_corrupt(line, message, copy):
    path = copy / "atis" / "valid.tsv"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ValueError, match=rf"valid.tsv, line 2: .*{message}"):
        load_joint_slu("atis", copy)


@pytest.mark.data
@pytest.mark.parametrize(
    "config, counts, length, intents, slots",
    [
        ("atis", (4_478, 500, 893), 46, 21, 120),
        ("snips", (13_084, 700, 700), 35, 7, 72),
    ],
)
def test_real_data(config, counts, length, intents, slots):
    data_dir = os.environ.get("TFDS_DATA_DIR", "~")
    if not tfds.core.Path(data_dir, "joint_slu", config).expanduser().exists():
        pytest.skip("set TFDS_DATA_DIR to where joint_slu is prepared")
    parts = load_joint_slu(config, data_dir)
    assert tuple(len(part["words"]) for part in parts.values()) == counts
    assert len(set(parts["train"]["intent"])) == intents
    assert len(set(parts["train"]["slots"].ravel()) - {-1}) == slots
    for part in parts.values():
        assert part["slots"].shape == (len(part["words"]), length)
        lengths = [len(words.split(" ")) for words in part["words"]]
        assert (part["slots"] >= 0).sum(axis=1).tolist() == lengths
    for name, names in (
        ("intent", JOINT_SLU_INTENTS),
        ("slots", JOINT_SLU_SLOTS),
    ):
        # Every label occurs somewhere.
        codes = np.concatenate([part[name].ravel() for part in parts.values()])
        assert set(codes) - {-1} == set(range(len(names[config])))
