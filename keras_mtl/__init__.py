"""keras_mtl."""
