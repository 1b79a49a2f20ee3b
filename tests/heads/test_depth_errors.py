import keras
import numpy as np
import pytest

from keras_mtl.heads import AbsoluteRelativeError, DeltaAccuracy


def loop(y, p, weights, measure):
    total = count = 0.0
    for label, value, weight in zip(y.flat, p.flat, weights.flat, strict=True):
        if label > 0:
            total += weight * measure(label, value)
            count += weight
    return total / count


def relative(label, value):
    return abs(value - label) / label


def within(threshold):
    def measure(label, value):
        return value > 0 and max(label / value, value / label) < threshold

    return measure


CASES = [
    (AbsoluteRelativeError, relative),
    (DeltaAccuracy, within(1.25)),
    (lambda: DeltaAccuracy(1.25**2), within(1.25**2)),
]


@pytest.mark.parametrize(("make", "measure"), CASES)
def test_equals_a_loop_over_known_pixels_of_all_batches(make, measure):
    draw = np.random.default_rng(0)
    y = draw.uniform(0.5, 2, (3, 2, 4, 5)).astype("float32")
    p = draw.uniform(-0.1, 2, (3, 2, 4, 5, 1)).astype("float32")
    weights = draw.uniform(0, 2, y.shape).astype("float32")
    y[0, :, 0], y[1, 1], y[2, 0, 3] = np.nan, 0, np.nan
    metric = make()
    for batch in zip(y, p, weights, strict=True):
        metric.update_state(*batch)
    np.testing.assert_allclose(
        metric.result(), loop(y, p, weights, measure), rtol=1e-5
    )


def test_weights_of_images_count_for_their_pixels():
    y, p = np.ones((2, 1, 3)), np.ones((2, 1, 3, 1))
    p[0] = 3
    metric = AbsoluteRelativeError()
    metric.update_state(y, p, sample_weight=[1.0, 3.0])
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize(("make", "measure"), CASES)
def test_config_makes_the_same_metric(make, measure):
    metric = make()
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


def test_a_threshold_below_one_is_named():
    with pytest.raises(ValueError, match="`threshold` must be a factor above"):
        DeltaAccuracy(1.0)
