import json
import os
import sys

import numpy as np
import pytest

from keras_mtl.serving import export, formats

FILES = {
    "litert": {"model.tflite"},
    "onnx": {"model.onnx"},
    "openvino": {"model.xml", "model.bin"},
}
PACKAGES = {"litert": [], "onnx": ["tf2onnx", "onnxruntime"], "openvino": None}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", list(FILES))
def test_numbers_equal_predict(two_tasks, tmp_path, format):
    for package in PACKAGES[format] or [format] * (format == "openvino"):
        pytest.importorskip(package)
    model = two_tasks()
    path = export(model, tmp_path / "m", format=format)
    assert path == tmp_path / "m" / "1"
    assert set(os.listdir(path)) == FILES[format] | {"assets.extra"}
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert [t["name"] for t in card["tasks"]] == ["left", "right"]


@pytest.mark.filterwarnings("ignore")
def test_the_written_file_is_run(two_tasks, tmp_path, monkeypatch, rows):
    runs = []
    convert = formats.convert

    def watched(*args):
        run = convert(*args)

        def spoiled(inputs):
            runs.append(inputs)
            return {k: y + 1e-3 for k, y in run(inputs).items()}

        return spoiled

    monkeypatch.setitem(export.__globals__, "convert", watched)
    with pytest.raises(
        ValueError, match=r"something else.*format 'litert'.*more than 0\.0001"
    ):
        export(two_tasks(), tmp_path, format="litert", warmup=rows)
    np.testing.assert_array_equal(runs[0]["x"], rows[:1])
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("ignore")
def test_text_is_refused(text_model, tmp_path):
    with pytest.raises(
        ValueError, match=r"cannot be converted to format='litert'.*Text"
    ):
        export(text_model, tmp_path, format="litert")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("format", "missing", "line"),
    [
        ("onnx", "tf2onnx", "pip install tf2onnx onnxruntime"),
        ("openvino", "openvino", "pip install openvino"),
    ],
)
def test_a_missing_package(model, tmp_path, monkeypatch, format, missing, line):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ValueError, match=f"needs the package '{missing}'.*{line}$"
    ):
        export(model, tmp_path, format=format)
    assert os.listdir(tmp_path) == []


def test_formats_that_do_not_suit(model, tmp_path):
    with pytest.raises(ValueError, match=r"`format` must be one of.*'h5'"):
        export(model, tmp_path, format="h5")
    with pytest.raises(
        ValueError, match="Only format='saved_model' has `groups` and `float16`"
    ):
        export(
            model,
            tmp_path,
            format="onnx",
            groups={"g": ["left"]},
            float16=True,
        )
