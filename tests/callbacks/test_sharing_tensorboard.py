"""Pictures of sharing: which there are, what stands in them, where they go."""

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_mtl import MultiTaskModel, Task, builders, layers
from keras_mtl.callbacks import SharingTensorBoard, TaskTensorBoard
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


def dense(name):
    keras.utils.set_random_seed(0)
    model = builders.registry[name](
        keras.Input((3,)), TASKS, [keras.layers.Dense(4, name="low")]
    )
    model.compile("sgd")
    return model


ROWS = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


def images(folder):
    """Steps and files of each picture, by tag; of all files of events."""
    found = {}
    for file in folder.glob("events*"):
        events = EventAccumulator(str(file), size_guidance={"tensors": 0})
        events.Reload()
        for tag in events.Tags()["tensors"]:
            for event in events.Tensors(tag):
                strings = event.tensor_proto.string_val
                found.setdefault(tag, []).append((event.step, strings))
    return found


def epoch_of(model, *callbacks):
    """What `fit` calls in an epoch, without the training."""
    for callback in callbacks:
        callback.set_model(model)
    for callback in callbacks:
        callback.on_train_begin()
    for callback in callbacks:
        callback.on_epoch_begin(0)
    for callback in callbacks:
        callback.on_epoch_end(0)


def test_either_callback_draws_after_each_epoch_and_both_draw_once(tmp_path):
    alone, within = tmp_path / "alone", tmp_path / "within"
    first, last = tmp_path / "first", tmp_path / "last"
    model = dense("cross_stitch")
    model.run_eagerly = True
    model.fit(
        ROWS,
        Y,
        epochs=2,
        verbose=0,
        callbacks=[
            SharingTensorBoard(alone),
            TaskTensorBoard(within),
            *(SharingTensorBoard(first, ROWS), TaskTensorBoard(first)),
            *(TaskTensorBoard(last), SharingTensorBoard(last, ROWS)),
        ],
    )
    for folder in (alone, within, first, last):
        found = images(folder / "sharing")
        assert list(found) == ["low_stitch"], folder.name
        assert [step for step, _ in found["low_stitch"]] == [0, 1], folder.name
    _, (width, height, png) = found["low_stitch"][0]
    assert int(width) > 200 and int(height) > 100
    assert png.startswith(b"\x89PNG")
    assert {path.name for path in within.iterdir()} == {"train", "sharing"}
    assert {path.name for path in alone.iterdir()} == {"sharing"}


@pytest.mark.parametrize("stops", [False, True])
def test_one_for_all_draws_ever_less_often_and_at_the_end(stops, tmp_path):
    model = dense("cross_stitch")
    callback = TaskTensorBoard(tmp_path)
    callback.set_model(model)
    callback.set_params({"epochs": 12 if stops else 7})
    callback.on_train_begin()
    for epoch in range(7):
        model.stop_training = stops and epoch == 6
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    (found,) = images(tmp_path / "sharing").values()
    assert [step for step, _ in found] == [0, 1, 3, 6]


def test_what_was_drawn_is_there_before_the_training_ends(tmp_path):
    callback = SharingTensorBoard(tmp_path)
    epoch_of(dense("cross_stitch"), callback)
    assert list(images(tmp_path / "sharing")) == ["low_stitch"]
    callback.on_train_end()


def test_a_training_that_broke_off_keeps_no_other_from_drawing(tmp_path):
    model = dense("cross_stitch")
    for callbacks, steps in (
        ([SharingTensorBoard(tmp_path), TaskTensorBoard(tmp_path)], 1),
        ([TaskTensorBoard(tmp_path)], 2),
    ):
        epoch_of(model, *callbacks)  # and no `on_train_end`
        assert len(images(tmp_path / "sharing")["low_stitch"]) == steps


def test_gates_are_drawn_on_what_inputs_there_are(tmp_path):
    model = dense("mmoe")
    for name, seen in (
        ("batch", {"batch": (ROWS, Y)}),
        ("inputs", {"x": ROWS}),
        ("without", {}),
    ):
        callback = TaskTensorBoard(tmp_path / name, **seen)
        epoch_of(model, callback)
        callback.on_train_end()
    for name in ("batch", "inputs"):
        assert list(images(tmp_path / name / "sharing")) == ["gate"]
    assert not (tmp_path / "without" / "sharing").exists()


def test_inputs_by_name_may_be_more_than_the_model_reads():
    inputs = keras.Input((3,), name="b")
    hidden = keras.layers.Dense(4)(inputs) * layers.SoftmaxGate(4, name="gate")(
        inputs
    )
    model = MultiTaskModel(
        {"b": inputs},
        {task.name: task.make_head(task.name)(hidden) for task in TASKS},
        tasks=TASKS,
    )
    alone = sharing_pictures(model, {"b": ROWS})["gate"]
    among = sharing_pictures(model, {"a": ROWS[:, :1], "b": ROWS})["gate"]
    assert texts(among) == texts(alone)


def test_a_plain_trunk_has_no_pictures(tmp_path):
    model = dense("hard_sharing")
    for kind in (SharingTensorBoard, TaskTensorBoard):
        callback = kind(tmp_path)
        epoch_of(model, callback)
        callback.on_train_end()
    # But for that of its layers, which is not of what they learn.
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coefficients_that_are_not_finite_are_drawn(value, tmp_path):
    model = dense("cross_stitch")
    for layer in model.layers:
        if layer.name.endswith("_stitch"):
            layer.alpha.assign(np.full(layer.alpha.shape, value))
    epoch_of(model, SharingTensorBoard(tmp_path))
    assert list(images(tmp_path / "sharing")) == ["low_stitch"]


class Odd(keras.layers.Layer):
    """Has what looks like that of a layer of branches."""

    probabilities = 0.5

    def call(self, x):
        return x


def test_what_cannot_be_drawn_ends_no_training(tmp_path):
    model = builders.hard_sharing(
        keras.Input((3,)), TASKS, [keras.layers.Dense(4), Odd()]
    )
    model.compile("sgd")
    callback = TaskTensorBoard(tmp_path)
    with pytest.warns(UserWarning, match="cannot draw what is shared") as seen:
        epoch_of(model, callback)
        callback.on_epoch_end(1, {"loss": 2.0})
    assert len(seen) == 1
    callback.on_train_end()
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
