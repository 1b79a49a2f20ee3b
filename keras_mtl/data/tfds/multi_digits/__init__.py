"""MultiMNIST and its likes: two images on one canvas, two labels."""

from keras_mtl.data.tfds.multi_digits.multi_digits_dataset_builder import (
    MultiDigits,
)

__all__ = ["MultiDigits"]
