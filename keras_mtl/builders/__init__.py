"""Functional-API builders: towers, a way of sharing, heads."""

from keras_mtl.builders.blocks import cut
from keras_mtl.builders.hard_sharing import hard_sharing
from keras_mtl.builders.registry import registry

__all__ = ["cut", "hard_sharing", "registry"]
