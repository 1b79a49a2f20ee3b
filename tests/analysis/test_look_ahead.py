import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, builders
from keras_mtl.analysis import LookAhead

RATE = 0.1


def linear(tasks="ab", noise=False, **compiled):
    """h = xW, and y_t = h v_t; optionally with noise and batch statistics."""
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(2, use_bias=False, name="shared")(inputs)
    if noise:
        hidden = keras.layers.BatchNormalization()(hidden)
        hidden = keras.layers.Dropout(0.5)(hidden)
    outputs = {
        name: keras.layers.Dense(1, use_bias=False, name=name)(hidden)
        for name in tasks
    }
    model = MultiTaskModel(
        inputs, outputs, tasks=[Task(name, "regression") for name in tasks]
    )
    model.compile(keras.optimizers.SGD(RATE), **compiled)
    return model


def data(tasks="ab", examples=8):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(examples, 3)).astype("float32")
    return x, {
        name: generator.normal(size=examples).astype("float32")
        for name in tasks
    }


def test_a_step_for_each_task_by_hand():
    model = linear(loss_weights={"a": 2.0, "b": 0.5})
    x, y = data()
    look = LookAhead(model)(x, y)
    w, v_a, v_b = (v.numpy() for v in model.trainable_variables)
    heads = {"a": v_a, "b": v_b}

    def loss(w, name):
        return np.mean((x @ w @ heads[name] - y[name][:, None]) ** 2)

    def gradient(name):
        error = x @ w @ heads[name] - y[name][:, None]
        return 2 * x.T @ error @ heads[name].T / len(x)

    gradients = [2.0 * gradient("a"), 0.5 * gradient("b")]
    expected = [[loss(w - RATE * g, name) for name in "ab"] for g in gradients]
    assert look.ahead == pytest.approx(np.array(expected), rel=1e-5)
    assert look.losses == pytest.approx([loss(w, "a"), loss(w, "b")], rel=1e-5)
    assert look.grams.shape == (1, 2, 2)
    assert look.gram == pytest.approx(
        np.array([[np.sum(g * h) for h in gradients] for g in gradients]),
        rel=1e-5,
    )
    assert look.present.all()


def test_the_model_stays_as_it_was_and_every_look_sees_the_same_noise():
    model = linear(noise=True)
    x, y = data()
    look_ahead = LookAhead(model, rate=0.0)
    before = [v.numpy() for v in model.variables]
    look = look_ahead(x, y)
    assert np.array_equal(look.ahead, np.stack([look.losses] * 2))
    for value, variable in zip(before, model.variables, strict=True):
        assert np.array_equal(value, variable.numpy()), variable.path
    assert np.array_equal(look_ahead(x, y).losses, look.losses)


def test_a_task_without_labels_is_told_and_does_nothing():
    model = linear()
    x, y = data()
    y["b"] = np.full_like(y["b"], np.nan)
    look = LookAhead(model)(x, y)
    assert look.present.tolist() == [True, False]
    assert look.ahead[1] == pytest.approx(look.losses)
    assert look.gram[1].tolist() == [0.0, 0.0]


def test_batches_of_other_sizes_and_steps():
    model = linear()
    look_ahead = LookAhead(model)
    x, y = data()
    for size in (8, 5, 3):
        part = x[:size], {k: v[:size] for k, v in y.items()}
        look = look_ahead(*part)
        logs = model.test_on_batch(*part, return_dict=True)
        assert look.losses[0] == pytest.approx(logs["a_loss"], rel=1e-5)
        model.reset_metrics()
        model.train_on_batch(*part)
    assert look.step == 2
    assert look_ahead.layers == ["shared"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LookAhead(keras.Model(*[keras.Input((1,))] * 2)), "compiled"),
        (lambda: LookAhead(linear(), {"a": 1.0}), "`weights` lacks the keys"),
        (lambda: LookAhead(apart()), "must share trainable variables"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def apart():
    model = builders.hard_sharing(
        keras.Input((3,)),
        [Task("a", "binary"), Task("b", "binary")],
        [keras.layers.Dense(2, name="low")],
        depth=0,
    )
    model.compile("sgd")
    return model
