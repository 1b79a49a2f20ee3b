import keras

from keras_mtl import Task, builders
from keras_mtl.training.forward_state import forward_state


def test_what_a_forward_pass_writes_and_nothing_that_is_frozen():
    frozen = keras.layers.Dense(4, name="frozen")
    frozen.trainable = False
    inner = keras.Sequential(
        [frozen, keras.layers.BatchNormalization(name="inner")]
    )
    model = builders.hard_sharing(
        keras.Input((2,)),
        [Task("a", "regression"), Task("b", "regression")],
        [
            inner,
            keras.layers.Dropout(0.1),
            keras.layers.BatchNormalization(name="norm"),
        ],
    )
    # It has variables of its own, which it looks after itself.
    model.compile(
        "sgd", balancer="dynamic_weight_average", schedule="all_tasks"
    )
    assert sorted(v.path for v, _ in forward_state(model)) == sorted(
        [
            "norm/moving_mean",
            "norm/moving_variance",
            f"{inner.name}/inner/moving_mean",
            f"{inner.name}/inner/moving_variance",
        ]
    )
