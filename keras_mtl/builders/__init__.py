"""Functional-API builders: towers, a way of sharing, heads."""

from keras_mtl.builders.adashare import adashare, running_probabilities
from keras_mtl.builders.aitm import aitm
from keras_mtl.builders.blocks import cut
from keras_mtl.builders.branching import branching, learned_tree
from keras_mtl.builders.conditioned import conditioned
from keras_mtl.builders.cross_stitch import cross_stitch
from keras_mtl.builders.dselect_k import dselect_k
from keras_mtl.builders.esmm import esmm
from keras_mtl.builders.hard_sharing import hard_sharing
from keras_mtl.builders.hardened import hardened
from keras_mtl.builders.mmoe import mmoe
from keras_mtl.builders.mtan import mtan
from keras_mtl.builders.nddr import nddr
from keras_mtl.builders.ple import ple
from keras_mtl.builders.registry import registry
from keras_mtl.builders.sluice import sluice
from keras_mtl.builders.soft_sharing import soft_sharing

__all__ = [
    "adashare",
    "aitm",
    "branching",
    "conditioned",
    "cross_stitch",
    "cut",
    "dselect_k",
    "esmm",
    "hard_sharing",
    "hardened",
    "learned_tree",
    "mmoe",
    "mtan",
    "nddr",
    "ple",
    "registry",
    "running_probabilities",
    "sluice",
    "soft_sharing",
]
