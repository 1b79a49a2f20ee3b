"""Requests that TF Serving replays before it lets a version answer."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message
from google.protobuf.message_factory import GetMessageClass
from tensorflow.core.framework import tensor_pb2

WARMUP = "tf_serving_warmup_requests"

# Beyond these TF Serving takes no version.
MOST_REQUESTS = 1000


class Request(NamedTuple):
    """A request to the predict API.

    Attributes:
        signature: The signature's name.
        inputs: Arrays by input name.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]


def write_warmup(path: Path, model: str, requests: Iterable[Request]) -> None:
    """Writes a file of requests, as TF Serving reads it.

    Args:
        path: The file, `assets.extra/tf_serving_warmup_requests`.
        model: The model's name.
        requests: What to ask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for request in requests:
            log = _prediction_log()()
            asked = log.predict_log.request
            asked.model_spec.name = model
            asked.model_spec.signature_name = request.signature
            for name, array in request.inputs.items():
                asked.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            file.write(log.SerializeToString(deterministic=True))


def read_warmup(path: Path) -> Iterator[Request]:
    """The requests of a warm-up file.

    Args:
        path: The file.

    Yields:
        A request to the predict API.

    Raises:
        ValueError: The file is damaged, or has requests to another API.
    """
    log = _prediction_log()()
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log.ParseFromString(record)
            if not log.HasField("predict_log"):
                raise ValueError("a request that is not to the predict API")
            request = log.predict_log.request
            yield Request(
                request.model_spec.signature_name,
                {k: tf.make_ndarray(t) for k, t in request.inputs.items()},
            )
    except (tf.errors.OpError, message.DecodeError, TypeError) as error:
        raise ValueError(
            f"the file is damaged ({type(error).__name__})"
        ) from error


@functools.cache
def _prediction_log() -> Any:
    """The part of TF Serving's `PredictionLog` that the predict API needs.

    Fields on the wire are numbers: names and packages may differ. Its own
    would clash with the package `tensorflow-serving-api`, which holds all of
    it.
    """
    tensor = tensor_pb2.TensorProto.DESCRIPTOR
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_mtl/serving/prediction_log.proto",
        package="keras_mtl.serving",
        syntax="proto3",
        dependency=[tensor.file.name],
    )
    _add(file, "ModelSpec", {"name": 1, "signature_name": 3})
    request = _add(file, "PredictRequest", {"model_spec": (1, "ModelSpec")})
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1)
    _add_field(entry, "value", 2, f".{tensor.full_name}")
    _add_field(
        request, "inputs", 2, ".keras_mtl.serving.PredictRequest.InputsEntry"
    ).label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    _add(file, "PredictLog", {"request": (1, "PredictRequest")})
    _add(file, "PredictionLog", {"predict_log": (6, "PredictLog")})
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(
        pool.FindMessageTypeByName("keras_mtl.serving.PredictionLog")
    )


def _add(file: Any, name: str, fields: Mapping[str, Any]) -> Any:
    added = file.message_type.add(name=name)
    for field, number in fields.items():
        if isinstance(number, int):
            _add_field(added, field, number)
        else:
            _add_field(added, field, number[0], f".{file.package}.{number[1]}")
    return added


def _add_field(
    owner: Any, name: str, number: int, type_name: str | None = None
) -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    return owner.field.add(
        name=name,
        number=number,
        label=kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_MESSAGE if type_name else kinds.TYPE_STRING,
        type_name=type_name,
    )
