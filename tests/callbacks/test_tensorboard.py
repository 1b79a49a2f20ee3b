import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.util import tensor_util

from keras_mtl import MultiTaskModel, Task, builders, layers
from keras_mtl.callbacks import TaskTensorBoard
from keras_mtl.callbacks.tensorboard import scalar_tag


class Model:
    tasks = ("age", "age_group")


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [
            (e.step, float(tensor_util.make_ndarray(e.tensor_proto)))
            for e in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
        if tag not in ("sharing", "gradient cosines")  # pictures
    }


def test_scalars_are_grouped_and_split_into_runs(tmp_path):
    callback = TaskTensorBoard(tmp_path)
    callback.set_model(Model())
    for epoch in range(2):
        callback.on_epoch_end(
            epoch, {"age_loss": 2.0 - epoch, "loss": 3.0, "val_age_loss": 4.0}
        )
    callback.on_train_end()
    assert read(tmp_path / "train") == {
        "loss/age": [(0, 2.0), (1, 1.0)],
        "all tasks/loss": [(0, 3.0), (1, 3.0)],
    }
    assert read(tmp_path / "validation") == {"loss/age": [(0, 4.0), (1, 4.0)]}


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("age_mean_error", "mean_error/age"),
        ("age_group_loss", "loss/age_group"),
        ("min_cosine", "all tasks/min_cosine"),
    ],
)
def test_the_longest_task_name_counts(key, tag):
    assert scalar_tag(key, Model.tasks) == tag


def shared_model(gated=False, **compiled):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="tanh", name="low")(inputs)
    if gated:
        hidden = hidden * layers.SoftmaxGate(4, name="gate")(inputs)
    tasks = [Task("age", "regression"), Task("job", "binary")]
    model = MultiTaskModel(
        inputs,
        {task.name: task.make_head(task.name)(hidden) for task in tasks},
        tasks=tasks,
    )
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    return model


def data(examples=48):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(examples, 3)).astype("float32")
    return x, {"age": x[:, 0], "job": (x[:, 1] > 0).astype("float32")}


def test_points_by_step_are_means_of_the_steps_between(tmp_path):
    model = shared_model(balancer="mgda", schedule="round_robin")
    seen = []
    step = model.train_step

    def watched(batch):
        logs = step(batch)
        seen.append({k: float(v) for k, v in logs.items()})
        return logs

    model.train_step = watched
    model.run_eagerly = True
    callback = TaskTensorBoard(tmp_path, every=2)
    x, y = data()
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
    found = read(tmp_path / "train")
    # Six steps: points before the third and the fifth.
    points = dict(found["loss by step/age"])
    assert list(points) == [2, 4]
    assert points[2] == pytest.approx(seen[1]["age_loss"], rel=1e-5)
    # Logs are means since the epoch began: (4 m₄ - 2 m₂) / 2.
    expected = 2 * seen[3]["age_loss"] - seen[1]["age_loss"]
    assert points[4] == pytest.approx(expected, rel=1e-4)
    assert found["all tasks by step/learning_rate"] == [
        (2, pytest.approx(0.1)),
        (4, pytest.approx(0.1)),
    ]
    assert {f"schedule by step/{t}" for t in ("age", "job")} < set(found)
    assert "weight by step/age" in found
    # One task a step: no two gradients were compared.
    assert "all tasks by step/min_cosine" not in found


def test_nothing_is_traced_anew_and_the_training_is_the_same(tmp_path):
    x, y = data()
    results = []
    for callbacks in ([], [TaskTensorBoard(tmp_path, 2, (x[:8], first(y, 8)))]):
        keras.utils.set_random_seed(0)
        model = shared_model(gated=True, balancer="pcgrad")
        traced = []
        step = model.train_step
        model.train_step = lambda batch, step=step, traced=traced: (
            traced.append(1) or step(batch)
        )
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
        results.append((len(traced), [v.numpy() for v in model.variables]))
    assert results[0][0] == results[1][0]
    for alone, watched in zip(*(r[1] for r in results), strict=True):
        assert np.array_equal(alone, watched)
    assert "all tasks by step/min_cosine" in read(tmp_path / "train")
    # Gradients and gates were looked at meanwhile.
    assert {path.name for path in tmp_path.iterdir()} == {"train", "sharing"}


