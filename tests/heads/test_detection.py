import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import MultiTaskModel, Task
from keras_mtl.heads import (
    CenterNetLoss,
    DecodeBoxes,
    DetectionHead,
    encode_boxes,
)
from keras_mtl.metrics import mean_average_precision

from .numeric import differences, gradient

ALPHA, BETA, SIZE, OFFSET = 2, 4, 0.1, 1.0


# ------------------------------------------------------------------ head


def test_head_begins_with_rare_objects_and_free_geometry():
    head = DetectionHead(3, hidden=4)
    y = np.asarray(head(np.zeros((1, 2, 2, 5))))
    np.testing.assert_allclose(y[..., :3], 1 / (1 + np.exp(2.19)), rtol=1e-6)
    np.testing.assert_array_equal(y[..., 3:], 0)


def test_head_squashes_the_heatmaps_alone():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)) * 9
    head = DetectionHead(2, dtype="float64")
    y = np.asarray(head(x))
    kernel, bias = head.get_weights()
    raw = x @ kernel[0, 0] + bias
    np.testing.assert_allclose(y[..., :2], 1 / (1 + np.exp(-raw[..., :2])))
    np.testing.assert_allclose(y[..., 2:], raw[..., 2:])
    assert y[..., 2:].min() < 0


# --------------------------------------------------------------- targets


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def worst_overlap(width, height, r):
    """With both corners moved by r, each inwards or outwards."""
    box = (0, 0, width, height)
    moved = [
        (sign * r, sign * r, width + other * r, height + other * r)
        for sign in (-1, 1)
        for other in (-1, 1)
    ]
    return min(overlap(box, m) for m in moved)


@pytest.mark.parametrize(
    ("width", "height"), [(4, 4), (20, 20), (40, 12), (9, 33), (64, 64)]
)
def test_the_radius_is_the_largest_that_keeps_the_overlap(width, height):
    y = encode_boxes(
        [[64 - width / 2, 64 - height / 2, 64 + width / 2, 64 + height / 2]],
        [0],
        num_classes=1,
        shape=(128, 128),
        stride=1,
    )[..., 0]
    r = 0
    while worst_overlap(width, height, r + 1) >= 0.3:
        r += 1
    assert y[64, 64] == 1
    rows, columns = np.nonzero(y)
    assert (rows.min(), rows.max()) == (64 - r, 64 + r)
    assert (columns.min(), columns.max()) == (64 - r, 64 + r)
    sigma = (2 * r + 1) / 6
    for row in range(64 - r, 65 + r):
        for column in range(64 - r, 65 + r):
            d = (row - 64) ** 2 + (column - 64) ** 2
            assert y[row, column] == pytest.approx(np.exp(-d / 2 / sigma**2))


def test_overlapping_gaussians_take_the_higher_and_classes_stay_apart():
    boxes = [[0, 0, 30, 30], [8, 0, 38, 30], [4, 2, 34, 32]]
    shape = (40, 40)
    alone = [
        encode_boxes([box], [c], 2, shape, stride=1)
        for box, c in zip(boxes, (0, 0, 1), strict=True)
    ]
    together = encode_boxes(boxes, [0, 0, 1], 2, shape, stride=1)
    np.testing.assert_array_equal(together, np.max(alone, axis=0))
    assert (together[..., 0] == 1).sum() == 2


def test_a_gaussian_ends_at_the_border():
    y = encode_boxes([[-20, -20, 22, 22]], [0], 1, (32, 32), stride=1)
    assert y[1, 1].tolist() == [1, 42, 42, 0, 0]
    assert y[0, 0, 0] > 0
    assert y[-5:].max() == y[:, -5:].max() == 0


def test_no_box_gives_an_empty_map():
    assert (
        encode_boxes([], [], 2, (3, 4)).tolist() == np.zeros((3, 4, 6)).tolist()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [2]}, "`classes` must be indices from 0 to 1"),
        ({"classes": [0, 1]}, "1 boxes and 2 classes"),
        ({"boxes": [[8, 2, 8, 6]]}, "with right > left"),
        ({"boxes": [[8, np.nan, 9, 6]]}, "with right > left"),
        ({"boxes": [[30, 2, 40, 6]]}, "centres on the map, which is 32 pixels"),
        ({"stride": 0}, "`stride` must be a positive integer"),
        ({"shape": (8, 0)}, r"`shape\[1\]` must be a positive integer"),
    ],
)
def test_bad_boxes_are_named(change, message):
    arguments = {
        "boxes": [[2, 2, 8, 6]],
        "classes": [0],
        "num_classes": 2,
        "shape": (8, 8),
        "stride": 4,
    }
    encode_boxes(**arguments)
    with pytest.raises(ValueError, match=message):
        encode_boxes(**{**arguments, **change})


