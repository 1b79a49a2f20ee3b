"""Comparisons of methods, and reports on them."""

from keras_mtl.analysis.compare import Progress, compare
from keras_mtl.analysis.plot_sharing import plot_sharing
from keras_mtl.analysis.results import Comparison
from keras_mtl.analysis.verdict import Verdict, verdict

__all__ = [
    "Comparison",
    "Progress",
    "Verdict",
    "compare",
    "plot_sharing",
    "verdict",
]
