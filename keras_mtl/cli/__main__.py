"""`python -m keras_mtl.cli` is `keras-mtl`."""

from keras_mtl.cli.app import main

main()
