"""Writes a model for TF Serving: whole, checked, or not at all."""

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl import _files
from keras_mtl._version import __version__
from keras_mtl.serving.configs import served_name
from keras_mtl.serving.examples import (
    given_inputs,
    made_inputs,
    predict_request,
)
from keras_mtl.serving.formats import FORMATS, convert
from keras_mtl.serving.session import SessionModel, Signature, open_session
from keras_mtl.serving.signatures import (
    ALL_TASKS,
    build_signatures,
    computes_in_half_precision,
    feed,
    traced_signature,
)
from keras_mtl.serving.verification import tolerance, verify
from keras_mtl.serving.versions import versions
from keras_mtl.serving.warmup import WARMUP, Request, write_warmup
from keras_mtl.tasks import Task

EXTRA = "assets.extra"
MODEL_CARD = "model_card.json"
REQUEST = "request.json"
SAVED_MODEL = "saved_model"

# Of the rows that `warmup` gives.
_LARGEST_WARMUP = 32


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
    format: str = SAVED_MODEL,
    groups: Mapping[str, Sequence[str]] | None = None,
    examples: bool = False,
    float16: bool = False,
    warmup: Any = None,
    tasks: Mapping[str, Task] | None = None,
) -> Path:
    """Writes a model as the next version that TF Serving will pick up.

    The SavedModel has the signature `serving_default`, which gives the
    outputs of all tasks by key, and one signature for each task, named by its
    key, which computes that task alone. It holds the weights once, and
    nothing of the optimizer or the balancer. Before it appears under its
    number it is loaded as TF Serving does and held against `model.predict`.

    Inputs and outputs in half precision are float32 in the export, because
    TF Serving's REST API has no half precision.

    Args:
        model: A `MultiTaskModel`, or any Functional model whose outputs are a
            dict.
        path: The directory of the model, `saved_models/<name>`. It is made
            if it does not exist.
        version: A positive number that is still free. Defaults to one more
            than the newest.
        format: `"saved_model"`, `"litert"`, `"onnx"` or `"openvino"`. All but
            the first hold the outputs of all tasks alone, and may be off by
            1e-4 of an output's largest value.
        groups: Tasks by the name of a signature that computes them and no
            others, `{"people": ["age", "pose"]}`.
        examples: Whether to add the signature `serving_examples`, whose input
            `examples` takes serialized `tf.Example`s with a feature for each
            of the model's inputs.
        float16: Whether to store the weights in half the bytes. They are
            cast back when the model is loaded. Outputs may be off by 1e-2 of
            their largest value; class indices and strings that the model
            decodes itself are then checked for shapes and dtypes alone.
        warmup: Real rows, as `model.predict` takes them. TF Serving replays
            them (the first alone, and up to 32 together, for every
            signature) before it lets the version answer, so that the first
            users do not wait. The export is checked with them in place of
            rows that are made up.
        tasks: What outputs mean, by key, for the model card: kinds, units
            and class names. Defaults to the model's, if it has them: a
            Functional model around a `MultiTaskModel` has none.

    Returns:
        The version's directory.

    Raises:
        ValueError: The model cannot be exported, or its export computes
            something else than the model, or a package for the format is
            missing.
        FileExistsError: `version` is there already.
        OSError: `path` cannot be written to.

    Example:
    >>> import keras
    >>> inputs = keras.Input((4,), name="pixels")
    >>> outputs = {"digit": keras.layers.Dense(10)(inputs)}
    >>> model = keras.Model(inputs, outputs)
    >>> export(model, "saved_models/digits").name  # doctest: +SKIP
    '1'
    """
    model_dir = Path(path).expanduser()
    if version is not None:
        _check_version(version, model_dir)
    _check_format(format, groups=groups, examples=examples, float16=float16)
    module, functions = build_signatures(
        model, groups=groups, examples=examples, float16=float16
    )
    signature = traced_signature(functions[ALL_TASKS])
    batches = _batches(model, signature, warmup)
    rtol = tolerance(
        half=any(map(computes_in_half_precision, functions.values())),
        half_weights=float16,
        converted=format != SAVED_MODEL,
    )
    _files.clear_abandoned(model_dir)  # large, and nobody sees them
    with _files.hidden_directory(model_dir / str(version or "next")) as staged:
        with _disk_errors_explained(model_dir):
            if format == SAVED_MODEL:
                tf.saved_model.save(module, str(staged), signatures=functions)
                _verify(staged, model, batches, rtol)
                if warmup is not None:
                    _write_warmup(staged, model_dir.name, functions, batches)
            else:
                run = convert(module, functions[ALL_TASKS], format, staged)
                for inputs in batches:
                    verify({f"format {format!r}": run}, model, inputs, rtol)
        _write_extras(
            staged,
            signature,
            list(model.output),
            (getattr(model, "tasks", None) if tasks is None else tasks) or {},
            batches[0],
        )
        return _publish(staged, model_dir, version)


