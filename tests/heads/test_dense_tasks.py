"""Segmentation, depth and detection on one trunk."""

import keras
import numpy as np
import pytest

from keras_mtl import Task, balancers, builders, serving
from keras_mtl.heads import (
    AbsoluteRelativeError,
    CenterNetLoss,
    DecodeBoxes,
    DeltaAccuracy,
    DepthHead,
    DetectionHead,
    ScaleInvariantLog,
    SegmentationHead,
    encode_boxes,
)
from keras_mtl.serving.session import open_session

pytestmark = pytest.mark.slow  # each compiles a step of three dense tasks

SIDE, CLASSES = 16, 3


def tasks():
    return [
        Task(
            "ground",
            "multiclass",
            units=CLASSES,
            head=SegmentationHead(CLASSES, factor=4),
            metrics=[
                "accuracy",
                keras.metrics.MeanIoU(
                    CLASSES,
                    sparse_y_pred=False,
                    name="mean_iou",
                    dtype="float32",
                ),
            ],
        ),
        Task(
            "depth",
            "regression",
            head=DepthHead(size=(SIDE, SIDE), hidden=4),
            loss=ScaleInvariantLog(),
            metrics=["mae", AbsoluteRelativeError(), DeltaAccuracy()],
            unit="m",
        ),
        Task(
            "boxes",
            "regression",
            head=DetectionHead(2, hidden=4),
            loss=CenterNetLoss(),
            metrics=[],
        ),
    ]


def model():
    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D
    blocks = [
        conv(8, 3, 2, padding="same", activation="relu", name="low"),
        conv(8, 3, 2, padding="same", activation="relu", name="high"),
    ]
    return builders.hard_sharing(keras.Input((SIDE, SIDE, 3)), tasks(), blocks)


def data(count=8):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, SIDE, SIDE, 3)).astype("float32")
    ground = draw.integers(0, CLASSES, (count, SIDE, SIDE))
    depth = draw.uniform(1, 5, (count, SIDE, SIDE)).astype("float32")
    boxes = np.stack(
        [
            encode_boxes([[2, 3, 12, 9]], [i % 2], 2, (4, 4))
            for i in range(count)
        ]
    )
    # Some pixels, and for some images everything.
    ground[:, :3], ground[0] = -1, -1
    depth[:, 2:5], depth[1] = np.nan, np.nan
    boxes[2] = np.nan
    return x, {"ground": ground, "depth": depth, "boxes": boxes}


@pytest.mark.parametrize("wrt", ["variables", "features"])
def test_they_train_together_with_labels_missing(wrt):
    x, y = data()
    tried = model()
    tried.compile(
        keras.optimizers.Adam(0.01), balancer=balancers.PCGrad(wrt=wrt)
    )
    logs = tried.fit(x, y, batch_size=4, epochs=15, verbose=0).history
    assert np.isfinite([v for k, v in logs.items() if k != "kept_out"]).all()
    assert sum(logs["kept_out"]) == 0
    for name in ("ground", "depth", "boxes"):
        assert logs[f"{name}_loss"][-1] < logs[f"{name}_loss"][0]
    assert logs["boxes_loss"][-1] < logs["boxes_loss"][0] / 2
    assert logs["depth_delta_accuracy"][-1] > logs["depth_delta_accuracy"][0]


def test_trained_weights_and_tasks_survive_saving(tmp_path):
    x, y = data()
    tried = model()
    tried.compile("adam", balancer="pcgrad")
    tried.train_on_batch(x, y)
    tried.save(tmp_path / "dense.keras")
    loaded = keras.saving.load_model(tmp_path / "dense.keras")
    expected, received = tried(x), loaded(x)
    for key, value in expected.items():
        np.testing.assert_array_equal(received[key], value)
    logs = [m.test_on_batch(x, y, return_dict=True) for m in (tried, loaded)]
    assert logs[0] == pytest.approx(logs[1])


def test_what_is_exported_gives_boxes(tmp_path):
    trained = model()
    found = DecodeBoxes(max_boxes=5, name="decode")(trained.output["boxes"])
    whole = keras.Model(
        trained.input,
        {
            "ground": trained.output["ground"],
            "depth": trained.output["depth"],
            **found,
        },
    )
    # `export` itself holds the SavedModel against `predict`.
    version = serving.export(whole, tmp_path / "dense")
    x, _ = data()
    expected = whole.predict(x[:2], verbose=0)
    with open_session(version) as saved:
        name = trained.input.name
        received = saved.run("serving_default", {name: x[:2]})
    assert set(received) == {"ground", "depth", "boxes", "scores", "classes"}
    assert received["boxes"].shape == (2, 5, 4)
    for key, value in expected.items():
        np.testing.assert_allclose(received[key], value, rtol=1e-4, atol=1e-4)
