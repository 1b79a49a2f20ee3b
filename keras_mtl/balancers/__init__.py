"""How several tasks share one model: loss weights and gradient methods."""

from keras_mtl.balancers.aggregate import aggregate
from keras_mtl.balancers.base import (
    Balancer,
    CoordinateBalancer,
    GradientBalancer,
    LossBalancer,
    get,
    registry,
    serialize,
)
from keras_mtl.balancers.cagrad import CAGrad
from keras_mtl.balancers.dynamic_weight_average import DynamicWeightAverage
from keras_mtl.balancers.fixed import Fixed
from keras_mtl.balancers.graddrop import GradDrop
from keras_mtl.balancers.gradnorm import GradNorm
from keras_mtl.balancers.imtlg import IMTLG
from keras_mtl.balancers.mgda import MGDA
from keras_mtl.balancers.pcgrad import PCGrad
from keras_mtl.balancers.uncertainty import Uncertainty

__all__ = [
    "IMTLG",
    "MGDA",
    "Balancer",
    "CAGrad",
    "CoordinateBalancer",
    "DynamicWeightAverage",
    "Fixed",
    "GradDrop",
    "GradNorm",
    "GradientBalancer",
    "LossBalancer",
    "PCGrad",
    "Uncertainty",
    "aggregate",
    "get",
    "registry",
    "serialize",
]
