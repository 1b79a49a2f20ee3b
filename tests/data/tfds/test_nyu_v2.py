import os
import pathlib
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from keras_mtl import MultiTaskModel
from keras_mtl.data import NYU_V2_CLASSES, load_nyu_v2, tasks_from_tfds
from keras_mtl.data.tfds import NyuV2

SIZE = (96, 128)
# Numbers of the pictures; written in another order than they are read.
NUMBERS = {"train": (12, 3), "test": (7,)}


def picture(number):
    """Invented arrays: a colour, classes with a hole, depths with a hole."""
    image = np.full((*SIZE, 3), 10 * number, "uint8")
    classes = np.arange(SIZE[1], dtype="uint8") // 8 % 13
    classes = np.broadcast_to(classes[None, :, None], (*SIZE, 1)).copy()
    classes[:20] = 255
    grey = np.full((*SIZE, 1), 50 + number, "uint8")
    grey[:, :10] = 0
    return image, classes, grey


@pytest.fixture
def files(tmp_path):
    return write_pictures(tmp_path / "files")


def write_pictures(folder):
    """The folders, as a person might have them."""
    for split, numbers in NUMBERS.items():
        for kind in ("image", "depth", "seg13"):
            (folder / split / kind).mkdir(parents=True)
        for number in numbers:
            image, classes, grey = picture(number)
            write(folder / split / "image" / f"{number:04}.jpg", image)
            write(folder / split / "seg13" / f"{number:04}.png", classes)
            write(folder / split / "depth" / f"{number:04}.png", grey)
    (folder / "train" / "image" / "Thumbs.db").write_bytes(b"of no use")
    return folder


def write(path, array):
    encode = tf.io.encode_jpeg if path.suffix == ".jpg" else tf.io.encode_png
    path.write_bytes(encode(array).numpy())


def pack(folder):
    """The same as an archive."""
    target = folder.parent / "archive"
    target.mkdir()
    with zipfile.ZipFile(target / "nyuv2_96x128.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target


@pytest.mark.parametrize("archived", [False, True])
def test_every_picture(archived, files, tmp_path, offline):
    source = pack(files) if archived else files
    parts = load_nyu_v2(tmp_path / "data", source)
    assert list(parts) == ["train", "test"]
    for split, part in parts.items():
        assert {k: (v.shape[1:], v.dtype.name) for k, v in part.items()} == {
            "image": ((*SIZE, 3), "uint8"),
            "segmentation": (SIZE, "int32"),
            "depth": (SIZE, "float32"),
        }
        assert len(part["image"]) == len(NUMBERS[split])
        for row, number in enumerate(sorted(NUMBERS[split])):
            image, classes, grey = picture(number)
            np.testing.assert_array_equal(part["image"][row], image)
            expected = classes[..., 0].astype(int)
            expected[:20] = -1
            np.testing.assert_array_equal(part["segmentation"][row], expected)
            assert np.isnan(part["depth"][row, :, :10]).all()
            np.testing.assert_allclose(
                part["depth"][row, :, 10:], (50 + number) / 25.5, rtol=1e-6
            )
            assert (grey[:, 10:] == 50 + number).all()


def test_the_bytes_of_a_picture_are_kept(files, tmp_path):
    """Noise would not survive to be packed as .jpg a second time."""
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), "uint8")
    path = files / "test" / "image" / "0007.jpg"
    write(path, noise)
    part = load_nyu_v2(tmp_path, files)["test"]
    expected = tf.io.decode_jpeg(path.read_bytes()).numpy()
    np.testing.assert_array_equal(part["image"][0], expected)


def test_prepared_data_needs_no_files(files, tmp_path, offline):
    first = load_nyu_v2(tmp_path, files)
    again = load_nyu_v2(tmp_path)
    for name, values in first["test"].items():
        np.testing.assert_array_equal(again["test"][name], values)


def test_segmentation_becomes_a_task_that_skips_the_holes(files, tmp_path):
    load_nyu_v2(tmp_path, files)
    found = tasks_from_tfds("nyu_v2", ["segmentation"], data_dir=tmp_path)
    task = found.tasks["segmentation"]
    assert task.units == 13
    x = keras.Input((*SIZE, 3))
    head = task.make_head("segmentation")
    model = MultiTaskModel(x, {"segmentation": head(x)}, tasks=found.tasks)
    model.compile("sgd")
    data = found.dataset("test").map(lambda x, y: (x / 255, y)).batch(1)
    loss = model.evaluate(data, return_dict=True, verbose=0)["loss"]
    x, y = next(iter(data))
    probabilities = np.asarray(model(x)["segmentation"])[0]
    classes = np.asarray(y["segmentation"])[0]
    assert (classes[:20] == -1).all()
    there = classes >= 0
    own = probabilities[there, classes[there]]
    assert loss == pytest.approx(-np.log(own).mean(), rel=1e-4)


