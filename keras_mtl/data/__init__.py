"""Data sets, and pairs of images to make some of.

`import keras_mtl.data.tfds` registers the data sets with TensorFlow Datasets.
"""

from keras_mtl.data import rates
from keras_mtl.data.census_columns import CENSUS_CATEGORIES, CENSUS_NUMBERS
from keras_mtl.data.census_income import load_census_income
from keras_mtl.data.correlation import CorrelatedTasks, correlated_tasks
from keras_mtl.data.from_tfds import TfdsTasks, tasks_from_tfds
from keras_mtl.data.label_subset import keep_labels
from keras_mtl.data.mixing import Mixture
from keras_mtl.data.multi_digits import load_multi_digits
from keras_mtl.data.pairs import draw_pairs, paste_pairs

__all__ = [
    "CENSUS_CATEGORIES",
    "CENSUS_NUMBERS",
    "CorrelatedTasks",
    "Mixture",
    "TfdsTasks",
    "correlated_tasks",
    "draw_pairs",
    "keep_labels",
    "load_census_income",
    "load_multi_digits",
    "paste_pairs",
    "rates",
    "tasks_from_tfds",
]
