"""Inputs in a dict are matched by name, and those that are not there."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import MultiTaskModel, Task
from keras_mtl.data import Mixture

DRAW = np.random.default_rng(0)
TEXT, IMAGE = DRAW.normal(size=(2, 24, 3)).astype("float32")
TASKS = [Task("a", "regression"), Task("b", "regression")]
SOURCES = {
    "texts": ({"text": TEXT}, {"a": TEXT.sum(axis=1)}),
    "images": ({"image": IMAGE}, {"b": IMAGE.max(axis=1)}),
}


def branch(name):
    x = keras.Input((3,), name=name)
    return x, layers.Dense(4, activation="tanh", name=f"{name}_branch")(x)


def two_branches():
    """Each task reads an input of its own."""
    keras.utils.set_random_seed(0)
    text, of_text = branch("text")
    image, of_image = branch("image")
    model = MultiTaskModel(
        {"text": text, "image": image},
        {
            "a": layers.Dense(1, name="a")(of_text),
            "b": layers.Dense(1, name="b")(of_image),
        },
        tasks=TASKS,
    )
    model.compile("sgd")
    return model


# Keys before, between and after those of the model.
EXTRA = {"aaa": TEXT + 1, "text": TEXT, "image": IMAGE, "lang": TEXT - 1}
OWN = {"image": IMAGE, "text": TEXT}
Y = {"a": TEXT.sum(axis=1), "b": IMAGE.max(axis=1)}


def test_inputs_of_other_models_are_left_out():
    few, many = two_branches(), two_branches()
    more = tf.data.Dataset.from_tensor_slices((EXTRA, Y)).batch(8)
    few.fit(OWN, Y, batch_size=8, shuffle=False, verbose=0)
    many.fit(more, shuffle=False, verbose=0)
    for a, b in zip(few.weights, many.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, found in many(EXTRA).items():
        np.testing.assert_array_equal(found, few(OWN)[name])


@pytest.mark.slow
def test_whatever_reads_them_inputs_are_matched_by_name():
    few, many = two_branches(), two_branches()
    few.train_on_batch(OWN, Y)
    many.train_on_batch(EXTRA, Y)
    np.testing.assert_allclose(
        few.evaluate(OWN, Y, verbose=0),
        many.evaluate(EXTRA, Y, verbose=0),
        rtol=1e-6,
    )
    for name in "ab":
        np.testing.assert_allclose(
            few.predict(OWN, verbose=0)[name],
            many.predict(EXTRA, verbose=0)[name],
            rtol=1e-6,
        )


def test_an_input_that_is_not_given_is_named():
    with pytest.raises(ValueError, match='Missing data for input "image"'):
        two_branches().fit({"text": TEXT, "aaa": TEXT}, Y, verbose=0)


def test_branches_learn_from_sources_with_their_input_alone():
    mixture = Mixture(SOURCES, TASKS, batch_size=8)
    mixed, apart = two_branches(), two_branches()
    mixed.fit(mixture, epochs=2, verbose=0)
    for epoch in range(2):
        for x, y in mixture.dataset(epoch):
            there = ~np.isnan(y["b"].numpy())
            if there.any():
                image = x["image"].numpy()[there]
                apart.train_on_batch(
                    {"image": image, "text": np.zeros_like(image)},
                    {
                        "b": y["b"].numpy()[there],
                        "a": np.full(len(image), np.nan, "float32"),
                    },
                )
    for name in ("image_branch", "b"):
        for a, b in zip(
            mixed.get_layer(name).weights,
            apart.get_layer(name).weights,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def fused(marked):
    """Both tasks read both branches; absent images may be masked."""
    keras.utils.set_random_seed(0)
    text, of_text = branch("text")
    image, of_image = branch("image")
    inputs = {"text": text, "image": image}
    if marked:
        inputs["image_present"] = keras.Input((1,), name="image_present")
        of_image = layers.Multiply()([of_image, inputs["image_present"]])
    both = layers.Concatenate()([of_text, of_image])
    heads = {name: layers.Dense(1, name=name)(both) for name in "ab"}
    model = MultiTaskModel(inputs, heads, tasks=TASKS)
    model.compile(keras.optimizers.SGD(0.1))
    # A branch that answers to zeros, too.
    model.get_layer("image_branch").bias.assign(np.ones(4))
    return model


def test_masked_by_its_mark_a_missing_input_leaves_no_trace():
    sources = {**SOURCES, "both": (OWN, Y)}
    arguments = {"batch_size": 8, "batches": "single", "mark_missing": True}
    mixture = Mixture(sources, TASKS, **arguments)
    batches = {
        bool(x["image_present"].numpy().all()): (x, y)
        for x, y in mixture.dataset()
    }
    assert set(batches) == {True, False}
    for marked in (True, False):
        model = fused(marked)
        weights = model.get_weights()
        for there, batch in batches.items():
            model.set_weights(weights)
            before = model.get_layer("image_branch").get_weights()
            model.train_on_batch(*batch)
            after = model.get_layer("image_branch").get_weights()
            moved = not all(map(np.array_equal, before, after))
            assert moved == (there or not marked)
