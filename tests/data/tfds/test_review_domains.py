import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl import Task
from keras_mtl.data import REVIEW_DOMAINS, Mixture, load_review_domains
from keras_mtl.data.tfds import ReviewDomains

FILES = pathlib.Path(__file__).parent / "review_domains"  # invented reviews


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("review_domains")


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_every_review(data_dir):
    parts = load_review_domains(data_dir, FILES)
    assert set(parts) == {"train", "test"}
    for split, part in parts.items():
        assert tuple(part) == REVIEW_DOMAINS
        lines = (FILES / f"{split}.jsonl").read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        for name, domain in part.items():
            own = [r for r in records if r["domain"] == name]
            assert own
            assert domain["text"] == [r["text"] for r in own]
            assert domain["label"].tolist() == [r["label"] for r in own]
            assert domain["label"].dtype == np.int64
    # In the order of the file, though other domains stand between.
    assert parts["train"]["books"]["label"].tolist() == [1, 0, 1]
    assert parts["train"]["video"]["text"][-1] == ""


def test_domains_are_sources_of_a_mixture(data_dir):
    part = load_review_domains(data_dir, FILES)["train"]
    mixture = Mixture(
        {
            name: (
                np.array([[len(text)] for text in domain["text"]], "float32"),
                {name: domain["label"][:, None]},
            )
            for name, domain in part.items()
        },
        [Task(name, "binary") for name in REVIEW_DOMAINS],
        batch_size=1,
    )
    # As many of each as there are.
    assert mixture.counts(epoch=0) == {
        name: {"books": 3, "video": 2}.get(name, 1) for name in REVIEW_DOMAINS
    }


def test_supervised(data_dir):
    load_review_domains(data_dir, FILES)
    builder = tfds.builder("review_domains", data_dir=data_dir)
    dataset = builder.as_dataset("test", as_supervised=True)
    text, label = next(iter(tfds.as_numpy(dataset)))
    assert (text, label) == (b"a test of MR .", 1)


def test_metadata(tmp_path):
    builder = tfds.builder("review_domains", data_dir=tmp_path)
    assert isinstance(builder, ReviewDomains)
    assert builder.info.as_proto.redistribution_info.license == "For research."
    assert "P17-1001" in builder.info.citation
    assert "Reviews of 16 domains" in builder.info.description
    assert builder.info.features["domain"].names == list(REVIEW_DOMAINS)
    assert builder.info.features["label"].names == ["negative", "positive"]
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )


def test_prepared_data_needs_no_files(data_dir, offline, tmp_path):
    load_review_domains(data_dir, FILES)
    again = load_review_domains(data_dir, tmp_path)
    assert again["test"]["dvd"]["text"] == ["a test of dvd ."]


def test_absent_data_is_said_at_once(copy, offline):
    (copy / "test.jsonl").unlink()
    message = (
        r"`review_domains/1.0.0` is not prepared in .*, and .* does not hold "
        r"train.jsonl and test.jsonl; get the data of 'Adversarial .*one a line"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_review_domains(copy)
    message = r"Expected train.jsonl and test.jsonl in .*; get the data"
    with pytest.raises(FileNotFoundError, match=message):
        ReviewDomains(data_dir=copy).download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=copy)
        )


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"domain": "dvd", "label": 1, "te', r"expected an object in JSON"),
        ("", r"expected an object in JSON .*Is the file complete\?"),
        ("[1, 2]", r"expected `domain`, .*Received: \[1, 2\]"),
        ('{"domain": "dvd", "label": 1}', "and `text`, a string"),
        ('{"domain": "cars", "label": 1, "text": "a"}', "one of MR, apparel"),
        ('{"domain": "dvd", "label": 2, "text": "a"}', "`label`, 0 or 1"),
        ('{"domain": "dvd", "label": true, "text": "a"}', "`label`, 0 or 1"),
        ('{"domain": "dvd", "label": "1", "text": "a"}', "`label`, 0 or 1"),
        ('{"domain": "dvd", "label": 1, "text": ["a"]}', "a string. Received"),
    ],
)
def test_record_that_is_corrupt(line, message, copy):
    path = copy / "test.jsonl"
    path.write_text(f"{path.read_text('utf-8')}{line}\n", "utf-8")
    with pytest.raises(ValueError, match=rf"test.jsonl, line 17: .*{message}"):
        load_review_domains(copy)


@pytest.mark.data
def test_real_data():
    data_dir = os.environ.get("TFDS_DATA_DIR", "~")
    if not tfds.core.Path(data_dir, "review_domains").expanduser().exists():
        pytest.skip("set TFDS_DATA_DIR to where review_domains is prepared")
    parts = load_review_domains(data_dir)
    fewer = {
        "baby": 1_500,
        "camera_photo": 1_597,
        "electronics": 1_598,
        "magazines": 1_570,
        "software": 1_515,
    }
    for name in REVIEW_DOMAINS:
        count = fewer.get(name, 1_600)
        assert len(parts["train"][name]["text"]) == count
        assert len(parts["test"][name]["text"]) == 400
        for part in parts.values():
            assert 0.45 < part[name]["label"].mean() < 0.55
