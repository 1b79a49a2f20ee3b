"""Layers by which towers share: each a building block for any model."""

from keras_mtl.layers.registry import registry

__all__ = ["registry"]
