import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import SegmentationHead

from .numeric import upsampled


def features(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, (3, 4)), ({"factor": 3}, (9, 12)), ({"size": (7, 5)}, (7, 5))],
    ids=["as it is", "factor", "size"],
)
def test_equals_a_loop_over_pixels(options, size):
    x = features(2, 3, 4, 5)
    head = SegmentationHead(3, **options)
    probabilities = np.asarray(head(x))
    kernel, bias = head.get_weights()
    for image, received in zip(x, probabilities, strict=True):
        raw = np.array(
            [[cell @ kernel[0, 0] + bias for cell in row] for row in image]
        )
        np.testing.assert_allclose(
            received, softmax(upsampled(raw, *size)), rtol=1e-4, atol=1e-6
        )


def test_a_hidden_convolution_sees_the_neighbours():
    x = np.zeros((1, 5, 5, 2), "float32")
    x[0, 2, 2] = 1
    keras.utils.set_random_seed(0)  # with which no place has all units shut
    plain, hidden = SegmentationHead(2), SegmentationHead(2, hidden=8)
    for head, touched in ((plain, 1), (hidden, 9)):
        changed = np.asarray(head(x)) - np.asarray(head(0 * x))
        assert (np.abs(changed[0]).max(-1) > 1e-7).sum() == touched


def test_taps_are_brought_to_the_first_and_joined():
    fine, coarse = features(2, 6, 6, 3), features(2, 3, 3, 4, seed=1)
    head = SegmentationHead(3, factor=2)
    received = np.asarray(head([fine, coarse]))
    assert received.shape == (2, 12, 12, 3)
    joined = np.stack(
        [
            np.concatenate([a, upsampled(b, 6, 6)], axis=-1)
            for a, b in zip(fine, coarse, strict=True)
        ]
    )
    alone = SegmentationHead(3, factor=2)
    alone.build(joined.shape)
    alone.set_weights(head.get_weights())
    np.testing.assert_allclose(received, alone(joined), rtol=1e-4, atol=1e-6)


def test_leaves_no_checkerboard():
    flat = np.ones((1, 4, 4, 3), "float32")
    received = np.asarray(SegmentationHead(2, factor=4)(flat))
    np.testing.assert_allclose(
        received, np.broadcast_to(received[:, :1, :1], received.shape), 1e-6
    )


def test_takes_images_of_any_size():
    x = keras.Input((None, None, 3))
    taps = [x, keras.layers.AveragePooling2D(2)(x)]
    model = keras.Model(x, SegmentationHead(4, factor=2, hidden=2)(taps))
    assert model.output.shape == (None, None, None, 4)
    assert model.predict(features(2, 6, 8, 3), verbose=0).shape == (
        2,
        12,
        16,
        4,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_probabilities_are_whole_under_a_mixed_policy(policy):
    head = SegmentationHead(7, hidden=4, dtype=policy)
    probabilities = np.asarray(head(features(2, 4, 4, 3)))
    assert probabilities.dtype == "float32"
    assert head._raw.compute_dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)


def model(metrics, loss=None):
    keras.utils.set_random_seed(0)
    x = keras.Input((4, 4, 3))
    task = Task("ground", "multiclass", units=3, metrics=metrics, loss=loss)
    result = MultiTaskModel(x, {"ground": SegmentationHead(3)(x)}, tasks=[task])
    result.compile("sgd")
    return result


def mean_iou(**options):
    return keras.metrics.MeanIoU(
        3, sparse_y_pred=False, name="mean_iou", dtype="float32", **options
    )


def scores(y, p):
    """Pixel accuracy, mean IoU and cross-entropy, pixel by pixel."""
    inner, union = np.zeros(3), np.zeros(3)
    right = count = total = 0
    for label, row in zip(y.ravel(), p.reshape(-1, 3), strict=True):
        if label not in (0, 1, 2):
            continue
        best = int(row.argmax())
        count += 1
        right += best == label
        total -= np.log(row[label])
        for c in range(3):
            inner[c] += best == label == c
            union[c] += c in (best, label)
    there = union > 0
    return right / count, (inner[there] / union[there]).mean(), total / count


def test_unlabelled_pixels_count_in_no_metric_and_no_loss():
    tried = model(["accuracy", mean_iou()])
    x = features(4, 4, 4, 3)
    y = np.random.default_rng(1).integers(-1, 3, (4, 4, 4))
    y[0] = -1
    assert tried.tasks["ground"].direction == "max"
    logs = tried.evaluate(x, {"ground": y}, verbose=0, return_dict=True)
    p = tried.predict(x, verbose=0)["ground"]
    np.testing.assert_allclose(
        [
            logs["ground_accuracy"],
            logs["ground_mean_iou"],
            logs["ground_loss"],
        ],
        scores(y, p),
        rtol=1e-5,
    )


def test_nor_do_those_of_a_class_that_the_loss_ignores():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    tried = model(["accuracy", mean_iou(ignore_class=255)], loss)
    x = features(4, 4, 4, 3)
    y = np.random.default_rng(1).integers(-1, 3, (4, 4, 4))
    y[0, :3] = 255
    logs = tried.evaluate(x, {"ground": y}, verbose=0, return_dict=True)
    p = tried.predict(x, verbose=0)["ground"]
    np.testing.assert_allclose(
        [
            logs["ground_accuracy"],
            logs["ground_mean_iou"],
            logs["ground_loss"],
        ],
        scores(y, p),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "`classes` must be an integer of at least 2"),
        ({"classes": True}, "`classes` must be an integer"),
        ({"classes": 3, "factor": 0}, "`factor` must be a positive integer"),
        ({"classes": 3, "size": 8}, r"`size` must be \(height, width\)"),
        ({"classes": 3, "size": (8, 0)}, r"`size` must be \(height, width\)"),
        ({"classes": 3, "size": (8, 8), "factor": 2}, "both tell the size"),
        ({"classes": 3, "hidden": 0}, "`hidden` must be a number of filters"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationHead(**options)


def test_features_that_are_no_maps_are_named():
    with pytest.raises(ValueError, match=r"must be features .*shape \(2, 8\)"):
        SegmentationHead(3)(features(2, 8))
