"""Layers that turn a task's features into its output, with their losses.

A default `Task` makes the head of its kind; any of these can be given as the
`head` of a task too. Each file holds one head, the losses and metrics that
belong to it, and how its output is read. Outputs are float32 whatever the
policy is.
"""

from keras_mtl.heads.base import Head
from keras_mtl.heads.depth import DepthHead
from keras_mtl.heads.depth_errors import AbsoluteRelativeError, DeltaAccuracy
from keras_mtl.heads.depth_losses import BerHu, ScaleInvariantLog
from keras_mtl.heads.detection import DetectionHead
from keras_mtl.heads.detection_decoding import DecodeBoxes
from keras_mtl.heads.detection_loss import CenterNetLoss
from keras_mtl.heads.detection_targets import encode_boxes
from keras_mtl.heads.heteroscedastic import (
    GaussianHead,
    GaussianLoss,
    mae_of_mean,
)
from keras_mtl.heads.ordinal import OrdinalHead, OrdinalLoss, rank_error
from keras_mtl.heads.quantile import (
    PinballError,
    QuantileHead,
    QuantileLoss,
    coverage,
)
from keras_mtl.heads.registry import registry
from keras_mtl.heads.segmentation import SegmentationHead
from keras_mtl.heads.sequence import SequenceHead
from keras_mtl.heads.sequence_decoder import SequenceDecoder, decoding_model

__all__ = [
    "AbsoluteRelativeError",
    "BerHu",
    "CenterNetLoss",
    "DecodeBoxes",
    "DeltaAccuracy",
    "DepthHead",
    "DetectionHead",
    "GaussianHead",
    "GaussianLoss",
    "Head",
    "OrdinalHead",
    "OrdinalLoss",
    "PinballError",
    "QuantileHead",
    "QuantileLoss",
    "ScaleInvariantLog",
    "SegmentationHead",
    "SequenceDecoder",
    "SequenceHead",
    "coverage",
    "decoding_model",
    "encode_boxes",
    "mae_of_mean",
    "rank_error",
    "registry",
]
