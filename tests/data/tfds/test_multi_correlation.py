import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl.data import correlated_tasks, tasks_from_tfds
from keras_mtl.data.tfds import MultiCorrelation, multi_correlation
from keras_mtl.data.tfds.multi_correlation import (
    multi_correlation_dataset_builder as module,
)

COUNTS = {"train": 9, "validation": 3, "test": 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("multi_correlation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COUNTS", COUNTS)
        MultiCorrelation(config="0.5", data_dir=path).download_and_prepare()
    return path


def test_they_are_those_that_correlated_tasks_draws(data_dir, offline):
    builder = tfds.builder("multi_correlation/0.5", data_dir=data_dir)
    for seed, (split, count) in enumerate(COUNTS.items()):
        x, y = correlated_tasks(0.5, seed=0).draw(count, seed)
        data = builder.as_dataset(split, batch_size=-1, as_supervised=True)
        found, labels = tfds.as_numpy(data)
        np.testing.assert_array_equal(found, x)
        for name in ("first", "second"):
            np.testing.assert_array_equal(labels[name], y[name])
            assert labels[name].dtype == np.float32


def test_they_become_two_tasks(data_dir):
    found = tasks_from_tfds(
        "multi_correlation/0.5", ["first", "second"], data_dir=data_dir
    )
    assert [task.kind for task in found.tasks.values()] == ["regression"] * 2
    x, _ = next(iter(found.dataset("test")))
    assert x.shape == (100,)


def test_a_correlation_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "COUNTS", COUNTS)
    config = multi_correlation.MultiCorrelationConfig(
        name="none", description="Unrelated.", correlation=0.0
    )
    builder = MultiCorrelation(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    labels = builder.as_dataset("test", batch_size=-1)["second"]
    _, y = correlated_tasks(0.0, seed=0).draw(2, seed=2)
    np.testing.assert_array_equal(labels, y["second"])


def test_metadata(tmp_path):
    builder = tfds.builder("multi_correlation/0.9", data_dir=tmp_path)
    assert isinstance(builder, MultiCorrelation)
    assert builder.builder_config.correlation == 0.9
    assert "3219819.3220007" in builder.info.citation
    licence = builder.info.as_proto.redistribution_info.license
    assert licence == "Apache-2.0"
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )
    # The page tells the configs, counts and seeds that the builder has.
    rows = re.findall(
        r"\| `(\w+)` \| ([\d,]+) \| (\d)", builder.info.description
    )
    assert {s: int(n.replace(",", "")) for s, n, _ in rows} == module.COUNTS
    assert {s: int(seed) for s, _, seed in rows} == module.SEEDS
    configs = re.findall(r"\| `([\d.]+)` \|", builder.info.description)
    assert configs == list(MultiCorrelation.builder_configs)
