"""Builders by the name of what they share."""

from keras_mtl._registry import Registry

registry = Registry("builder")
