import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl.data import (
    OBJECT_CLASSES,
    SCENE_CLASSES,
    draw_scenes,
    load_scenes,
    tasks_from_tfds,
)
from keras_mtl.data.tfds import Scenes
from keras_mtl.data.tfds.scenes import scenes_dataset_builder

COUNTS = {"train": 5, "validation": 3, "test": 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes_dataset_builder, "COUNTS", COUNTS)
        patch.setattr(scenes_dataset_builder, "CHUNK", 2)
        load_scenes("64x64", path)
        load_scenes("96x128", path)
    return path


@pytest.mark.parametrize(
    "config, size", [("64x64", (64, 64)), ("96x128", (96, 128))]
)
def test_they_are_those_that_draw_scenes_draws(config, size, data_dir, offline):
    parts = load_scenes(config, data_dir)
    assert list(parts) == list(COUNTS)
    for seed, (split, part) in enumerate(parts.items()):
        expected = draw_scenes(COUNTS[split], size, seed)
        assert set(part) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(part[name], values)
            assert part[name].dtype == values.dtype


def test_supervised_examples_are_ready_for_a_model_of_many_outputs(data_dir):
    builder = tfds.builder("scenes/64x64", data_dir=data_dir)
    data = builder.as_dataset(split="test", as_supervised=True).batch(2)
    (x, y) = next(iter(tfds.as_numpy(data)))
    assert x.shape == (2, 64, 64, 3)
    assert {name: values.shape for name, values in y.items()} == {
        "segmentation": (2, 64, 64, 1),
        "depth": (2, 64, 64, 1),
        "boxes": (2, 6, 4),
        "classes": (2, 6),
    }


def test_segmentation_becomes_a_task(data_dir):
    found = tasks_from_tfds("scenes", ["segmentation"], data_dir=data_dir)
    assert found.tasks["segmentation"].units == len(SCENE_CLASSES)
    x, y = next(iter(found.dataset("train")))
    expected = draw_scenes(1)
    np.testing.assert_array_equal(x, expected["image"][0])
    np.testing.assert_array_equal(
        y["segmentation"], expected["segmentation"][0]
    )


def test_metadata(data_dir):
    builder = tfds.builder("scenes/64x64", data_dir=data_dir)
    assert isinstance(builder, Scenes)
    assert builder.info.features["segmentation"].names == list(SCENE_CLASSES)
    assert builder.info.features["classes"].feature.names == list(
        OBJECT_CLASSES
    )
    licence = builder.info.as_proto.redistribution_info.license
    assert licence == "Apache-2.0"
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )
    # The page tells the counts and seeds that the builder has.
    rows = re.findall(
        r"\| `(\w+)` \| ([\d,]+) \| (\d)", builder.info.description
    )
    module = scenes_dataset_builder
    assert {s: int(n.replace(",", "")) for s, n, _ in rows} == module.COUNTS
    assert {s: int(seed) for s, _, seed in rows} == module.SEEDS


def test_config_that_does_not_exist(tmp_path):
    message = "`config` must be one of 64x64, 96x128. Received: config='big'"
    with pytest.raises(ValueError, match=message):
        load_scenes("big", tmp_path)
