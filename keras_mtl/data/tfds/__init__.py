"""Data sets for TensorFlow Datasets; importing this registers them.

```python
import keras_mtl.data.tfds
import tensorflow_datasets as tfds

tfds.builder("multi_digits/mnist", data_dir=...).download_and_prepare()
```
"""

from keras_mtl.data.tfds.census_income import CensusIncome
from keras_mtl.data.tfds.joint_slu import JointSlu
from keras_mtl.data.tfds.multi30k import Multi30k
from keras_mtl.data.tfds.multi_correlation import MultiCorrelation
from keras_mtl.data.tfds.multi_digits import MultiDigits
from keras_mtl.data.tfds.nyu_v2 import NyuV2
from keras_mtl.data.tfds.review_domains import ReviewDomains
from keras_mtl.data.tfds.scenes import Scenes

__all__ = [
    "CensusIncome",
    "JointSlu",
    "Multi30k",
    "MultiCorrelation",
    "MultiDigits",
    "NyuV2",
    "ReviewDomains",
    "Scenes",
]
