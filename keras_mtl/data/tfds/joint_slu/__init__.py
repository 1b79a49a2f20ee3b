"""ATIS and SNIPS: intents of utterances and slots of their words."""

from keras_mtl.data.tfds.joint_slu.joint_slu_dataset_builder import (
    JointSlu,
    find_files,
)

__all__ = ["JointSlu", "find_files"]
