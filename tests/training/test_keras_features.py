"""Keras's training features keep their meaning under every kind of balancer.

On which graphs gradients are those of Keras is in `test_equals_keras`; here
steps run eagerly on one small graph. What needs `tf.function` is in
`test_graph_modes`.
"""

import csv
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import MultiTaskModel, Task, balancers
from keras_mtl.balancers.base import GradientBalancer
from tests.training import models
from tests.training.balancers import Ones, SumOfRows

LOSSES = {"zoo": "sparse_categorical_crossentropy", "age": "mse"}
METHODS = {
    "uncertainty": lambda: balancers.get("uncertainty"),
    "mgda": lambda: balancers.get("mgda", wrt="variables"),
    "mgda_features": lambda: balancers.get("mgda", wrt="features"),
    "graddrop": lambda: balancers.get("graddrop", seed=1),
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


@pytest.fixture
def policy():
    """Sets a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def compiled(optimizer="sgd", balancer=None, **options):
    model = models.model(**options)
    model.compile(optimizer, balancer=balancer, run_eagerly=True)
    return model


def values(variables):
    return [np.array(v) for v in variables]


def assert_same(variables, expected, rtol=0.0, atol=0.0):
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(
            np.array(variable), value, rtol=rtol, atol=atol
        )


# ---------------------------------------------------------------- optimizers

OPTIMIZERS = {
    "clipnorm": lambda: keras.optimizers.SGD(0.5, clipnorm=0.1),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.5, global_clipnorm=0.1),
    "clipvalue": lambda: keras.optimizers.Adam(0.1, clipvalue=0.01),
    "accumulation": lambda: keras.optimizers.Adam(
        0.1, gradient_accumulation_steps=2
    ),
    "ema": lambda: keras.optimizers.SGD(
        0.5, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "weight_decay": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.1), initial_scale=2.0**10
    ),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    ),
    "amsgrad": lambda: keras.optimizers.Adam(0.1, amsgrad=True),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_do_as_in_keras(make):
    x, y = models.data()
    plain = models.model(cls=keras.Model)
    plain.compile(make(), loss=LOSSES, run_eagerly=True)
    start, states = values(plain.variables), []
    for _ in range(3):
        plain.train_on_batch(x, y)
        states.append(values(plain.trainable_variables))
    model = MultiTaskModel(plain.input, plain.output, tasks=models.tasks())
    for balancer in (Ones(), Ones(wrt="features"), SumOfRows()):
        for variable, value in zip(plain.variables, start, strict=True):
            variable.assign(value)
        model.compile(make(), balancer=balancer, run_eagerly=True)
        for state in states:
            model.train_on_batch(x, y)
            assert_same(plain.trainable_variables, state, 1e-5, 1e-6)


def test_a_step_is_sgd_by_hand():
    x, y = models.data()
    model = compiled(
        keras.optimizers.SGD(0.1), Ones(), regularizer="l2", batch_norm=True
    )
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        zoo = keras.losses.sparse_categorical_crossentropy(
            y["zoo"], outputs["zoo"]
        )
        age = (outputs["age"][:, 0] - y["age"]) ** 2
        # The L2 regularizer of Keras is 0.01 Σ w².
        kernel = model.get_layer("trunk").kernel
        penalty = 0.01 * tf.reduce_sum(tf.convert_to_tensor(kernel) ** 2)
        total = tf.reduce_mean(zoo) + tf.reduce_mean(age) + penalty
    gradients = tape.gradient(total, variables)
    expected = [
        np.array(v) - 0.1 * np.array(g)
        for v, g in zip(variables, gradients, strict=True)
    ]
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(float(total), rel=1e-6)
    assert_same(variables, expected, rtol=1e-5, atol=1e-6)


@every_method
def test_loss_terms_of_layers_are_counted_once(make):
    """With labels that give no gradient, only the added terms are left."""

    class Added(layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.sum(x))
            return x

    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    h = Added()(layers.Dense(2, name="trunk", use_bias=False)(x))
    heads = {
        key: Added()(layers.Dense(1, name=key, use_bias=False)(h))
        for key in ("a", "b")
    }
    model = MultiTaskModel(x, heads)
    zero = lambda y_true, y_pred: 0.0 * (y_true - y_pred)  # noqa: E731
    model.compile(
        keras.optimizers.SGD(1.0), loss=zero, balancer=make(), run_eagerly=True
    )
    inputs = np.array([[1.0, 2.0, 3.0]], "float32")
    trunk, a, b = (
        np.array(model.get_layer(name).kernel) for name in ("trunk", "a", "b")
    )
    labels = {"a": np.zeros((1, 1)), "b": np.zeros((1, 1))}
    logs = model.train_on_batch(inputs, labels, return_dict=True)
    hidden = inputs @ trunk
    total = hidden.sum() + (hidden @ a).sum() + (hidden @ b).sum()
    offset = logs["loss"] - total
    assert offset == pytest.approx(0, abs=1e-5)
    # d total / d hidden = 1 + a + b
    assert_same(
        [model.get_layer(n).kernel for n in ("trunk", "a", "b")],
        [trunk - inputs.T @ (1 + a + b).T, a - hidden.T, b - hidden.T],
        atol=1e-5,
    )


# ---------------------------------------------------------- mixed precision


@every_method
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_as_float32(policy, make, dtype):
    x, y = models.data()
    found = []
    for name in ("float32", dtype):
        policy(name)
        model = models.model(batch_norm=True)
        model.compile(
            keras.optimizers.SGD(0.1), balancer=make(), run_eagerly=True
        )
        before = values(model.trainable_variables)
        logs = model.train_on_batch(x, y, return_dict=True)
        found.append(
            [
                np.array(v) - old
                for v, old in zip(
                    model.trainable_variables, before, strict=True
                )
            ]
        )
        assert all(v.dtype == "float32" for v in model.trainable_variables)
        assert all(math.isfinite(value) for value in logs.values())
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (dtype == "mixed_float16")
    if "graddrop" in model.balancer.name:
        return  # which rows it drops turns on the last digit of a sign
    length = np.sqrt(sum(np.sum(step**2) for step in found[0]))
    for low, full in zip(*reversed(found), strict=True):
        np.testing.assert_allclose(low, full, atol=0.05 * length)


STATEFUL = {
    **METHODS,
    "average": lambda: balancers.get("dynamic_weight_average"),
    "gradnorm": lambda: balancers.get("gradnorm"),
    "every_2": lambda: balancers.get("mgda", update_every=2),
    "pcgrad": lambda: balancers.get("pcgrad", seed=1),
    "cagrad": lambda: balancers.get("cagrad"),
    "imtlg": lambda: balancers.get("imtlg"),
}


@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)
def test_a_step_that_overflows_is_skipped(policy, make):
    policy("mixed_float16")
    x, y = models.data()
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.1), initial_scale=2.0**40
    )
    model = compiled(optimizer, make())
    before = values(model.trainable_variables)
    model.train_on_batch(x, y)
    assert_same(model.trainable_variables, before)
    assert float(optimizer.dynamic_scale) == 2.0**39
    assert np.all(np.array(optimizer.inner_optimizer.iterations) == 0)
    for state in model.balancer.variables:
        assert np.all(np.isfinite(np.array(state))), state.path
    optimizer.dynamic_scale.assign(2.0**8)
    for _ in range(2):
        logs = model.train_on_batch(x, y, return_dict=True)
    if isinstance(model.balancer, balancers.CoordinateBalancer):
        del logs["min_cosine"]  # not computed in every step
    assert all(math.isfinite(value) for value in logs.values())
    after = values(model.trainable_variables)
    assert all(np.all(np.isfinite(value)) for value in after)
    assert any(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("wrt", ["variables", "features"])
@pytest.mark.parametrize("cls", [Ones, SumOfRows])
def test_an_overflow_in_the_trunk_alone_is_skipped(policy, cls, wrt):
    policy("mixed_float16")
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    h = layers.Dense(2, name="trunk", kernel_initializer="zeros")(x)
    heads = {key: layers.Dense(1, name=key, dtype="float32")(h) for key in "ab"}
    model = MultiTaskModel(x, heads)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**12
    )
    model.compile(
        optimizer, loss="mae", balancer=cls(wrt=wrt), run_eagerly=True
    )
    before = values(model.trainable_variables)
    # Gradients at the features are about 2^12; times 10^4 is past float16.
    inputs = np.full((4, 2), 1e4, "float32")
    labels = dict.fromkeys("ab", np.ones(4, "float32"))
    model.train_on_batch(inputs, labels)
    assert_same(model.trainable_variables, before)
    assert float(optimizer.dynamic_scale) == 2.0**11


# --------------------------------------------------------------- layers


@every_method
def test_a_frozen_trunk_layer_stays_as_it_is(make):
    x, y = models.data()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    frozen = layers.Dense(4, name="frozen")
    norm = layers.BatchNormalization(name="norm")
    h = layers.Dense(4, name="trunk")(norm(frozen(inputs)))
    frozen.trainable = norm.trainable = False
    model = MultiTaskModel(
        inputs,
        {
            "zoo": layers.Dense(3, activation="softmax")(h),
            "age": layers.Dense(1)(h),
        },
        tasks=models.tasks(),
    )
    model.compile(
        keras.optimizers.AdamW(0.1, weight_decay=0.1),
        balancer=make(),
        run_eagerly=True,
    )
    held = values([*frozen.variables, *norm.variables])
    moving = values(model.get_layer("trunk").variables)
    model.fit(x, y, epochs=2, verbose=0)
    assert_same([*frozen.variables, *norm.variables], held)
    for variable, old in zip(
        model.get_layer("trunk").variables, moving, strict=True
    ):
        assert np.all(np.array(variable) != old)


@every_method
def test_statistics_and_random_state_move_once_a_step(make):
    x, y = models.data()
    model = compiled("sgd", make(), batch_norm=True, dropout=0.5)
    trunk, norm = model.get_layer("trunk"), model.get_layer("norm")
    mean = np.mean(np.array(trunk(x)), axis=0)
    dropout = next(v for v in model.layers if isinstance(v, layers.Dropout))
    state = dropout.seed_generator.state
    before = np.array(state)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(
        np.array(norm.moving_mean), 0.01 * mean, atol=1e-6
    )
    once = layers.Dropout(0.5, seed=7)
    once(x, training=True)
    np.testing.assert_array_equal(
        np.array(state) - before,
        np.array(once.seed_generator.state) - before,
    )


class Spy(GradientBalancer):
    """Keeps what it is given; runs eagerly."""

    def task_weights(self, gram, losses, present):
        self.seen = np.array(gram), np.array(losses)
        return keras.ops.ones_like(losses)


def test_loss_weights_come_before_the_balancer():
    x, y = models.data()
    seen = []
    for weights in (None, {"age": 3.0, "zoo": 0.5}):
        model = models.model()
        spy = Spy()
        model.compile(
            "sgd", loss_weights=weights, balancer=spy, run_eagerly=True
        )
        model.train_on_batch(x, y)
        seen.append(spy.seen)
    (gram, losses), (weighted_gram, weighted_losses) = seen
    factors = np.array([0.5, 3.0])  # in the order of the tasks: zoo, age
    np.testing.assert_allclose(weighted_losses, factors * losses, rtol=1e-6)
    np.testing.assert_allclose(
        weighted_gram, np.outer(factors, factors) * gram, rtol=1e-5, atol=1e-6
    )


def test_class_weight_is_refused_as_in_keras():
    x, y = models.data()
    with pytest.raises(ValueError, match="`class_weight` is only supported"):
        compiled().fit(x, y, class_weight={0: 1.0, 1: 2.0, 2: 1.0})


# --------------------------------------------------------------- callbacks


@every_method
def test_callbacks(make, tmp_path):
    x, y = models.data()
    model = compiled(keras.optimizers.Adam(0.01), make())
    saved = tmp_path / "best.keras"
    history = model.fit(
        x,
        y,
        validation_data=(x, y),
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                saved, monitor="val_age_loss", mode="min", save_best_only=True
            ),
            keras.callbacks.ReduceLROnPlateau(
                "val_loss", factor=0.5, patience=1, min_delta=1e9
            ),
            keras.callbacks.EarlyStopping(
                "val_zoo_accuracy",
                mode="max",
                patience=9,
                restore_best_weights=True,
            ),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.TensorBoard(tmp_path / "tb", histogram_freq=1),
            keras.callbacks.TerminateOnNaN(),
        ],
    ).history
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.005])
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["age_loss"]) for row in rows] == pytest.approx(
        history["age_loss"]
    )
    assert list((tmp_path / "tb" / "train").iterdir())
    best = keras.saving.load_model(saved)
    assert type(best.balancer) is type(model.balancer)
    logs = best.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["age_loss"] == pytest.approx(
        min(history["val_age_loss"]), rel=1e-5
    )


def test_a_reloaded_model_keeps_the_arguments_of_its_losses(tmp_path):
    # Keras itself forgets the `delta` of Huber.
    x, y = models.data()
    model = models.model(with_tasks=False)
    huber = keras.losses.Huber(0.1)
    model.compile("sgd", loss={**LOSSES, "age": huber}, run_eagerly=True)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(
        model.evaluate(x, y, verbose=0)
    )


def test_metric_objects_of_tasks():
    x, y = models.data()
    tasks = [
        Task(
            "zoo",
            "multiclass",
            units=3,
            metrics=[
                keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
            ],
        ),
        Task("age", "regression", metrics=[keras.metrics.R2Score(name="r2")]),
    ]
    model = MultiTaskModel(*models.graph(), tasks=tasks)
    model.compile("sgd", run_eagerly=True)
    history = model.fit(x, y, epochs=2, verbose=0).history
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"zoo_top2", "age_r2"} <= set(history) & set(logs)
    outputs = model.predict(x, verbose=0)
    error = np.sum((y["age"] - outputs["age"][:, 0]) ** 2)
    spread = np.sum((y["age"] - y["age"].mean()) ** 2)
    assert logs["age_r2"] == pytest.approx(1 - error / spread, rel=1e-5)
