"""Heads by name."""

from keras_mtl._registry import Registry

registry = Registry("head")