def test_metadata(files, tmp_path):
    load_nyu_v2(tmp_path, files)
    builder = tfds.builder("nyu_v2", data_dir=tmp_path)
    assert isinstance(builder, NyuV2)
    assert "silberman2012indoor" in builder.info.citation
    assert builder.info.features["segmentation"].names == list(NYU_V2_CLASSES)
    assert "for research" in builder.info.description
    assert set(builder.get_metadata().tags) <= set(
        dataset_metadata.valid_tags()
    )
    # Read by its folder alone, holes are holes still.
    path = next(pathlib.Path(tmp_path, "nyu_v2").iterdir())
    data = tfds.builder_from_directory(path).as_dataset(split="test")
    assert next(iter(data))["segmentation"].numpy().min() == -1


@pytest.mark.parametrize("there", [(), ("train/image",)])
def test_absent_data_is_said_at_once(there, tmp_path, offline):
    for folder in there:
        (tmp_path / folder).mkdir(parents=True)
    message = (
        r"`nyu_v2.*` is not prepared in .* does not hold nyuv2_96x128.zip, nor "
        r"its folders train and test; shrink the 1,449 labeled pictures .*"
        r"train/seg13/\*.png"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_nyu_v2(tmp_path)


def test_builder_without_the_files_says_so(tmp_path, offline):
    (tmp_path / "other.txt").write_text("")
    config = tfds.download.DownloadConfig(manual_dir=tmp_path)
    builder = NyuV2(data_dir=tmp_path / "data")
    message = "holds neither nyuv2_96x128.zip nor the folders train and test"
    with pytest.raises(FileNotFoundError, match=message):
        builder.download_and_prepare(download_config=config)


def test_file_that_is_missing(files, tmp_path):
    (files / "train" / "depth" / "0012.png").unlink()
    message = "train/depth/0012.png is missing: each image needs its depth"
    with pytest.raises(FileNotFoundError, match=message):
        load_nyu_v2(tmp_path, files)


@pytest.mark.parametrize("name", ["image/0003.jpg", "depth/0003.png"])
@pytest.mark.parametrize("archived", [False, True])
def test_file_that_is_cut_off(name, archived, files, tmp_path):
    path = files / "train" / name
    path.write_bytes(path.read_bytes()[:40])
    source = pack(files) if archived else files
    message = f"train/{name} is not an image that can be read. Is the file"
    with pytest.raises(ValueError, match=message):
        load_nyu_v2(tmp_path, source)


def test_image_of_another_size(files, tmp_path):
    path = files / "test" / "image" / "0007.jpg"
    write(path, np.zeros((48, 64, 3), "uint8"))
    message = r"0007.jpg: expected an image of 96 × 128 .* Received: \(48, 64\)"
    with pytest.raises(ValueError, match=message):
        load_nyu_v2(tmp_path, files)


def test_class_that_is_not_known(files, tmp_path):
    path = files / "test" / "seg13" / "0007.png"
    write(path, np.full((*SIZE, 1), 13, "uint8"))
    message = (
        r"0007.png: expected classes from 0 to 12, or 255. Received: \[13\]"
    )
    with pytest.raises(ValueError, match=message):
        load_nyu_v2(tmp_path, files)


@pytest.mark.data
@pytest.mark.skipif(
    not tfds.core.Path(os.environ.get("TFDS_DATA_DIR", "~"), "nyu_v2").exists(),
    reason="set TFDS_DATA_DIR to where nyu_v2 is prepared",
)
def test_real_data():
    parts = load_nyu_v2(os.environ["TFDS_DATA_DIR"])
    for split, count, holes, depth in (
        ("train", 795, 0.221256, 2.824132),
        ("test", 654, 0.217285, 2.721822),
    ):
        part = parts[split]
        assert len(part["image"]) == count
        unlabelled = np.mean(part["segmentation"] == -1)
        assert unlabelled == pytest.approx(holes, abs=1e-6)
        assert part["depth"].mean(dtype="float64") == pytest.approx(
            depth, abs=1e-5
        )
        assert set(np.unique(part["segmentation"])) == set(range(-1, 13))
