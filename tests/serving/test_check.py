import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving import check, export
from keras_mtl.serving.session import TensorInfo


def test_report_tells_signatures_and_latency(exported):
    _, path = exported
    report = check(path)
    assert report.ok and report.path == path
    assert list(report.signatures) == ["left", "right", "serving_default"]
    left = report.signatures["left"]
    assert left.inputs == {"x": TensorInfo("float32", (None, 4))}
    assert left.outputs == {"left": TensorInfo("float32", (None, 3))}
    for signature in report.signatures.values():
        assert signature.ran and signature.error is None
        assert signature.latency_single_ms > 0
        assert signature.latency_batch_ms > 0


def test_model_directory_means_newest_version(exported, tmp_path):
    _, path = exported
    for name in ("2", "10", ".next-1.tmp"):
        shutil.copytree(path, tmp_path / "m" / name)
    assert check(tmp_path / "m").path == tmp_path / "m" / "10"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "there is no such directory"),
        (lambda p: p.write_text(""), "this is not a directory"),
        (
            lambda p: p.mkdir(),
            "this directory holds no saved_model.pb and no version",
        ),
    ],
)
def test_nothing_there(tmp_path, make, message):
    make(tmp_path / "m")
    with pytest.raises(ValueError, match=f"`path` must be.*m'; {message}"):
        check(tmp_path / "m")


def cut(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: cut(p / "saved_model.pb"),
        lambda p: (p / "saved_model.pb").write_text("not a protobuf"),
        lambda p: cut(p / "variables/variables.data-00000-of-00001"),
        lambda p: (p / "variables/variables.index").unlink(),
        lambda p: shutil.rmtree(p / "variables"),
    ],
)
def test_broken(exported, tmp_path, damage):
    path = shutil.copytree(exported[1], tmp_path / "1")
    damage(path)
    with pytest.raises(ValueError, match=r"it is broken, TensorFlow says: \S"):
        check(path)


def test_signature_that_does_not_run(tmp_path):
    module = tf.Module()
    number = tf.function(
        lambda x: {"y": tf.strings.to_number(x)},
        input_signature=[tf.TensorSpec([None], tf.string, name="x")],
    )
    length = tf.function(
        lambda x: {"y": tf.strings.length(x)},
        input_signature=[tf.TensorSpec([None], tf.string, name="x")],
    )
    tf.saved_model.save(
        module,
        str(tmp_path / "1"),
        signatures={"number": number, "length": length},
    )
    report = check(tmp_path)
    assert not report.ok
    assert report.signatures["length"].ran
    failed = report.signatures["number"]
    assert not failed.ran and failed.latency_single_ms is None
    assert "could not correctly convert string" in failed.error


def test_export_by_keras_can_be_checked(tmp_path):
    x = keras.Input((2,), name="x")
    model = keras.Model(x, {"a": keras.layers.Dense(1)(x)})
    model.export(tmp_path / "1", verbose=False)
    assert check(tmp_path).ok


def test_report_holds_for_unknown_sizes(tmp_path):
    x = keras.Input((None, 2), name="x")
    h = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(x, {"a": keras.layers.Dense(1)(h)})
    report = check(export(model, tmp_path))
    assert report.ok
    assert report.signatures["a"].inputs["x"].shape == (None, None, 2)
    assert np.isfinite(report.signatures["a"].latency_batch_ms)
