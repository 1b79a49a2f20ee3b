import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import (
    AbsoluteRelativeError,
    BerHu,
    DepthHead,
    ScaleInvariantLog,
)

from .numeric import differences, gradient, upsampled


def depths(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 4, size=shape)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("softplus", lambda z: np.log1p(np.exp(z))), ("exponential", np.exp)],
)
def test_head_equals_a_loop_and_is_positive(activation, function):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)) * 3
    head = DepthHead(factor=2, activation=activation, dtype="float64")
    received = np.asarray(head(x))
    kernel, bias = head.get_weights()
    raw = [upsampled(image @ kernel[0, 0] + bias, 6, 6) for image in x]
    np.testing.assert_allclose(received, function(np.array(raw)), rtol=1e-5)
    assert received.shape == (2, 6, 6, 1)
    assert received.min() > 0


def berhu_loop(y, p, fraction=0.2):
    residuals = [abs(a - b) for a, b in zip(y.flat, p.flat, strict=True)]
    c = fraction * max(
        r for r, a in zip(residuals, y.flat, strict=True) if a != 0
    )
    losses = [r if r <= c else (r * r + c * c) / (2 * c) for r in residuals]
    return np.array(losses).reshape(y.shape[:-1])


def silog_loop(y, p, weight=0.5):
    """The paper's loss of each image."""
    result = []
    for labels, predictions in zip(y, p, strict=True):
        d = [
            np.log(b) - np.log(a)
            for a, b in zip(labels.flat, predictions.flat, strict=True)
            if a > 0
        ]
        n = len(d)
        result.append(
            sum(v**2 for v in d) / n - weight * (sum(d) / n) ** 2 if n else 0
        )
    return np.array(result)


def test_berhu_equals_a_loop():
    y, p = depths(2, 3, 4, 1), depths(2, 3, 4, 1, seed=1)
    np.testing.assert_allclose(BerHu().call(y, p), berhu_loop(y, p))
    np.testing.assert_allclose(
        BerHu(0.7).call(y[..., 0], p), berhu_loop(y, p, 0.7)
    )
    np.testing.assert_array_equal(BerHu().call(y, y), np.zeros((2, 3, 4)))


def test_a_missing_depth_does_not_move_the_threshold_of_berhu():
    y, p = depths(1, 2, 3, 1), depths(1, 2, 3, 1, seed=1)
    expected = np.asarray(BerHu().call(y, p))
    y, p = (
        np.append(y, np.zeros((1, 2, 1, 1)), 2),
        np.append(p, np.full((1, 2, 1, 1), 1e3), 2),
    )
    np.testing.assert_allclose(BerHu().call(y, p)[:, :, :3], expected)


def test_a_depth_of_zero_counts_unless_it_is_said_to_be_missing():
    x = np.ones((1, 1, 2, 1), "float32")
    inputs = keras.Input((1, 2, 1))
    model = MultiTaskModel(
        inputs,
        {"depth": keras.layers.Identity()(inputs)},
        tasks=[Task("depth", "regression", loss="mae")],
    )
    model.compile("sgd")
    for label, loss in ((0.0, 0.75), (np.nan, 0.5)):
        y = np.array([[[label, 1.5]]], "float32")
        logs = model.evaluate(x, {"depth": y}, verbose=0, return_dict=True)
        assert logs["depth_loss"] == pytest.approx(loss)
        assert logs["depth_mae"] == pytest.approx(loss)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_scale_invariant_log_is_the_papers_by_image(weight):
    y, p = depths(3, 3, 4, 1), depths(3, 3, 4, 1, seed=1)
    values = np.asarray(ScaleInvariantLog(weight).call(y, p))
    np.testing.assert_allclose(
        values.mean(axis=(1, 2)), silog_loop(y, p, weight), rtol=1e-10
    )


def test_scale_invariant_log_leaves_unknown_depths_out():
    y, p = depths(3, 3, 4, 1), depths(3, 3, 4, 1, seed=1)
    y[0, 0], y[1, :, 2], y[2] = np.nan, 0, np.nan
    values = np.asarray(ScaleInvariantLog().call(y, p))
    known = (y > 0)[..., 0]
    np.testing.assert_array_equal(values[~known], 0)
    np.testing.assert_allclose(
        values.sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1),
        silog_loop(y, p),
        rtol=1e-10,
    )


@pytest.mark.parametrize("loss", [BerHu(), ScaleInvariantLog(0.85)])
def test_gradients_equal_finite_differences(loss):
    y, p = depths(2, 2, 3, 1), depths(2, 2, 3, 1, seed=1)
    if isinstance(loss, BerHu):
        # Its threshold counts as a constant: let a pixel set it that stays.
        y[0, 0, 0], p[0, 0, 0] = 1.0, 9.0
    else:
        y[0, 0, 0] = np.nan

    def total(p):
        return keras.ops.sum(loss.call(y, p))

    received, expected = gradient(total, p), differences(total, p)
    if isinstance(loss, BerHu):
        received, expected = received.ravel()[1:], expected.ravel()[1:]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", [BerHu(), ScaleInvariantLog()])
def test_missing_pixels_move_neither_loss_metric_nor_gradient(loss):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 2)).astype("float32")
    y = depths(2, 3, 3).astype("float32")
    y[0, 1], y[1, :, 2] = np.nan, np.nan
    results = []
    for spoilt in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3, 3, 2))
        task = Task(
            "depth",
            "regression",
            loss=type(loss).from_config(loss.get_config()),
            metrics=["mae", AbsoluteRelativeError()],
        )
        model = MultiTaskModel(
            inputs, {"depth": DepthHead()(inputs)}, tasks=[task]
        )
        model.compile(keras.optimizers.SGD(0.1))
        if spoilt:  # the head sees one pixel at a time
            x[np.isnan(y)] = 50
        logs = model.train_on_batch(x, {"depth": y}, return_dict=True)
        results.append([*logs.values(), *map(np.sum, model.get_weights())])
    np.testing.assert_allclose(*results, rtol=1e-5)
    assert np.isfinite(results).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DepthHead(activation="relu"), "`activation` must give pos"),
        (lambda: BerHu(0), "`fraction` must be above 0"),
        (lambda: ScaleInvariantLog(1.5), "`invariance` must be from 0 to 1"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("loss", [BerHu(), ScaleInvariantLog()])
def test_maps_of_unequal_sizes_are_named(loss):
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*shape \(2, 3, 1\)"):
        loss(depths(2, 3, 1, 1), depths(2, 3, 4, 1))
