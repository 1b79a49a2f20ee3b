"""The command `keras-mtl`."""
