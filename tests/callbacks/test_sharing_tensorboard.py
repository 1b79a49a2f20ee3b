"""Pictures of sharing: which there are, what stands in them, where they go."""

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_mtl import Task, builders
from keras_mtl.callbacks import SharingTensorBoard
from keras_mtl.callbacks.sharing_tensorboard import sharing_pictures

TASKS = [Task("age", "regression"), Task("age_group", "binary")]
X = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
Y = {"age": np.ones(8, "float32"), "age_group": np.ones(8, int)}


def build(name):
    keras.utils.set_random_seed(0)
    return builders.registry[name](
        keras.Input((8, 8, 3)),
        TASKS,
        [
            keras.layers.Conv2D(4, 3, name="low"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(6, name="high"),
        ],
    )


def texts(figure):
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    return rows, [text.get_text() for text in axes.texts]


def test_coefficients_of_all_tasks_stand_in_one_table():
    pictures = sharing_pictures(build("cross_stitch"))
    assert list(pictures) == ["low_stitch", "pool_stitch", "high_stitch"]
    assert texts(pictures["low_stitch"]) == (
        ["age", "age_group"],
        ["0.90", "0.10", "0.10", "0.90"],
    )


def test_coefficients_of_subspaces_are_not_averaged():
    figure = sharing_pictures(build("sluice"))["low_sluice"]
    rows, numbers = texts(figure)
    assert rows == ["age 0", "age 1", "age_group 0", "age_group 1"]
    # own subspace by tower and subspace: .9 for itself, the rest shared out
    assert numbers[:8] == [
        *("0.90", "0.03", "0.03", "0.03"),
        *("0.03", "0.90", "0.03", "0.03"),
    ]


def test_gates_show_the_mean_weight_of_each_expert():
    model = build("mmoe")
    (figure,) = sharing_pictures(model, X).values()
    rows, numbers = texts(figure)
    assert rows == ["age", "age_group"]
    gate = keras.Model(model.input, model.get_layer("age_gate").output)
    expected = np.array(gate(X)).mean(axis=0)
    assert numbers[:8] == [f"{value:.2f}" for value in expected]
    assert sharing_pictures(model) == {}


def test_masks_of_maps_are_pictures_and_others_tables():
    pictures = sharing_pictures(build("mtan"), X)
    maps = pictures["low_mask"]
    assert len(maps.axes) == 2 * 4 + 1  # tasks × examples, colour bar
    assert maps.axes[0].images[0].get_array().shape == (6, 6)
    assert texts(pictures["high_mask"])[0] == ["age", "age_group"]


@pytest.mark.parametrize("name", ["cross_stitch", "hard_sharing"])
def test_pictures_are_written_after_each_epoch(name, tmp_path):
    model = build(name)
    model.compile("adam")
    model.fit(
        X, Y, epochs=2, callbacks=[SharingTensorBoard(tmp_path)], verbose=0
    )
    if name == "hard_sharing":  # nothing to show, nothing written
        assert not list(tmp_path.iterdir())
        return
    events = EventAccumulator(
        str(tmp_path / "sharing"), size_guidance={"tensors": 0}
    )
    events.Reload()
    assert "low_stitch" in events.Tags()["tensors"]
    images = events.Tensors("low_stitch")
    assert [event.step for event in images] == [0, 1]
    width, height, png = images[0].tensor_proto.string_val[:3]
    assert int(width) > 200 and int(height) > 100
    assert png.startswith(b"\x89PNG")
