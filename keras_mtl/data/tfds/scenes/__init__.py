"""Rooms with objects: classes, depths and boxes of each pixel and object."""

from keras_mtl.data.tfds.scenes.scenes_dataset_builder import Scenes

__all__ = ["Scenes"]
