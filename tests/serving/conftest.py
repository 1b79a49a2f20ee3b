import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf


def two_tasks(width=5, seed=0):
    """One input, two heads of different shapes."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(width, activation="relu", name="trunk")(x)
    return keras.Model(
        x,
        {
            "left": keras.layers.Dense(3, activation="softmax", name="left_h")(
                h
            ),
            "right": keras.layers.Dense(1, name="right_h")(h),
        },
    )


@pytest.fixture(scope="session", name="two_tasks")
def two_tasks_fixture():
    return two_tasks


@pytest.fixture
def model():
    return two_tasks()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """`two_tasks`, its version directory; not to be changed."""
    from keras_mtl.serving import export

    model = two_tasks()
    return model, export(model, tmp_path_factory.mktemp("saved") / "two")


@pytest.fixture
def rows():
    return np.random.default_rng(1).normal(size=(6, 4)).astype("float32")


@pytest.fixture(scope="session")
def text_model():
    """Raw strings in; the preprocessing is a part of the model."""
    keras.utils.set_random_seed(0)
    text = keras.Input((), dtype="string", name="text")
    words = keras.layers.TextVectorization(output_sequence_length=4)
    words.adapt(["a b", "c"])
    h = keras.layers.Embedding(words.vocabulary_size(), 3)(words(text))
    h = keras.layers.GlobalAveragePooling1D()(h)
    return keras.Model(text, {"tone": keras.layers.Dense(1)(h)})


def echo_model(folder):
    """A SavedModel of two inputs that gives them back, strings too."""
    module = tf.Module()

    @tf.function(
        input_signature=[
            {
                "text": tf.TensorSpec((None,), tf.string, name="text"),
                "count": tf.TensorSpec((None, 2), tf.int32, name="count"),
            }
        ]
    )
    def echo(inputs):
        return {
            "text": tf.identity(inputs["text"]),
            "text_bytes": tf.identity(inputs["text"]),
            "count": inputs["count"] + 1,
        }

    tf.saved_model.save(module, str(folder), {"serving_default": echo})


def slow_model(folder):
    """A SavedModel that counts to its input."""
    module = tf.Module()

    @tf.function(
        input_signature=[tf.TensorSpec((None,), tf.int64, name="steps")]
    )
    def count(steps):
        i = tf.constant(0, tf.int64)
        while i < steps[0]:
            i += 1
        return {"done": steps - steps + i}

    tf.saved_model.save(module, str(folder), {"serving_default": count})


@pytest.fixture(scope="session")
def serve():
    """Starts servers on free ports and stops them after all tests."""
    from keras_mtl.serving import Server, stubs

    with contextlib.ExitStack() as stack:

        def start(path, **options):
            grpc_port = 0 if stubs.available() else None
            return stack.enter_context(
                Server(path, port=0, grpc_port=grpc_port, **options)
            )

        yield start


@pytest.fixture(scope="session")
def served(exported, serve):
    """The server of `exported`."""
    return serve(exported[1])


@pytest.fixture(scope="session")
def echo(serve, tmp_path_factory):
    """The server of `echo_model`."""
    folder = tmp_path_factory.mktemp("saved") / "echo" / "3"
    echo_model(folder)
    return serve(folder.parent, timeout=5, max_bytes=10_000)


@pytest.fixture(scope="session")
def slow(serve, tmp_path_factory):
    """The server of `slow_model`, with a short limit."""
    folder = tmp_path_factory.mktemp("saved") / "slow"
    slow_model(folder)
    return serve(folder, timeout=0.3)


@pytest.fixture(params=["http", "grpc"])
def address_of(request):
    """The address of a server in one of the APIs."""

    def address_of(server):
        if request.param == "http":
            return server.rest_address
        if server.grpc_address is None:
            pytest.skip("needs tensorflow-serving-api")
        return server.grpc_address

    return address_of
