"""Exports beside the SavedModel: LiteRT, ONNX and OpenVINO."""

import contextlib
import importlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving.session import reason
from keras_mtl.serving.signatures import ALL_TASKS

Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Arrays], dict[str, np.ndarray]]


def convert(module: Any, function: Any, format: str, folder: Path) -> Runner:
    """Writes a traced model in another format.

    Args:
        module: What owns the variables of the function.
        function: The function with the outputs of all tasks.
        format: A key of `FORMATS`.
        folder: Where to write.

    Returns:
        A function that runs the written file, for one batch.

    Raises:
        ValueError: A package is missing, or the format cannot hold the
            model.
    """
    make, packages = FORMATS[format]
    _require(format, packages)
    with tempfile.TemporaryDirectory() as directory, _quiet():
        tf.saved_model.save(module, directory, signatures={ALL_TASKS: function})
        try:
            return make(directory, folder)
        except Exception as error:
            raise ValueError(
                f"`model` cannot be converted to format={format!r}. Received: "
                f"{reason(error)}. Text and lookups stay outside of it, or "
                "take format='saved_model'. Nothing was written."
            ) from error


def _litert(saved_model: str, folder: Path) -> Runner:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[ALL_TASKS]
    )
    file = folder / "model.tflite"
    file.write_bytes(converter.convert())

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        with _quiet():
            runner = tf.lite.Interpreter(str(file)).get_signature_runner(
                ALL_TASKS
            )
            outputs: dict[str, np.ndarray] = runner(**inputs)
        return outputs

    return run


def _onnx(saved_model: str, folder: Path) -> Runner:
    import onnxruntime
    import tf2onnx

    loaded = tf.saved_model.load(saved_model)  # owns the variables
    served = loaded.signatures[ALL_TASKS]
    names = list(served.structured_outputs)
    _, specs = served.structured_input_signature
    file = folder / "model.onnx"
    tf2onnx.convert.from_function(
        tf.function(lambda inputs: served(**inputs)),
        [specs],
        output_path=str(file),
    )
    session = onnxruntime.InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    )

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run


def _openvino(saved_model: str, folder: Path) -> Runner:
    import openvino

    model = openvino.convert_model(saved_model)
    openvino.save_model(
        model, str(folder / "model.xml"), compress_to_fp16=False
    )
    # Some processors would else compute in bfloat16.
    compiled = openvino.Core().compile_model(
        str(folder / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        return {
            port.get_any_name(): value
            for port, value in compiled(dict(inputs)).items()
        }

    return run


# What makes it, and the packages that it needs, by name in Python and in pip.
FORMATS: dict[str, tuple[Callable[[str, Path], Runner], dict[str, str]]] = {
    "litert": (_litert, {}),
    "onnx": (
        _onnx,
        {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
    ),
    "openvino": (_openvino, {"openvino": "openvino"}),
}


def _require(format: str, packages: Mapping[str, str]) -> None:
    for module, package in packages.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            needed = " ".join(packages.values())
            raise ValueError(
                f"`format={format!r}` needs the package {package!r}, which "
                f"cannot be imported ({error}). Run: pip install {needed}"
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TensorFlow announces that the interpreter will move.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
