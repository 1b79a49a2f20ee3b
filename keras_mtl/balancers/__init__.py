"""How several tasks share one model: loss weights and gradient methods."""

from keras_mtl.balancers.aggregate import aggregate
from keras_mtl.balancers.aligned_mtl import AlignedMTL
from keras_mtl.balancers.base import (
    Balancer,
    CoordinateBalancer,
    GradientBalancer,
    LossBalancer,
    TrackingBalancer,
    get,
    registry,
    serialize,
)
from keras_mtl.balancers.cagrad import CAGrad
from keras_mtl.balancers.config import ConFIG
from keras_mtl.balancers.cosmos import COSMOS
from keras_mtl.balancers.db_mtl import DBMTL
from keras_mtl.balancers.dualproj import DualProj
from keras_mtl.balancers.dynamic_task_priority import DynamicTaskPriority
from keras_mtl.balancers.dynamic_weight_average import DynamicWeightAverage
from keras_mtl.balancers.excess_mtl import ExcessMTL
from keras_mtl.balancers.fairgrad import FairGrad
from keras_mtl.balancers.famo import FAMO
from keras_mtl.balancers.fixed import Fixed
from keras_mtl.balancers.geometric_mean import GeometricMean
from keras_mtl.balancers.graddrop import GradDrop
from keras_mtl.balancers.gradient_normalization import (
    GradientNormalization,
)
from keras_mtl.balancers.gradnorm import GradNorm
from keras_mtl.balancers.gradvac import GradVac
from keras_mtl.balancers.imtl_loss import IMTLLoss
from keras_mtl.balancers.imtlg import IMTLG
from keras_mtl.balancers.krum import Krum
from keras_mtl.balancers.log_sum import LogSum
from keras_mtl.balancers.mgda import MGDA
from keras_mtl.balancers.moco import MoCo
from keras_mtl.balancers.modo import MoDo
from keras_mtl.balancers.momentum import Momentum
from keras_mtl.balancers.nash_mtl import NashMTL
from keras_mtl.balancers.pbi import PBI
from keras_mtl.balancers.pcgrad import PCGrad
from keras_mtl.balancers.preference_tchebycheff import PreferenceTchebycheff
from keras_mtl.balancers.random_weighting import RandomWeighting
from keras_mtl.balancers.sdmgrad import SDMGrad
from keras_mtl.balancers.smooth_tchebycheff import SmoothTchebycheff
from keras_mtl.balancers.soft_optimal_uncertainty import SoftOptimalUncertainty
from keras_mtl.balancers.task_groups import TaskGroups
from keras_mtl.balancers.trimmed_mean import TrimmedMean
from keras_mtl.balancers.uncertainty import Uncertainty
from keras_mtl.balancers.upgrad import UPGrad

__all__ = [
    "COSMOS",
    "DBMTL",
    "FAMO",
    "IMTLG",
    "MGDA",
    "PBI",
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "ConFIG",
    "CoordinateBalancer",
    "DualProj",
    "DynamicTaskPriority",
    "DynamicWeightAverage",
    "ExcessMTL",
    "FairGrad",
    "Fixed",
    "GeometricMean",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "GradientNormalization",
    "IMTLLoss",
    "Krum",
    "LogSum",
    "LossBalancer",
    "MoCo",
    "MoDo",
    "Momentum",
    "NashMTL",
    "PCGrad",
    "PreferenceTchebycheff",
    "RandomWeighting",
    "SDMGrad",
    "SmoothTchebycheff",
    "SoftOptimalUncertainty",
    "TaskGroups",
    "TrackingBalancer",
    "TrimmedMean",
    "UPGrad",
    "Uncertainty",
    "aggregate",
    "get",
    "registry",
    "serialize",
]
