import keras
import numpy as np
import pytest
from scipy.stats import norm

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import GaussianHead, GaussianLoss, mae_of_mean

from .numeric import differences, gradient


def test_head_is_linear_within_the_limit_and_tame_beyond():
    x = np.array([[1.0], [-1.0], [30.0], [-1e6]])
    head = GaussianHead(dtype="float64")
    head.build((None, 1))
    head.set_weights([np.array([[2.0, 1.0]]), np.array([0.5, 0.0])])
    expected = [
        [2.5, 1.0],
        [-1.5, -1.0],
        [60.5, 20 + np.log(11)],
        [0.5 - 2e6, -20 - np.log(1e6 - 19)],
    ]
    np.testing.assert_allclose(head(x), expected)


def test_loss_is_the_log_density():
    draw = np.random.default_rng(0)
    y, pred = draw.normal(size=8) * 3, draw.normal(size=(8, 2)) * 2
    expected = -norm.logpdf(y, pred[:, 0], np.exp(pred[:, 1] / 2))
    loss = GaussianLoss(dtype="float64")
    np.testing.assert_allclose(loss.call(y, pred), expected)
    np.testing.assert_allclose(loss.call(y[:, None], pred), expected)
    np.testing.assert_allclose(mae_of_mean(y, pred), np.abs(y - pred[:, 0]))


def test_gradients_by_differences():
    draw = np.random.default_rng(1)
    head = GaussianHead(dtype="float64")
    x, y = draw.normal(size=(5, 4)), draw.normal(size=5)
    loss = GaussianLoss(dtype="float64")
    np.testing.assert_allclose(
        gradient(lambda x: loss(y, head(x)), x),
        differences(lambda x: loss(y, head(x)), x),
        rtol=1e-6,
        atol=1e-9,
    )


@pytest.mark.parametrize("raw", [-1e12, -1e3, 1e3, 1e12])
def test_extreme_variances_stay_finite_and_come_back(raw):
    head = GaussianHead()
    head.build((None, 1))
    head.set_weights([np.array([[0.0, 1.0]]), np.zeros(2)])
    x = np.array([[raw]], "float32")
    value = float(GaussianLoss()([1.0], head(x)))
    slope = gradient(lambda x: GaussianLoss()([1.0], head(x)), x)[0, 0]
    assert np.isfinite(value)
    assert np.isfinite(slope)
    assert slope * raw > 0


def data():
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, size=(3000, 1)).astype("float32")
    y = x[:, 0] * 2 + np.exp(x[:, 0]) * draw.normal(size=3000)
    y[::7] = np.nan
    return x, y.astype("float32")


def test_missing_labels_count_nowhere_in_fit_and_both_are_learned():
    keras.utils.set_random_seed(0)
    x, y = data()
    task = Task("y", "heteroscedastic")
    inputs = keras.Input((1,))
    model = MultiTaskModel(
        inputs, {"y": task.make_head("y")(inputs)}, tasks=[task]
    )
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(x, {"y": y}, batch_size=3000, verbose=0).history
    p = model.predict(x, verbose=0)["y"].astype("float64")
    there = ~np.isnan(y)
    expected = -norm.logpdf(y, p[:, 0], np.exp(p[:, 1] / 2))[there].mean()
    assert logs["y_loss"][0] == pytest.approx(expected, rel=1e-4)
    assert logs["y_mae_of_mean"][0] == pytest.approx(
        np.abs(y - p[:, 0])[there].mean(), rel=1e-4
    )
    # y = 2x + e^x ε: the mean is 2x, the log-variance 2x.
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(x, {"y": y}, batch_size=200, epochs=10, verbose=0)
    kernel, bias = model.get_layer("y").get_weights()
    np.testing.assert_allclose(kernel, [[2, 2]], atol=0.25)
    np.testing.assert_allclose(bias, [0, 0], atol=0.2)


def test_infinite_labels_are_refused():
    task = Task("y", "heteroscedastic")
    inputs = keras.Input((1,))
    model = MultiTaskModel(
        inputs, {"y": task.make_head("y")(inputs)}, tasks=[task]
    )
    model.compile("sgd")
    with pytest.raises(ValueError, match="infinite labels"):
        model.evaluate(np.ones((2, 1)), {"y": np.array([1, np.inf])})
