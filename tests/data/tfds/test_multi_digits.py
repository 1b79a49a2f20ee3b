import os
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_mtl.data import load_multi_digits
from keras_mtl.data.tfds import MultiDigits

TRAIN, TEST = 30, 12  # images of each fake source


def fake_images(first, count):
    """Images of one grey value each, which tells them apart."""
    values = np.arange(first, first + count, dtype="uint8")
    return np.broadcast_to(values[:, None, None, None], (count, 28, 28, 1))


def prepare_fake(name, data_dir, first):
    """A small data set under the name and version of a real one."""
    version = tfds.builder_cls(name).VERSION

    def split(first, count):
        for key, image in enumerate(fake_images(first, count)):
            yield key, {"image": image, "label": int(image[0, 0, 0]) % 10}

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=str(version),
        data_dir=data_dir,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        split_datasets={
            "train": split(first, TRAIN),
            "test": split(first + TRAIN, TEST),
        },
        disable_shuffling=True,
    )


@pytest.fixture(scope="module")
def source_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("sources")
    prepare_fake("mnist", path, first=1)
    prepare_fake("fashion_mnist", path, first=101)
    return path


@pytest.fixture(scope="module")
def mnist_pairs(source_dir, tmp_path_factory):
    target = tmp_path_factory.mktemp("target")
    return load_multi_digits("mnist", target, source_dir)


def grey_values(pairs):
    """The two source images of each pair, by their grey values."""
    images = pairs["image"]
    return images[:, 0, 0, 0], images[:, -1, -1, 0]


def test_shapes_dtypes_and_counts(mnist_pairs):
    assert list(mnist_pairs) == ["train", "test"]
    for split, count in (("train", TRAIN), ("test", TEST)):
        pairs = mnist_pairs[split]
        assert pairs["image"].shape == (count, 36, 36, 1)
        assert pairs["image"].dtype == np.uint8
        for side in ("left", "right"):
            assert pairs[side].shape == (count,)
            assert pairs[side].dtype == np.int64


def test_labels_are_those_of_the_pasted_images(mnist_pairs):
    for pairs in mnist_pairs.values():
        left, right = grey_values(pairs)
        np.testing.assert_array_equal(pairs["left"], left % 10)
        np.testing.assert_array_equal(pairs["right"], right % 10)
        np.testing.assert_array_equal(
            pairs["image"][:, 18, 18, 0], np.maximum(left, right)
        )
        assert not pairs["image"][:, 0, -1].any()


def test_splits_share_no_image_and_use_each_twice(mnist_pairs):
    for split, expected in (
        ("train", range(1, 1 + TRAIN)),
        ("test", range(1 + TRAIN, 1 + TRAIN + TEST)),
    ):
        left, right = grey_values(mnist_pairs[split])
        assert sorted(left) == sorted(right) == list(expected)


def test_the_last_sixth_of_train_can_be_held_out(mnist_pairs):
    left, right = grey_values(mnist_pairs["train"])
    cut = TRAIN * 5 // 6
    early = {*left[:cut], *right[:cut]}
    late = {*left[cut:], *right[cut:]}
    assert early.isdisjoint(late)
    assert len(early) == cut
    assert len(late) == TRAIN - cut


def test_same_pairs_every_time(mnist_pairs, source_dir, tmp_path):
    again = load_multi_digits("mnist", tmp_path, source_dir)
    for split, pairs in mnist_pairs.items():
        for key, values in pairs.items():
            np.testing.assert_array_equal(again[split][key], values)


def test_mixed_takes_left_from_mnist_and_right_from_fashion(
    source_dir, tmp_path
):
    left, right = grey_values(
        load_multi_digits("mixed", tmp_path, source_dir)["train"]
    )
    assert left.max() < 100 < right.min()


def test_found_by_name_and_prepared_beside_its_sources(source_dir):
    builder = tfds.builder("multi_digits/fashion", data_dir=source_dir)
    assert isinstance(builder, MultiDigits)
    builder.download_and_prepare()
    loaded = tfds.load("multi_digits/fashion", data_dir=source_dir)
    assert loaded["train"].cardinality() == TRAIN


def test_supervised_keys_suit_a_multi_output_model(source_dir, tmp_path):
    builder = MultiDigits(
        config="mnist", data_dir=tmp_path, source_dir=source_dir
    )
    builder.download_and_prepare()
    image, targets = builder.as_dataset(
        split="test", as_supervised=True
    ).element_spec
    assert image.shape == (36, 36, 1)
    assert list(targets) == ["left", "right"]


def test_metadata(tmp_path):
    info = MultiDigits(config="mnist", data_dir=tmp_path).info
    assert "brighter pixel wins" in info.description
    assert "Dynamic Routing" in info.citation
    tags = MultiDigits.get_metadata().tags
    assert "ml.task.image-classification" in tags


def test_pickling_keeps_the_source_dir(source_dir, tmp_path):
    builder = MultiDigits(
        config="mnist", data_dir=tmp_path, source_dir=source_dir
    )
    copy = pickle.loads(pickle.dumps(builder))
    assert copy.source_dir == source_dir
    assert copy.data_dir == builder.data_dir


def test_a_missing_source_is_named_with_its_remedy(tmp_path, offline):
    with pytest.raises(FileNotFoundError) as caught:
        load_multi_digits("mixed", tmp_path)
    message = str(caught.value)
    assert "'fashion_mnist', which is not prepared in" in message
    assert str(tmp_path) in message
    assert f"tfds.load('fashion_mnist', data_dir='{tmp_path}')" in message
    assert "\n" not in message


def test_unknown_config(tmp_path):
    with pytest.raises(ValueError, match="`config` must be one of mnist, fa"):
        load_multi_digits("letters", tmp_path)


@pytest.mark.data
@pytest.mark.skipif(
    "TFDS_DATA_DIR" not in os.environ,
    reason="set TFDS_DATA_DIR to where mnist and fashion_mnist are prepared",
)
@pytest.mark.parametrize("config", ["mnist", "fashion"])
def test_real_data(config, tmp_path):
    pairs = load_multi_digits(config, tmp_path, os.environ["TFDS_DATA_DIR"])
    train, test = pairs["train"], pairs["test"]
    assert train["image"].shape == (60_000, 36, 36, 1)
    assert test["image"].shape == (10_000, 36, 36, 1)
    for side in ("left", "right"):
        # Each source image is used once on either side.
        if config == "fashion":
            assert np.bincount(train[side]).tolist() == [6000] * 10
            assert np.bincount(test[side]).tolist() == [1000] * 10
        else:
            assert np.bincount(test[side]).tolist() == [
                980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
            ]  # fmt: skip
    assert not train["image"][:, :8, 28:].any()
    assert not train["image"][:, 28:, :8].any()
