"""Class maps with holes."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

UNLABELED = 255


class PartlyLabeledImage(tfds.features.LabeledImage):  # type: ignore[misc]
    """A `LabeledImage` that is -1 where no class is known.

    Images are stored as uint8 with 255 there, and read as int32 with -1, which
    is how tasks of this package mark missing labels.

    Args:
        **kwargs: As in `tfds.features.LabeledImage`.
    """

    def get_tensor_info(self) -> Any:
        """What readers get."""
        return tfds.features.TensorInfo(shape=self._shape, dtype=np.int32)

    def decode_example(self, example: Any) -> Any:
        """Classes, and -1 for 255."""
        classes = tf.cast(super().decode_example(example), tf.int32)
        return tf.where(classes == UNLABELED, -1, classes)
