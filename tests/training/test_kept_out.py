"""A task whose loss or gradient is not finite is kept out of its step."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mtl import balancers
from keras_mtl.balancers import LossBalancer
from tests.training import models
from tests.training.balancers import SumOfRows
from tests.training.test_missing_labels import absent, state


def infinite(y):
    """One label of "age" so large that its loss is infinite."""
    return {**y, "age": np.where(np.arange(len(y["age"])) == 3, 1e30, y["age"])}


@tf.custom_gradient
def _bad_gradient(x):
    return tf.identity(x), lambda upstream: upstream * float("nan")


def finite_with_bad_gradient(y_true, y_pred):
    """A finite loss whose derivative is NaN where the label is above 50."""
    bad = ops.any(y_true > 50)
    y_pred = tf.cond(bad, lambda: _bad_gradient(y_pred), lambda: y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def huge(y):
    return {**y, "age": np.where(np.arange(len(y["age"])) == 3, 1e2, y["age"])}


BALANCERS = {
    "loss weighting": lambda: balancers.Fixed(),
    "learned weighting": lambda: balancers.Uncertainty(),
    "moving weighting": lambda: balancers.DynamicWeightAverage(),
    "variables": lambda: balancers.MGDA(),
    "features": lambda: balancers.MGDA(wrt="features"),
    "scaled heads": lambda: balancers.GradNorm(),
    "kept weights": lambda: balancers.MGDA(update_every=3),
    "coordinates": lambda: SumOfRows(),
    "coordinates at features": lambda: SumOfRows(wrt="features"),
}


def after(make, batches, loss, optimizer=None):
    """A model after some batches, and the logs of each."""
    model = models.model(batch_norm=True)
    model.compile(
        optimizer() if optimizer else keras.optimizers.Adam(0.05),
        loss={"age": loss},
        balancer=make(),
        run_eagerly=False,
    )
    return model, [
        model.train_on_batch(x, y, return_dict=True) for x, y in batches
    ]


@pytest.mark.parametrize("make", BALANCERS.values(), ids=BALANCERS)
@pytest.mark.parametrize(
    ("spoil", "loss"),
    [(infinite, "mse"), (huge, finite_with_bad_gradient)],
    ids=["loss", "gradient"],
)
def test_the_others_train_as_if_it_had_no_label(make, spoil, loss):
    x, y = models.data(16)
    bad = spoil(y)
    assert np.isfinite(bad["age"]).all()
    kept_out, logs = after(make, [(x, y), (x, bad), (x, y)], loss)
    without, _ = after(make, [(x, y), (x, absent(y, "age")), (x, y)], loss)
    for own, expected in zip(
        kept_out.trainable_variables, without.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)
    # DWA may have seen a loss that was finite; nothing else of it may be kept.
    assert all(np.isfinite(w).all() for w in kept_out.get_weights())
    assert [step["kept_out"] for step in logs] == [0, 1, 0]
    assert np.isfinite([step["loss"] for step in logs]).all()


@pytest.mark.parametrize("balancer", ["fixed", "mgda", "graddrop"])
def test_neither_clipping_nor_accumulation_carries_it_over(balancer):
    x, y = models.data(16)
    for options in (
        {"global_clipnorm": 1.0},
        {"gradient_accumulation_steps": 2},
    ):
        model, _ = after(
            lambda: balancers.get(balancer),
            [(x, y), (x, infinite(y)), (x, y), (x, y)],
            "mse",
            lambda options=options: keras.optimizers.SGD(0.05, **options),
        )
        assert all(np.isfinite(w).all() for w in model.get_weights())


def test_its_head_and_optimizer_state_stand_still():
    x, y = models.data(16)
    for balancer in ("fixed", "mgda"):
        model = models.model()
        model.compile("adam", balancer=balancer)
        model.train_on_batch(x, y)
        before, _ = state(model, "age")
        model.train_on_batch(x, infinite(y))
        for old, new in zip(before, state(model, "age")[0], strict=True):
            np.testing.assert_array_equal(new, old)


def test_fit_says_it_once_and_counts_it():
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer="mgda")
    with pytest.warns(RuntimeWarning, match="'age' in 1 of the steps") as told:
        history = model.fit(
            x, infinite(y), batch_size=8, epochs=3, verbose=0, shuffle=False
        ).history
    assert model.kept_out() == {"zoo": 0, "age": 1}
    assert sum("kept out" in str(w.message) for w in told) == 1
    assert history["kept_out"] == [1, 1, 1]
    assert np.isfinite(history["loss"]).all()


def test_validation_does_not_hide_it():
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer="mgda")
    with pytest.warns(RuntimeWarning, match="'age' in 2 of the steps"):
        model.fit(
            x,
            {**y, "age": np.full(16, 1e30)},  # in no step can it be used
            batch_size=8,
            verbose=0,
            validation_data=(x, y),
        )


def test_who_sits_out_the_solved_step_keeps_its_weight():
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer=balancers.MGDA(update_every=3))
    model.train_on_batch(x, infinite(y))
    assert model.balancer.kept_weights.numpy()[1] == 1
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["age_weight"] == 1


def test_a_method_that_trims_values_lets_none_through():
    x, y = models.data(16)
    model, logs = after(
        lambda: balancers.TrimmedMean(trim_number=0),
        [(x, y), (x, huge(y))],
        finite_with_bad_gradient,
    )
    assert logs[1]["kept_out"] == 1
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("method", ["moco", "db_mtl", "excess_mtl"])
def test_tracks_do_not_hide_an_overflow_from_the_loss_scale(method):
    x, y = models.data(16)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**12
    )
    model = models.model()
    model.compile(
        optimizer, loss={"age": finite_with_bad_gradient}, balancer=method
    )
    model.train_on_batch(x, y)
    before = model.get_weights()
    tracks = [track.numpy() for track in model.balancer.tracks]
    model.train_on_batch(x, huge(y))
    assert float(optimizer.dynamic_scale) == 2.0**11
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    for own, old in zip(model.balancer.tracks, tracks, strict=True):
        np.testing.assert_array_equal(own.numpy(), old)


def test_a_cosine_that_was_not_computed_is_nan():
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer=balancers.GradDrop(seed=0))
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    known, unknown = history["min_cosine"]
    assert -1 <= known <= 1
    assert np.isnan(unknown)


def test_nothing_is_said_where_all_is_well():
    x, y = models.data(16, missing=True)
    model = models.model()
    model.compile("sgd", balancer="mgda")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        history = model.fit(x, y, verbose=0).history
    assert history["kept_out"] == [0]


def test_a_step_in_which_no_task_is_left_logs_nan_and_moves_nothing():
    x, y = models.data(16)
    for balancer in ("fixed", "mgda"):
        model = models.model()
        model.compile("adam", balancer=balancer)
        model.train_on_batch(x, y)
        before = model.get_weights()
        x_nan = np.full_like(x, np.nan)
        logs = model.train_on_batch(x_nan, y, return_dict=True)
        assert np.isnan(logs["loss"])
        assert logs["kept_out"] == 2
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)


def test_a_loss_scale_still_falls_on_overflow():
    x, y = models.data(16)
    for balancer in ("fixed", "mgda"):
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1), initial_scale=1e38
        )
        model = models.model()
        model.compile(optimizer, balancer=balancer)
        before = model.get_weights()[0]
        model.train_on_batch(x, {**y, "age": y["age"] * 1e6})
        assert float(optimizer.dynamic_scale) < 1e38
        np.testing.assert_array_equal(model.get_weights()[0], before)


class PositiveOnly(LossBalancer):
    """Stands for all whose formula takes a logarithm."""

    needs_positive_losses = True

    def task_weights(self, losses, present):
        return ops.where(present, 1.0 / ops.where(present, losses, 1.0), 0.0)


def test_a_loss_that_has_to_be_positive_is_kept_out_where_it_is_not():
    x, y = models.data(16)

    def sometimes_negative(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=-1) - 1e3

    model = models.model()
    model.compile(
        "sgd", loss={"age": sometimes_negative}, balancer=PositiveOnly()
    )
    with pytest.warns(RuntimeWarning, match="positive, as PositiveOnly needs"):
        history = model.fit(x, y, batch_size=16, verbose=0).history
    assert history["kept_out"] == [1]
    assert history["age_weight"] == [0] or np.isnan(history["age_weight"][0])
    assert np.isfinite(model.get_weights()[0]).all()
