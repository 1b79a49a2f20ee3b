"""Layers by which towers share: each a building block for any model."""

from keras_mtl.layers.attention_mask import AttentionMask
from keras_mtl.layers.attention_transfer import AttentionTransfer
from keras_mtl.layers.branch_choice import BranchChoice
from keras_mtl.layers.cross_stitch import CrossStitch
from keras_mtl.layers.dselect_k_gate import DSelectKGate
from keras_mtl.layers.experts import Experts
from keras_mtl.layers.film import FiLM
from keras_mtl.layers.layer_mixture import LayerMixture
from keras_mtl.layers.mix_experts import MixExperts
from keras_mtl.layers.nddr import NDDR
from keras_mtl.layers.registry import registry
from keras_mtl.layers.skip_choice import SkipChoice
from keras_mtl.layers.sluice import Sluice
from keras_mtl.layers.softmax_gate import SoftmaxGate
from keras_mtl.layers.stack_experts import StackExperts
from keras_mtl.layers.task_embedding import TaskEmbedding

__all__ = [
    "NDDR",
    "AttentionMask",
    "AttentionTransfer",
    "BranchChoice",
    "CrossStitch",
    "DSelectKGate",
    "Experts",
    "FiLM",
    "LayerMixture",
    "MixExperts",
    "SkipChoice",
    "Sluice",
    "SoftmaxGate",
    "StackExperts",
    "TaskEmbedding",
    "registry",
]
