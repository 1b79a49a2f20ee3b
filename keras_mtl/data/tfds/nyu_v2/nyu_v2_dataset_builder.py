"""The TFDS builder of `nyu_v2`."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mtl.data.nyu_v2 import NYU_V2_CLASSES
from keras_mtl.data.tfds.nyu_v2.partly_labeled_image import (
    UNLABELED,
    PartlyLabeledImage,
)

HOMEPAGE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
ARCHIVE = "nyuv2_96x128.zip"
SPLITS = ("train", "test")
SIZE = (96, 128)
STEPS = 25.5  # grey values per metre


class NyuV2(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """NYU Depth V2 at 96 × 128 pixels, with 13 classes and depth.

    Reads `nyuv2_96x128.zip`, or the same files in folders, from `manual_dir`.
    Downloads nothing.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "shrink the 1,449 labeled pictures of "
        f"{HOMEPAGE} to {SIZE[0]} x {SIZE[1]} pixels (height x width), and "
        f"put them into `manual_dir`, as {ARCHIVE} or in folders: "
        "train/image/*.jpg, train/depth/*.png (metres times 25.5), "
        "train/seg13/*.png (classes from 0 to 12, or 255), and the same "
        "under test/."
    )

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(*SIZE, 3), encoding_format="jpeg"
                    ),
                    "segmentation": PartlyLabeledImage(
                        labels=list(NYU_V2_CLASSES), shape=(*SIZE, 1)
                    ),
                    "depth": tfds.features.Tensor(
                        shape=(*SIZE, 1),
                        dtype=np.float32,
                        encoding=tfds.features.Encoding.ZLIB,
                    ),
                }
            ),
            supervised_keys=(
                "image",
                {"segmentation": "segmentation", "depth": "depth"},
            ),
            homepage=HOMEPAGE,
            license="For research.",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = find_files(dl_manager.manual_dir)
        if root is None:
            raise FileNotFoundError(
                f"{dl_manager.manual_dir} holds neither {ARCHIVE} nor the "
                f"folders {' and '.join(SPLITS)}; "
                f"{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return {
            split: self._generate_examples(root / split) for split in SPLITS
        }

    def _generate_examples(
        self, folder: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        names = [path.name for path in (folder / "image").iterdir()]
        names = sorted(name for name in names if name.endswith(".jpg"))
        for key, name in enumerate(names):
            image = folder / "image" / name
            read(image, channels=3)  # so that what is corrupt has a name
            png = f"{name.removesuffix('.jpg')}.png"
            yield (
                key,
                {
                    # Bytes as they are: packed anew, they would lose again.
                    "image": io.BytesIO(image.read_bytes()),
                    "segmentation": read_classes(folder / "seg13" / png),
                    "depth": read_depth(folder / "depth" / png),
                },
            )


def find_files(folder: Any) -> Any:
    """The folder of the two splits, in a folder or its archive, or None."""
    archive = folder / ARCHIVE
    root = zipfile.Path(archive) if archive.exists() else folder
    there = all((root / split / "image").is_dir() for split in SPLITS)
    return root if there else None


def read(path: Any, channels: int) -> Any:
    """An image as uint8.

    Args:
        path: Of a .jpg or .png, maybe within an archive.
        channels: Three for colour, one for grey.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, or of another size.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: each image needs its depth and its classes."
        )
    try:
        image = tf.io.decode_image(path.read_bytes(), channels=channels).numpy()
    except (tf.errors.InvalidArgumentError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not an image that can be read. Is the file complete?"
        ) from error
    if image.shape != (*SIZE, channels):
        raise ValueError(
            f"{path}: expected an image of {SIZE[0]} × {SIZE[1]} pixels "
            f"(height × width). Received: {image.shape[:2]}"
        )
    return image


def read_classes(path: Any) -> Any:
    """Classes `(height, width, 1)`, uint8, 255 where there is none.

    Raises:
        ValueError: There are others.
    """
    classes = read(path, channels=1)
    known = (classes < len(NYU_V2_CLASSES)) | (classes == UNLABELED)
    if not known.all():
        raise ValueError(
            f"{path}: expected classes from 0 to {len(NYU_V2_CLASSES) - 1}, or "
            f"{UNLABELED}. Received: {np.unique(classes[~known]).tolist()}"
        )
    return classes


def read_depth(path: Any) -> Any:
    """Metres `(height, width, 1)`, NaN where nothing was measured."""
    grey = read(path, channels=1)
    return np.where(grey == 0, np.nan, grey / STEPS).astype("float32")
