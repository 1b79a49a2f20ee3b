"""Which variables and which tensors of a model its tasks share."""

from keras_mtl.graph.partition import Partition, partition, readers_of
from keras_mtl.graph.unroll import Step, UnrolledGraph, unroll

__all__ = [
    "Partition",
    "Step",
    "UnrolledGraph",
    "partition",
    "readers_of",
    "unroll",
]