def _check_format(format: str, **options: Any) -> None:
    if format not in (SAVED_MODEL, *FORMATS):
        raise ValueError(
            f"`format` must be one of {[SAVED_MODEL, *FORMATS]}. Received: "
            f"format={format!r}"
        )
    given = {name: value for name, value in options.items() if value}
    if format != SAVED_MODEL and given:
        raise ValueError(
            f"Only format={SAVED_MODEL!r} has "
            f"{' and '.join(f'`{name}`' for name in given)}. Received: "
            f"format={format!r}; leave them out."
        )


def _check_version(version: int, model_dir: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            "`version` must be a positive integer. Received: "
            f"version={version!r}; leave it out for the next free one."
        )
    if version in versions(model_dir):
        raise FileExistsError(
            f"`version` must be free. Received: version={version}, which is "
            f"in {str(model_dir)!r} already; leave it out for the next free "
            "one."
        )


def _publish(staged: Path, model_dir: Path, version: int | None) -> Path:
    while True:
        number = version or max(versions(model_dir), default=0) + 1
        target = model_dir / str(number)
        try:
            _files.publish(staged, target)
        except FileExistsError:
            if version is not None:
                raise
            continue  # another export took the number meanwhile
        return target


def _batches(
    model: Any, signature: Signature, warmup: Any
) -> list[dict[str, np.ndarray]]:
    """One row, and several."""
    if warmup is None:
        return [made_inputs(signature.inputs, batch) for batch in (1, 3)]
    rows = given_inputs(model, signature.inputs, warmup)
    number = min(len(next(iter(rows.values()))), _LARGEST_WARMUP)
    return [
        {name: x[:size] for name, x in rows.items()}
        for size in sorted({1, number})
    ]


def _verify(
    staged: Path,
    model: Any,
    batches: Sequence[Mapping[str, np.ndarray]],
    rtol: float,
) -> None:
    with open_session(staged) as saved:
        runs = {
            f"signature {name!r}": functools.partial(_run, saved, name)
            for name in saved.signatures
        }
        for inputs in batches:
            verify(runs, model, inputs, rtol)


def _run(
    saved: SessionModel, name: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    return saved.run(name, feed(name, inputs))


def _write_warmup(
    staged: Path,
    name: str,
    signatures: Iterable[str],
    batches: Sequence[Mapping[str, np.ndarray]],
) -> None:
    requests = [
        Request(signature, feed(signature, inputs))
        for signature in sorted(signatures)
        for inputs in batches
    ]
    write_warmup(staged / EXTRA / WARMUP, served_name(name), requests)


def _write_extras(
    staged: Path,
    signature: Signature,
    keys: Sequence[str],
    tasks: Mapping[str, Task],
    inputs: Mapping[str, np.ndarray],
) -> None:
    card = {
        "keras_mtl_version": __version__,
        "tasks": [
            {
                "name": key,
                "kind": getattr(tasks.get(key), "kind", None),
                "unit": getattr(tasks.get(key), "unit", None),
                "class_names": getattr(tasks.get(key), "class_names", None),
                "shape": signature.outputs[key].shape,
                "dtype": signature.outputs[key].dtype,
            }
            for key in keys
        ],
        "inputs": [
            {"name": name, "shape": info.shape, "dtype": info.dtype}
            for name, info in signature.inputs.items()
        ],
    }
    request = predict_request(inputs)
    extra = staged / EXTRA
    _files.write_text(extra / MODEL_CARD, json.dumps(card, indent=2) + "\n")
    _files.write_text(extra / REQUEST, json.dumps(request) + "\n")


@contextlib.contextmanager
def _disk_errors_explained(model_dir: Path) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow has no error class for this.
        if "No space left" in error.message:
            raise _files.CannotWriteError(
                model_dir, "No space left on device"
            ) from error
        raise
