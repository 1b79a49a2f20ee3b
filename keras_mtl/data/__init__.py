"""Data sets, and pairs of images to make some of.

`import keras_mtl.data.tfds` registers the data sets with TensorFlow Datasets.
"""

from keras_mtl.data import rates
from keras_mtl.data.census_columns import CENSUS_CATEGORIES, CENSUS_NUMBERS
from keras_mtl.data.census_income import load_census_income
from keras_mtl.data.correlation import CorrelatedTasks, correlated_tasks
from keras_mtl.data.from_tfds import TfdsTasks, tasks_from_tfds
from keras_mtl.data.joint_slu import (
    JOINT_SLU_INTENTS,
    JOINT_SLU_SLOTS,
    load_joint_slu,
)
from keras_mtl.data.label_subset import keep_labels
from keras_mtl.data.mixing import Mixture
from keras_mtl.data.multi30k import load_multi30k
from keras_mtl.data.multi_digits import load_multi_digits
from keras_mtl.data.nyu_v2 import NYU_V2_CLASSES, load_nyu_v2
from keras_mtl.data.pairs import draw_pairs, paste_pairs
from keras_mtl.data.review_domains import (
    REVIEW_DOMAINS,
    load_review_domains,
)
from keras_mtl.data.scenes import (
    OBJECT_CLASSES,
    SCENE_CLASSES,
    draw_scenes,
    load_scenes,
)
from keras_mtl.data.subwords import SubwordDetokenizer, SubwordTokenizer
from keras_mtl.data.table_encoder import TableEncoder
from keras_mtl.data.tables import Table, table

__all__ = [
    "CENSUS_CATEGORIES",
    "CENSUS_NUMBERS",
    "JOINT_SLU_INTENTS",
    "JOINT_SLU_SLOTS",
    "NYU_V2_CLASSES",
    "OBJECT_CLASSES",
    "REVIEW_DOMAINS",
    "SCENE_CLASSES",
    "CorrelatedTasks",
    "Mixture",
    "SubwordDetokenizer",
    "SubwordTokenizer",
    "Table",
    "TableEncoder",
    "TfdsTasks",
    "correlated_tasks",
    "draw_pairs",
    "draw_scenes",
    "keep_labels",
    "load_census_income",
    "load_joint_slu",
    "load_multi30k",
    "load_multi_digits",
    "load_nyu_v2",
    "load_review_domains",
    "load_scenes",
    "paste_pairs",
    "rates",
    "table",
    "tasks_from_tfds",
]
