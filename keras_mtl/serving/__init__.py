"""Models as TF Serving wants them: written, checked, and how to start them."""

from keras_mtl.serving.check import CheckReport, SignatureReport, check
from keras_mtl.serving.commands import next_commands
from keras_mtl.serving.configs import write_configs
from keras_mtl.serving.export import export

__all__ = [
    "CheckReport",
    "SignatureReport",
    "check",
    "export",
    "next_commands",
    "write_configs",
]
