"""Models as TF Serving wants them: written, checked, started and asked."""

from keras_mtl.serving.check import CheckReport, SignatureReport, check
from keras_mtl.serving.client import Client
from keras_mtl.serving.commands import next_commands
from keras_mtl.serving.configs import label_version, write_configs
from keras_mtl.serving.export import export
from keras_mtl.serving.server import Server

__all__ = [
    "CheckReport",
    "Client",
    "Server",
    "SignatureReport",
    "check",
    "export",
    "label_version",
    "next_commands",
    "write_configs",
]
