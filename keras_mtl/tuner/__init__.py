"""Search for how tasks are best shared, balanced and optimized."""

from keras_mtl.tuner.finish import SearchResult
from keras_mtl.tuner.hypermodel import MultiTaskHyperModel
from keras_mtl.tuner.join import join
from keras_mtl.tuner.pareto import knee, pareto_front, preferred
from keras_mtl.tuner.search import Progress, resume, tune
from keras_mtl.tuner.sharing_space import sharing_search

__all__ = [
    "MultiTaskHyperModel",
    "Progress",
    "SearchResult",
    "join",
    "knee",
    "pareto_front",
    "preferred",
    "resume",
    "sharing_search",
    "tune",
]
