import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import (
    PinballError,
    QuantileHead,
    QuantileLoss,
    coverage,
)

from .numeric import differences, gradient

LEVELS = [0.1, 0.5, 0.9]


def loop(y, q, levels):
    total = 0
    for tau, value in zip(levels, q, strict=True):
        total += tau * (y - value) if y >= value else (1 - tau) * (value - y)
    return total / len(levels)


def test_head_equals_a_loop_and_never_crosses():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(5, 4)) * 30
    head = QuantileHead(3, dtype="float64")
    received = np.asarray(head(x))
    kernel, bias = head.get_weights()
    for row, values in zip(x, received, strict=True):
        z = row @ kernel + bias
        q = [z[0]]
        for step in z[1:]:
            q.append(q[-1] + np.logaddexp(0, step))
        np.testing.assert_allclose(values, q, rtol=1e-10)
    assert (np.diff(received) >= 0).all()


def test_loss_equals_a_loop():
    draw = np.random.default_rng(0)
    y, q = draw.normal(size=6), draw.normal(size=(6, 3))
    loss = QuantileLoss(LEVELS, dtype="float64")
    expected = [loop(a, b, LEVELS) for a, b in zip(y, q, strict=True)]
    np.testing.assert_allclose(loss.call(y, q), expected)
    np.testing.assert_allclose(loss.call(y[:, None], q), expected)
    half = QuantileLoss([0.5], dtype="float64").call(y, q[:, :1])
    np.testing.assert_allclose(half, np.abs(y - q[:, 0]) / 2)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.8])
def test_the_empirical_quantile_has_the_least_loss(tau):
    y = np.random.default_rng(0).exponential(size=1001)
    grid = np.linspace(0, 4, 801)
    loss = QuantileLoss([tau], dtype="float64")
    losses = [float(loss(y, np.full((1001, 1), q))) for q in grid]
    assert grid[np.argmin(losses)] == pytest.approx(
        np.quantile(y, tau), abs=0.01
    )


def test_gradients_by_differences():
    draw = np.random.default_rng(1)
    head = QuantileHead(3, dtype="float64")
    x, y = draw.normal(size=(5, 4)), draw.normal(size=5)
    loss = QuantileLoss(LEVELS, dtype="float64")
    np.testing.assert_allclose(
        gradient(lambda x: loss(y, head(x)), x),
        differences(lambda x: loss(y, head(x)), x),
        rtol=1e-6,
        atol=1e-9,
    )


def test_metrics():
    y, q = [3.0, 0.0, 1.5], [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    np.testing.assert_array_equal(coverage(y, q), [0, 0, 1])
    metric = PinballError([0.1, 0.9])
    metric.update_state(y[:2], q[:2])
    metric.update_state(y[2:], q[2:], sample_weight=[0.0])
    expected = [loop(a, b, [0.1, 0.9]) for a, b in zip(y[:2], q, strict=False)]
    assert float(metric.result()) == pytest.approx(np.mean(expected))
    again = PinballError.from_config(metric.get_config())
    assert again.levels == [0.1, 0.9]


def test_missing_labels_count_nowhere_in_fit_and_levels_are_learned():
    keras.utils.set_random_seed(0)
    draw = np.random.default_rng(0)
    y = draw.exponential(size=2000).astype("float32")
    y[::10] = np.nan
    x = np.ones((2000, 1), "float32")
    task = Task("rain", "quantile", levels=LEVELS)
    inputs = keras.Input((1,))
    model = MultiTaskModel(
        inputs, {"rain": task.make_head("rain")(inputs)}, tasks=[task]
    )
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(x, {"rain": y}, batch_size=2000, verbose=0).history
    q = model.predict(x, verbose=0)["rain"]
    there = ~np.isnan(y)
    losses = [loop(a, b, LEVELS) for a, b in zip(y[there], q, strict=False)]
    for key in ("rain_loss", "rain_pinball"):
        assert logs[key][0] == pytest.approx(np.mean(losses), rel=1e-4)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(x, {"rain": y}, batch_size=200, epochs=25, verbose=0)
    np.testing.assert_allclose(
        model.predict(x[:1], verbose=0)["rain"][0],
        np.quantile(y[there], LEVELS),
        atol=0.15,
    )
    logs = model.evaluate(x, {"rain": y}, verbose=0, return_dict=True)
    assert logs["rain_coverage"] == pytest.approx(0.8, abs=0.04)
    with pytest.raises(ValueError, match="does not suit the output"):
        model.evaluate(x, {"rain": np.zeros((2000, 3))}, verbose=0)


@pytest.mark.parametrize(
    "levels", [[], [0.5, 0.1], [0.0, 0.5], [0.5, 1.0], ["a"], "0.5", 1.5]
)
def test_bad_levels(levels):
    with pytest.raises(ValueError, match="`levels` must be rising numbers"):
        QuantileLoss(levels)


def test_bad_widths():
    with pytest.raises(ValueError, match="one quantile on its last axis"):
        QuantileLoss(LEVELS)([1.0], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="`units` of a QuantileHead"):
        QuantileHead(0)
