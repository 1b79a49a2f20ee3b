"""NYU Depth V2: indoor pictures with classes and depths, shrunk."""

from keras_mtl.data.tfds.nyu_v2.nyu_v2_dataset_builder import (
    NyuV2,
    find_files,
)

__all__ = ["NyuV2", "find_files"]
