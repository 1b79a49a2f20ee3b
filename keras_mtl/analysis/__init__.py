"""Comparisons of methods, advice on sharing, and reports on them."""

from keras_mtl.analysis.advice import Advice
from keras_mtl.analysis.advise import advise
from keras_mtl.analysis.affinity import affinity
from keras_mtl.analysis.compare import Progress, compare
from keras_mtl.analysis.conflict import conflict_share
from keras_mtl.analysis.cosines import cosines_by_layer, cosines_over_training
from keras_mtl.analysis.dominance import dominance, gradient_norms
from keras_mtl.analysis.grouping import Grouping, group_tasks
from keras_mtl.analysis.look_ahead import Look, LookAhead
from keras_mtl.analysis.plot_sharing import plot_sharing
from keras_mtl.analysis.results import Comparison
from keras_mtl.analysis.transfer import pairwise_transfer
from keras_mtl.analysis.verdict import Verdict, verdict

__all__ = [
    "Advice",
    "Comparison",
    "Grouping",
    "Look",
    "LookAhead",
    "Progress",
    "Verdict",
    "advise",
    "affinity",
    "compare",
    "conflict_share",
    "cosines_by_layer",
    "cosines_over_training",
    "dominance",
    "gradient_norms",
    "group_tasks",
    "pairwise_transfer",
    "plot_sharing",
    "verdict",
]
