"""Pairs of images, and data sets made of them.

`import keras_mtl.data.tfds` registers the data sets with TensorFlow Datasets.
"""

from keras_mtl.data.multi_digits import load_multi_digits
from keras_mtl.data.pairs import draw_pairs, paste_pairs

__all__ = ["draw_pairs", "load_multi_digits", "paste_pairs"]
