import keras
import numpy as np
import pytest


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
