import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import OrdinalHead, OrdinalLoss, rank_error

from .numeric import differences, gradient


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(x, kernel, first, gaps):
    """Probabilities of one example, as the formula has them."""
    score, threshold = sum(a * b for a, b in zip(x, kernel, strict=True)), first
    above = [sigmoid(score + threshold)]
    for g in gaps:
        threshold -= np.log1p(np.exp(g))
        above.append(sigmoid(score + threshold))
    above = [1, *above, 0]
    return [above[k] - above[k + 1] for k in range(len(above) - 1)]


def loss_loop(label, p):
    total = 0
    for k in range(len(p) - 1):
        above = sum(p[k + 1 :])
        total -= np.log(above if label > k else 1 - above)
    return total


@pytest.mark.parametrize("units", [2, 3, 5])
def test_head_equals_a_loop(units):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, 6))
    head = OrdinalHead(units, dtype="float64")
    head(x)
    weights = [draw.normal(size=w.shape) for w in head.get_weights()]
    head.set_weights(weights)
    kernel, first, *gaps = weights
    expected = [
        loop(row, kernel[:, 0], first[0], gaps[0] if gaps else []) for row in x
    ]
    np.testing.assert_allclose(head(x), expected, rtol=1e-10)


def test_classes_are_equally_likely_at_first():
    head = OrdinalHead(5, dtype="float64")
    np.testing.assert_allclose(head(np.zeros((1, 3))), [[0.2] * 5], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-80, 80), min_size=4, max_size=4),
    st.floats(-200, 200),
    st.floats(-1e6, 1e6),
)
def test_probabilities_sum_to_one_and_cumulate_in_order(gaps, first, score):
    head = OrdinalHead(6, kernel_initializer="ones")
    head.build((None, 1))
    kernel = head.get_weights()[0]
    head.set_weights([kernel, np.array([first]), np.array(gaps)])
    x = np.array([[score]], "float32")
    p = np.asarray(head(x))
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-5)
    logits = np.asarray(head.cumulative_logits(x))[0]
    assert (np.diff(logits) <= 0).all()
    for label in range(6):
        assert np.isfinite(OrdinalLoss()([label], p))


def test_loss_by_hand_and_by_loop():
    p = np.array([[0.25, 0.25, 0.5], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    loss = OrdinalLoss(dtype="float64")
    expected = [-np.log(0.75) - np.log(0.5), -np.log(0.7) - np.log(0.9)]
    np.testing.assert_allclose(loss.call([2, 0], p[:2]), expected)
    labels = np.array([1, 2, 0])
    expected = [loss_loop(y, row) for y, row in zip(labels, p, strict=True)]
    np.testing.assert_allclose(loss.call(labels, p), expected)
    np.testing.assert_allclose(loss.call(labels[:, None], p), expected)
    assert float(loss(labels, p)) == pytest.approx(np.mean(expected))


def test_further_off_costs_more():
    p = np.array([[0.9, 0.025, 0.025, 0.025, 0.025]] * 5, "float32")
    assert (np.diff(OrdinalLoss().call(np.arange(5), p)) > 0).all()


@pytest.mark.parametrize("score", [-1e4, -200.0, -50.0, 0.0, 50.0, 1e4])
@pytest.mark.parametrize("label", [0, 2, 4])
def test_wrong_predictions_far_out_are_pulled_back(score, label):
    """In float32: finite, and a gradient that points to the label."""
    head = OrdinalHead(5, kernel_initializer="ones")
    x = np.array([[score]], "float32")
    slope = gradient(lambda x: OrdinalLoss()([label], head(x)), x)[0, 0]
    assert np.isfinite(slope)
    if abs(score) > 40:
        towards = {0: score < 0, 4: score > 0}.get(label, False)
        if towards:
            assert abs(slope) < 1e-6
        else:
            assert slope * score > 0


def test_gradients_by_differences():
    draw = np.random.default_rng(1)
    head = OrdinalHead(4, dtype="float64")
    x, labels = draw.normal(size=(5, 3)), np.array([0, 1, 2, 3, 1])
    head(x)
    loss = OrdinalLoss(dtype="float64")
    np.testing.assert_allclose(
        gradient(lambda x: loss(labels, head(x)), x),
        differences(lambda x: loss(labels, head(x)), x),
        rtol=1e-6,
        atol=1e-9,
    )
    for variable in head.trainable_variables:
        value = variable.numpy()

        def at(value, variable=variable):
            variable.assign(value)
            return loss(labels, head(x))

        expected = differences(at, value)
        variable.assign(value)
        with tf.GradientTape() as tape:
            total = loss(labels, head(x))
        np.testing.assert_allclose(
            tape.gradient(total, variable.value),
            expected,
            rtol=1e-6,
            atol=1e-9,
        )


def test_rank_error_is_from_the_median():
    p = [[0.4, 0.3, 0.3], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]]  # 1, 0, 2
    np.testing.assert_array_equal(rank_error([0, 2, 2], p), [1, 2, 0])


def test_missing_labels_count_nowhere_in_fit():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(6, 3)).astype("float32")
    y = np.array([0, -1, 3, 2, -1, 1])
    task = Task("stars", "ordinal", units=4)
    inputs = keras.Input((3,))
    model = MultiTaskModel(
        inputs, {"stars": task.make_head("stars")(inputs)}, tasks=[task]
    )
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(x, {"stars": y}, batch_size=6, verbose=0).history
    p = model.predict(x, verbose=0)["stars"].astype("float64")
    there = y >= 0
    losses = [loss_loop(a, b) for a, b in zip(y[there], p[there], strict=True)]
    assert logs["stars_loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)
    medians = [
        sum(sum(row[k + 1 :]) > 0.5 for k in range(3)) for row in p[there]
    ]
    assert logs["stars_rank_error"][0] == pytest.approx(
        np.abs(medians - y[there]).mean()
    )
    assert logs["stars_accuracy"][0] == pytest.approx(
        (p[there].argmax(1) == y[there]).mean()
    )


def test_it_learns_an_order():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-2, 2, size=(400, 1))
    y = np.digitize(x[:, 0], [-1, 0, 0.5])
    task = Task("y", "ordinal", units=4)
    inputs = keras.Input((1,))
    model = MultiTaskModel(
        inputs, {"y": task.make_head("y")(inputs)}, tasks=[task]
    )
    model.compile(keras.optimizers.Adam(0.2))
    model.fit(x, {"y": y}, epochs=30, verbose=0)
    logs = model.evaluate(x, {"y": y}, verbose=0, return_dict=True)
    assert logs["y_rank_error"] < 0.1
    with pytest.raises(ValueError, match="class indices from 0 to 3"):
        model.evaluate(x, {"y": y + 1}, verbose=0)


@pytest.mark.parametrize("units", [1, 0, 2.0])
def test_too_few_classes(units):
    with pytest.raises(ValueError, match=f"`units`.*at least 2.*{units}"):
        OrdinalHead(units)