def test_variables_of_several_devices_are_read(tmp_path):
    # One device will do: they are of the same kind.
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = shared_model(schedule="round_robin")
        model.optimizer.build(model.trainable_variables)
    callback = TaskTensorBoard(tmp_path, every=1)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    model.optimizer.iterations.assign(7)
    callback.on_train_batch_begin(1)
    callback.on_train_end()
    found = read(tmp_path / "train")
    rate = found["all tasks by step/learning_rate"]
    assert rate == [(7, pytest.approx(0.1))]
    # The second task's turn, after steps that began with the first's.
    assert found["schedule by step/age"] == [(7, 0.0)]
    assert found["schedule by step/job"] == [(7, 1.0)]


def first(y, count):
    return {name: values[:count] for name, values in y.items()}


def test_gradients_on_a_batch(tmp_path):
    model = shared_model(loss_weights={"age": 3.0, "job": 1.0})
    x, y = data()
    batch = x[:8], first(y, 8)
    model.fit(
        x,
        y,
        epochs=2,
        verbose=0,
        callbacks=[TaskTensorBoard(tmp_path, every=None, batch=batch)],
    )
    events = EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    images = events.Tensors("gradient cosines")
    assert [image.step for image in images] == [0, 1]
    assert images[0].tensor_proto.string_val[2].startswith(b"\x89PNG")
    lengths, cosines = by_hand(model, *batch)
    found = {
        tag: float(
            tensor_util.make_ndarray(events.Tensors(tag)[1].tensor_proto)
        )
        for tag in events.Tags()["tensors"]
        if tag not in ("gradient cosines", "sharing")
    }
    assert found["gradient length/age"] == pytest.approx(
        3 * lengths[0], rel=1e-4
    )
    assert found["gradient length/job"] == pytest.approx(lengths[1], rel=1e-4)
    assert found["gradient cosine/age and job"] == pytest.approx(
        cosines, abs=1e-4
    )
    assert found["all tasks/conflict share"] == float(cosines < 0)
    assert not any("by step" in tag for tag in found)


def by_hand(model, x, y):
    """Lengths and cosine from a tape, over the shared layer."""
    low = model.get_layer("low").trainable_variables
    rows = []
    for name, loss in (
        ("age", keras.losses.MeanSquaredError()),
        ("job", keras.losses.BinaryCrossentropy()),
    ):
        with tf.GradientTape() as tape:
            value = loss(y[name][:, None], model(x)[name])
        rows.append(
            np.concatenate(
                [g.numpy().ravel() for g in tape.gradient(value, low)]
            )
        )
    lengths = [np.linalg.norm(row) for row in rows]
    return lengths, rows[0] @ rows[1] / np.prod(lengths)


def test_who_shares_what_is_drawn_once_as_training_begins(tmp_path):
    model = shared_model()
    callback = TaskTensorBoard(tmp_path)
    callback.set_model(model)
    for _ in range(2):  # two fits
        callback.on_train_begin()
        callback.on_train_end()
    (event,) = (
        EventAccumulator(str(tmp_path / "train")).Reload().Tensors("sharing")
    )
    width, height, png = event.tensor_proto.string_val
    assert event.step == 0
    assert int(width) > 400 and int(height) > 300
    assert png.startswith(b"\x89PNG")


def test_one_task_shares_with_nobody(tmp_path):
    task = Task("age", "regression")
    model = builders.hard_sharing(
        keras.Input((3,)), [task], [keras.layers.Dense(2, name="low")]
    )
    model.compile("sgd")
    callback = TaskTensorBoard(tmp_path)
    callback.set_model(model)
    callback.on_train_begin()
    assert not list(tmp_path.iterdir())


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="`every` must be a positive"):
        TaskTensorBoard(tmp_path, every=0)
    model = builders.hard_sharing(
        keras.Input((3,)),
        [Task("age", "regression"), Task("job", "binary")],
        [keras.layers.Dense(2, name="low")],
        depth=0,
    )
    model.compile("sgd")
    x, y = data()
    with pytest.raises(ValueError, match="share variables between"):
        model.fit(x, y, callbacks=[TaskTensorBoard(tmp_path, batch=(x, y))])
