"""Methods that want two samples, or a second look at the losses."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.balancers import GradientBalancer, LossBalancer, TrackingBalancer
from keras_mtl.tasks import Task
from keras_mtl.training.losses import (
    even_examples,
    half_loss,
    loss_totals,
    mean_loss,
    read_labels,
)
from tests.training import models
from tests.training.test_balanced_step import (
    flat,
    shared_index,
    step,
    task_gradients,
)


class TwoSamples(GradientBalancer):
    """Remembers the matrix that it was shown."""

    double_sampled = True

    def build(self, input_shape):
        self.shown = self.add_weight(shape=(2, 2), trainable=False)
        super().build(input_shape)

    def task_weights(self, gram, losses, present):
        self.shown.assign(gram)
        return ops.cast(present, gram.dtype)


@pytest.mark.parametrize("missing", [False, True])
def test_two_samples_are_the_even_and_the_odd_examples(missing):
    x, y = models.data(16, missing=missing)
    model = models.model()
    model.compile(keras.optimizers.SGD(0.5), balancer=TwoSamples())
    index = shared_index(model)
    jacobians = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        rows = []
        for task in model.tasks:
            there = y[task][part] != -1
            there &= ~np.isnan(y[task][part])
            labels = {k: v[part][there] for k, v in y.items()}
            # The other task's labels do not matter for this one's gradient.
            labels = {
                k: np.nan_to_num(np.maximum(v, 0) if k == "zoo" else v)
                for k, v in labels.items()
            }
            _, found = task_gradients(model, x[part][there], labels)
            rows.append(flat(found[task], index))
        jacobians.append(np.stack(rows))
    _, moved = step(model, x, y)
    np.testing.assert_allclose(
        model.balancer.shown.numpy(),
        jacobians[0] @ jacobians[1].T,
        rtol=1e-4,
        atol=1e-6,
    )
    if not missing:  # then the batch's gradient is the mean of the halves'
        expected = sum(jacobians).sum(axis=0) / 2
        np.testing.assert_allclose(
            flat(moved, index), expected, rtol=2e-4, atol=2e-6
        )


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_halves_add_up(reduction, weighted):
    task = Task("a", loss=keras.losses.MeanSquaredError(reduction=reduction))
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=(2, 7, 1)).astype("float32")
    y_true[2] = np.nan
    weight = rng.uniform(1, 2, 7).astype("float32") if weighted else None
    labels = read_labels(task, y_true, y_pred, weight)
    totals = loss_totals(task, labels)
    whole = mean_loss(totals)
    even = loss_totals(task, even_examples(labels))
    part, share = half_loss(task, even, totals)
    # With one example before these, the odd ones are even.
    odd = loss_totals(task, even_examples(labels, before=1))
    rest, _ = half_loss(task, odd, totals)
    assert float(share) == pytest.approx(3 / 6)  # 0, 4, 6 of the six
    assert float(part + rest) == pytest.approx(float(whole), rel=1e-6)


def test_two_samples_of_a_batch_of_one_are_none():
    x, y = models.data(1)
    model = models.model()
    model.compile("sgd", balancer=TwoSamples())
    model.train_on_batch(x, y)
    np.testing.assert_array_equal(model.balancer.shown.numpy(), 0)


class SecondLook(LossBalancer):
    """Remembers the losses before and after the step."""

    looks_again = True

    def build(self, input_shape):
        self.before = self.add_weight(shape=(2,), trainable=False)
        self.after = self.add_weight(shape=(2,), trainable=False)
        super().build(input_shape)

    def observe(self, losses, present):
        self.before.assign(losses)

    def observe_again(self, losses, present):
        self.after.assign(losses)

    def task_weights(self, losses, present):
        return ops.cast(present, losses.dtype)


@pytest.mark.parametrize("eager", [False, True])
def test_a_second_look_sees_the_losses_after_the_step(eager):
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer=SecondLook(), run_eagerly=eager)
    logs = model.train_on_batch(x, y, return_dict=True)
    seen = model.balancer.before.numpy()
    np.testing.assert_allclose(seen, [logs["zoo_loss"], logs["age_loss"]])
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(
        model.balancer.after.numpy(),
        [expected["zoo_loss"], expected["age_loss"]],
        rtol=1e-5,
    )


def test_a_second_look_leaves_no_trace():
    x, y = models.data(16)
    trained = []
    for balancer in (SecondLook(), "fixed"):
        model = models.model(dropout=0.5, batch_norm=True)
        model.compile("sgd", balancer=balancer)
        for _ in range(2):
            model.train_on_batch(x, y)
        trained.append(
            [
                v.numpy()
                for v in keras.Model(model.inputs, model.outputs).variables
            ]
        )
    for own, expected in zip(*trained, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-6)


class Sums(TrackingBalancer):
    """Adds up all gradients so far, in the direction too."""

    def track(self, index, rows, losses, present):
        track = self.tracks[index]
        track.assign_add(rows)
        sums = ops.where(present[:, None], ops.convert_to_tensor(track), 0.0)
        return sums, sums

    def task_weights(self, gram, losses, present):
        return ops.cast(present, gram.dtype)


def test_tracks_are_kept_by_variable_and_saved(tmp_path):
    x, y = models.data(16)
    with keras.saving.custom_object_scope({"Sums": Sums}):
        model = models.model()
        model.compile(keras.optimizers.SGD(0.5), balancer=Sums())
        index = shared_index(model)
        total = 0.0
        for _ in range(2):
            _, rows = task_gradients(model, x, y)
            total += sum(flat(rows[n], index) for n in model.tasks)
            _, moved = step(model, x, y)
            np.testing.assert_allclose(
                flat(moved, index), total, rtol=1e-4, atol=1e-5
            )
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    for own, expected in zip(
        loaded.balancer.tracks, model.balancer.tracks, strict=True
    ):
        assert np.abs(expected.numpy()).sum() > 0
        np.testing.assert_array_equal(own.numpy(), expected.numpy())


def test_tracks_of_another_model_are_refused():
    balancer = Sums()
    models.model().compile("sgd", balancer=balancer)
    x = keras.Input((5,))
    h = keras.layers.Dense(3)(x)
    other = keras.Model(
        x, {"zoo": keras.layers.Dense(3)(h), "age": keras.layers.Dense(1)(h)}
    )
    from keras_mtl import MultiTaskModel

    with pytest.raises(ValueError, match="built for shared variables"):
        MultiTaskModel.from_model(other).compile(
            "sgd", loss="mse", balancer=balancer
        )


def test_tracking_refuses_the_features():
    with pytest.raises(ValueError, match="'variables': it remembers"):
        Sums(wrt="features")
