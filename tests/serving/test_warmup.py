import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving import check, export
from keras_mtl.serving.warmup import (
    WARMUP,
    Request,
    read_warmup,
    write_warmup,
)


@pytest.fixture(scope="module")
def warmed(two_tasks, tmp_path_factory):
    """An export with a warm-up file, its model and rows."""
    model = two_tasks()
    rows = np.random.default_rng(2).normal(size=(40, 4))
    path = export(
        model,
        tmp_path_factory.mktemp("warm") / "my model",
        groups={"both": ["left", "right"]},
        examples=True,
        warmup=rows,
    )
    return model, path, rows


def requests_of(path):
    return list(read_warmup(path / "assets.extra" / WARMUP))


def test_every_signature_gets_one_row_and_several(warmed):
    _, path, rows = warmed
    requests = requests_of(path)
    assert [r.signature for r in requests] == [
        name
        for name in sorted(
            ["serving_default", "serving_examples", "left", "right", "both"]
        )
        for _ in range(2)
    ]
    for request in requests:
        if request.signature == "serving_examples":
            continue
        given = request.inputs["x"]
        assert given.dtype == np.float32 and len(given) in (1, 32)
        np.testing.assert_array_equal(given, rows[: len(given)].astype("f"))


def test_check_replays_the_file(warmed):
    report = check(warmed[1])
    assert report.ok
    assert report.warmup_requests == 10 and report.warmup_error is None
    assert report.signatures["serving_examples"].ran


def test_the_request_is_a_real_row(warmed):
    _, path, rows = warmed
    request = (path / "assets.extra/request.json").read_text()
    first = [round(float(x), 2) for x in rows[0].astype("f")]
    assert str(first) in request


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda f: write_warmup(f, "m", [Request("gone", {})]),
            "request 1 is to the signature 'gone', which is not there",
        ),
        (
            lambda f: write_warmup(
                f, "m", [Request("left", {"y": np.zeros(1)})]
            ),
            r"request 1 gives \['y'\], not \['x'\]",
        ),
        (
            lambda f: write_warmup(
                f, "m", [Request("left", {"x": np.zeros((1, 3), "f")})]
            ),
            "request 1: ",
        ),
        (lambda f: f.write_bytes(b"short"), "it holds no request"),
        (lambda f: f.write_bytes(b"no record" * 9), "request 1: the file is"),
        (
            lambda f: f.write_bytes(f.read_bytes()[:-9]),
            r"request 10: the file is damaged \(DataLossError\)",
        ),
    ],
)
def test_a_file_that_does_not_run(warmed, tmp_path, write, message):
    path = shutil.copytree(warmed[1], tmp_path / "1")
    write(path / "assets.extra" / WARMUP)
    report = check(path)
    assert not report.ok
    assert re.match(message, report.warmup_error)
    assert all(s.ran for s in report.signatures.values())


def test_text_goes_through(text_model, tmp_path):
    texts = np.array(["a b", "grüße", ""])
    path = export(text_model, tmp_path / "text", examples=True, warmup=texts)
    (alone, together) = (r for r in requests_of(path) if r.signature == "tone")
    assert alone.inputs["text"].tolist() == [b"a b"]
    assert together.inputs["text"].tolist() == [
        b"a b",
        "grüße".encode(),
        b"",
    ]
    assert check(path).ok
    assert '"a b"' in (path / "assets.extra/request.json").read_text()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 3)), r"the shape \(None, 4\) for input 'x'.*\(2, 3\)"),
        (np.zeros((0, 4)), r"must have rows.*'x': 0"),
        ({"y": np.zeros((2, 4))}, r"by input name, of \['x'\].*dict"),
        (np.array([["a"] * 4]), "must have float32 for input 'x'"),
    ],
)
def test_rows_that_do_not_fit(model, tmp_path, rows, message):
    with pytest.raises(ValueError, match=f"`warmup` {message}|{message}"):
        export(model, tmp_path / "m", warmup=rows)
    assert not (tmp_path / "m").exists()


def test_bytes_are_those_of_tf_serving(warmed):
    api = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    _, path, rows = warmed
    records = tf.data.TFRecordDataset(str(path / "assets.extra" / WARMUP))
    logs = [
        (api.PredictionLog.FromString(r), r)
        for r in records.as_numpy_iterator()
    ]
    assert len(logs) == 10
    for log, record in logs:
        assert log.SerializeToString(deterministic=True) == record
        assert log.WhichOneof("log_type") == "predict_log"
        spec = log.predict_log.request.model_spec
        assert spec.name == "my_model"
    left = [
        log.predict_log.request
        for log, _ in logs
        if log.predict_log.request.model_spec.signature_name == "left"
    ]
    assert [tf.make_ndarray(r.inputs["x"]).shape for r in left] == [
        (1, 4),
        (32, 4),
    ]
    np.testing.assert_array_equal(
        tf.make_ndarray(left[1].inputs["x"]), rows[:32].astype("f")
    )


def test_requests_to_other_apis_are_told(tmp_path):
    api = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    log = api.PredictionLog()
    log.classify_log.request.model_spec.name = "m"
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as file:
        file.write(log.SerializeToString())
    with pytest.raises(ValueError, match="not to the predict API"):
        list(read_warmup(tmp_path / "file"))