# -------------------------------------------------------------- decoding


def rectangles(draw, count, side, classes):
    """Boxes of whole pixels, one in each of some cells of a coarse grid."""
    tile = side // 4
    boxes = []
    for place in draw.choice(16, count, replace=False):
        top, left = (place // 4) * tile, (place % 4) * tile
        y0, y1 = np.sort(draw.choice(tile + 1, 2, replace=False))
        x0, x1 = np.sort(draw.choice(tile + 1, 2, replace=False))
        boxes.append([left + x0, top + y0, left + x1, top + y1])
    return np.array(boxes, "float32"), draw.integers(0, classes, count)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_decoding_gives_back_what_was_encoded(stride):
    draw = np.random.default_rng(stride)
    images = [rectangles(draw, n, 64, classes=3) for n in (1, 5, 9, 16)]
    targets = np.stack(
        [
            encode_boxes(*i, 3, (64 // stride, 64 // stride), stride)
            for i in images
        ]
    )
    found = DecodeBoxes(max_boxes=20, stride=stride)(targets)
    for (boxes, classes), back, scores, labels in zip(
        images,
        *(found[key].numpy() for key in ("boxes", "scores", "classes")),
        strict=True,
    ):
        sure = scores == 1
        assert sure.sum() == len(boxes)
        order = np.lexsort((*boxes.T, classes))
        again = np.lexsort((*back[sure].T.round(3), labels[sure]))
        np.testing.assert_allclose(back[sure][again], boxes[order], atol=1e-4)
        np.testing.assert_array_equal(labels[sure][again], classes[order])


def decoded(maps, max_boxes, stride=4):
    """Peaks of one image's maps, by a loop."""
    height, width, channels = maps.shape
    found = []
    for row in range(height):
        for column in range(width):
            for c in range(channels - 4):
                score = maps[row, column, c]
                around = maps[
                    max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2
                ]
                if score < around[..., c].max():
                    continue
                w, h, dx, dy = maps[row, column, -4:]
                w, h = max(w, 0), max(h, 0)
                x, y = column + dx, row + dy
                box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                found.append((score, c, [stride * side for side in box]))
    found.sort(key=lambda item: -item[0])
    return found[:max_boxes]


def test_decoding_equals_a_loop():
    maps = np.random.default_rng(0).normal(size=(3, 7, 5, 6))
    maps[..., :2] = 1 / (1 + np.exp(-maps[..., :2]))
    found = DecodeBoxes(max_boxes=6)(maps.astype("float32"))
    for i, image in enumerate(maps):
        scores, classes, boxes = zip(*decoded(image, 6), strict=True)
        np.testing.assert_allclose(found["scores"][i], scores, rtol=1e-6)
        np.testing.assert_array_equal(found["classes"][i], classes)
        np.testing.assert_allclose(
            found["boxes"][i], boxes, rtol=1e-5, atol=1e-4
        )


def test_what_has_no_peak_scores_zero():
    y = encode_boxes([[8, 8, 24, 24]], [0], 1, (8, 8))[None]
    scores = DecodeBoxes(max_boxes=5)(y)["scores"].numpy()
    assert scores.tolist() == [[1, 0, 0, 0, 0]]


def test_decoding_is_the_same_under_xla_and_keeps_pixels_in_half():
    maps = np.random.default_rng(0).uniform(size=(2, 6, 6, 7)).astype("float32")
    layer = DecodeBoxes(max_boxes=4, stride=1)
    expected = layer(maps)
    compiled = tf.function(layer, jit_compile=True)(maps)
    assert set(expected) == set(compiled) == {"boxes", "scores", "classes"}
    for key in expected:
        np.testing.assert_allclose(compiled[key], expected[key], rtol=1e-5)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        far = encode_boxes([[4001, 0, 4007, 8]], [0], 1, (2, 1024))[None]
        box = DecodeBoxes(max_boxes=1)(far)["boxes"].numpy()
    finally:
        keras.config.set_dtype_policy("float32")
    assert box.tolist() == [[[4001, 0, 4007, 8]]]


def test_decoding_in_a_model_of_any_size_survives_saving(tmp_path):
    maps = keras.Input((None, None, 6))
    model = keras.Model(maps, DecodeBoxes(max_boxes=3, stride=2)(maps))
    model.save(tmp_path / "boxes.keras")
    loaded = keras.saving.load_model(tmp_path / "boxes.keras")
    x = np.random.default_rng(0).uniform(size=(2, 5, 6, 6))
    expected, received = (
        model.predict(x, verbose=0),
        loaded.predict(x, verbose=0),
    )
    assert loaded.output["boxes"].shape == (None, 3, 4)
    assert loaded.output["classes"].dtype == "int32"
    for key, value in expected.items():
        np.testing.assert_array_equal(received[key], value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DetectionHead(0), "`classes` must be a positive integer"),
        (lambda: DecodeBoxes(max_boxes=0), "`max_boxes` must be a positive"),
        (lambda: DecodeBoxes(stride=1.5), "`stride` must be a positive"),
        (
            lambda: DecodeBoxes(max_boxes=9)(np.zeros((1, 2, 4, 5))),
            "at most the number of places on the heatmaps, 8",
        ),
        (
            lambda: DecodeBoxes()(np.zeros((1, 2, 4))),
            r"must be maps .* Received: shape \(1, 2, 4\)",
        ),
        (
            lambda: DecodeBoxes()(np.zeros((1, 20, 20, 4))),
            r"must be maps .* Received: shape \(1, 20, 20, 4\)",
        ),
    ],
)
def test_bad_options_of_head_and_decoding_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------ loss


def loss_of_image(y, p):
    """The paper's loss of one image, cell by cell."""
    classes = y.shape[-1] - 4
    focal = size = offset = objects = 0.0
    for row in np.ndindex(y.shape[:2]):
        centre = False
        for c in range(classes):
            label, value = y[row][c], p[row][c]
            if label == 1:
                objects += 1
                centre = True
                focal -= (1 - value) ** ALPHA * np.log(value)
            else:
                focal -= (1 - label) ** BETA * value**ALPHA * np.log(1 - value)
        if centre:
            error = np.abs(y[row] - p[row])[-4:]
            size += error[0] + error[1]
            offset += error[2] + error[3]
    return (focal + SIZE * size + OFFSET * offset) / max(objects, 1)


def batch(side=8, classes=2):
    """Labels with 3, 0, 1 and 2 objects, and predictions, in float64."""
    draw = np.random.default_rng(0)
    y = []
    for n in (3, 0, 1, 2):
        centres = draw.uniform(0, 2 * side, (n, 2))
        half = draw.uniform(4, 10, (n, 2))
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        labels = draw.integers(0, classes, n)
        y.append(encode_boxes(boxes, labels, classes, (side, side), stride=2))
    y = np.stack(y).astype("float64")
    p = draw.normal(size=y.shape)
    p[..., :classes] = 1 / (1 + np.exp(-p[..., :classes]))
    return y, p


def test_loss_is_the_mean_over_images_of_a_loop():
    y, p = batch()
    each = [loss_of_image(a, b) for a, b in zip(y, p, strict=True)]
    values = np.asarray(CenterNetLoss().call(y, p))
    assert values.shape == (4, 8, 8)
    np.testing.assert_allclose(values.mean(axis=(1, 2)), each, rtol=1e-5)
    np.testing.assert_allclose(CenterNetLoss()(y, p), np.mean(each), rtol=1e-5)


def test_weights_and_exponents_are_used():
    y, p = batch()
    base = float(CenterNetLoss()(y, p))
    for change in ("alpha", "beta", "size_weight", "offset_weight"):
        assert float(CenterNetLoss(**{change: 3.0})(y, p)) != pytest.approx(
            base
        )


def test_the_gradient_equals_finite_differences():
    y, p = (x[[1, 3]] for x in batch(side=4, classes=1))
    assert ((y[..., 0] > 0) & (y[..., 0] < 1)).any()

    def total(p):
        return keras.ops.sum(CenterNetLoss().call(y, p))

    np.testing.assert_allclose(
        gradient(total, p), differences(total, p), rtol=1e-5, atol=1e-6
    )


def test_what_is_perfect_costs_nothing_and_what_is_wrong_has_a_gradient():
    y, _ = (x.astype("float32") for x in batch())
    perfect = np.concatenate([y[..., :2] == 1, y[..., 2:]], -1).astype(
        "float32"
    )
    assert float(CenterNetLoss()(y, perfect)) == pytest.approx(0, abs=1e-5)
    # A heatmap of 0 or 1 for sure, where it is the other.
    wrong = np.concatenate([y[..., :2] != 1, y[..., 2:]], -1).astype("float32")
    assert np.isfinite(float(CenterNetLoss()(y, wrong)))
    slope = gradient(lambda p: CenterNetLoss()(y, p), wrong)
    assert np.isfinite(slope).all()
    # Steep enough to survive the flat end of the sigmoid.
    assert (slope[..., :2][y[..., :2] == 1] < -1e3).all()


def test_labels_for_another_number_of_classes_are_named():
    y, p = batch(classes=1)[0], batch(classes=2)[1]
    with pytest.raises(ValueError, match=r"\(4, 8, 8, 6\).*\(4, 8, 8, 5\)"):
        CenterNetLoss()(y, p)


def test_images_without_labels_are_left_out():
    y, p = (x.astype("float32") for x in batch())
    y[2] = np.nan
    inputs = keras.Input(p.shape[1:])
    model = MultiTaskModel(
        inputs,
        {"boxes": keras.layers.Identity()(inputs)},
        tasks=[Task("boxes", "regression", loss=CenterNetLoss(), metrics=[])],
    )
    model.compile("sgd")
    logs = model.evaluate(p, {"boxes": y}, verbose=0, return_dict=True)
    each = [loss_of_image(y[i], p[i]) for i in (0, 1, 3)]
    assert logs["boxes_loss"] == pytest.approx(np.mean(each), rel=1e-4)


# -------------------------------------------------------------- learning


def scenes(count, seed):
    """Rectangles of two colours on noise, 32×32."""
    draw = np.random.default_rng(seed)
    x = draw.normal(0, 0.1, (count, 32, 32, 3)).astype("float32")
    y, boxes, classes = [], [], []
    for image in x:
        own, labels = [], []
        for place in draw.choice(4, draw.integers(1, 4), replace=False):
            width, height = draw.integers(6, 13, 2)
            left = (place % 2) * 16 + draw.integers(0, 17 - width)
            top = (place // 2) * 16 + draw.integers(0, 17 - height)
            label = draw.integers(0, 2)
            image[top : top + height, left : left + width, label] += 1
            own.append([left, top, left + width, top + height])
            labels.append(label)
        y.append(encode_boxes(own, labels, 2, (8, 8)))
        boxes.append(own)
        classes.append(labels)
    return x, np.stack(y), boxes, classes


def test_a_small_network_learns_to_find_rectangles():
    keras.utils.set_random_seed(0)
    x, y, _, _ = scenes(512, seed=0)
    conv = keras.layers.Conv2D
    inputs = keras.Input((32, 32, 3))
    h = conv(16, 3, strides=2, padding="same", activation="relu")(inputs)
    h = conv(32, 3, strides=2, padding="same", activation="relu")(h)
    h = conv(32, 3, padding="same", activation="relu")(h)
    outputs = {"boxes": DetectionHead(2, hidden=32, name="boxes")(h)}
    task = Task("boxes", "regression", loss=CenterNetLoss(), metrics=[])
    model = MultiTaskModel(inputs, outputs, tasks=[task])
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, {"boxes": y}, batch_size=32, epochs=12, verbose=0)

    x, _, boxes, classes = scenes(64, seed=1)
    maps = model.predict(x, verbose=0)["boxes"]
    found = DecodeBoxes(max_boxes=8)(maps)
    score = mean_average_precision(
        boxes,
        classes,
        *(found[key].numpy() for key in ("boxes", "scores", "classes")),
    )
    assert score > 0.8
