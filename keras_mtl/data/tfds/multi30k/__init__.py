"""Multi30k: captions of pictures in four languages."""

from keras_mtl.data.tfds.multi30k.multi30k_dataset_builder import (
    LANGUAGES,
    Multi30k,
    find_files,
)

__all__ = ["LANGUAGES", "Multi30k", "find_files"]
