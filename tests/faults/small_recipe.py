"""A recipe that is read, and damaged, but never trained."""

import keras_mtl


def load(source, data_dir):
    return None


def build(hp, tasks):
    return None


recipe = keras_mtl.Recipe(
    name="small",
    tasks=[
        keras_mtl.Task("a", "regression"),
        keras_mtl.Task("b", "multiclass", units=3),
    ],
    load=load,
    build=build,
    sources=("one", "two"),
    epochs=2,
    batch_size=4,
    balancers=("fixed", "mgda"),
    description="Small.",
)
