"""Loads an export as TF Serving does, runs every signature and times it."""

import dataclasses
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving.examples import made_inputs
from keras_mtl.serving.export import EXTRA
from keras_mtl.serving.session import (
    SessionModel,
    TensorInfo,
    open_session,
    reason,
)
from keras_mtl.serving.signatures import ALL_TASKS, EXAMPLES, feed
from keras_mtl.serving.versions import version_directory
from keras_mtl.serving.warmup import (
    MOST_REQUESTS,
    WARMUP,
    Request,
    read_warmup,
)

_BATCH = 32
_MAX_RUNS = 20
_MAX_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class SignatureReport:
    """What became of one signature.

    Attributes:
        inputs: What it takes, by name.
        outputs: What it gives, by name.
        ran: Whether it ran on a batch of 1 and on a batch of 32.
        latency_single_ms: Median milliseconds for a batch of 1.
        latency_batch_ms: Median milliseconds for a batch of 32.
        error: Why it did not run.
    """

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    ran: bool
    latency_single_ms: float | None = None
    latency_batch_ms: float | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What became of an export.

    Attributes:
        path: The version's directory.
        signatures: The reports by signature name.
        warmup_requests: How many requests of the warm-up file ran.
        warmup_error: Why not all of them did.
    """

    path: Path
    signatures: dict[str, SignatureReport]
    warmup_requests: int = 0
    warmup_error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there are signatures, and all and the warm-up ran."""
        reports = self.signatures.values()
        return (
            bool(reports)
            and all(report.ran for report in reports)
            and self.warmup_error is None
        )


def check(path: str | os.PathLike[str]) -> CheckReport:
    """Tries an exported model the way TF Serving would run it.

    Args:
        path: A version's directory, or a model's, of which the newest
            version is taken.

    Returns:
        What each signature takes and gives, whether it runs, on the rows of
        the warm-up file or on made inputs, and how long that takes on this
        machine; and whether the warm-up file runs.

    Raises:
        ValueError: There is no SavedModel, or it is broken.

    Example:
    >>> report = check("saved_models/digits")  # doctest: +SKIP
    >>> report.ok, list(report.signatures)  # doctest: +SKIP
    (True, ['digit', 'parity', 'serving_default'])
    """
    version_dir = version_directory(Path(path).expanduser())
    with open_session(version_dir) as model:
        requests: list[Request] = []
        warmup_error = _replay(model, version_dir / EXTRA / WARMUP, requests)
        rows = {r.signature: r.inputs for r in requests}
        reports = {
            name: _try_signature(model, name, rows.get(name))
            for name in sorted(model.signatures)
        }
    return CheckReport(version_dir, reports, len(requests), warmup_error)


def _replay(
    model: SessionModel, file: Path, requests: list[Request]
) -> str | None:
    """Runs the requests of a file, and keeps those that ran."""
    if not file.exists():
        return None
    try:
        for request in read_warmup(file):
            number = len(requests) + 1
            if number > MOST_REQUESTS:
                return f"TF Serving takes at most {MOST_REQUESTS} requests"
            if (signature := model.signatures.get(request.signature)) is None:
                return (
                    f"request {number} is to the signature "
                    f"{request.signature!r}, which is not there"
                )
            if set(request.inputs) != set(signature.inputs):
                return (
                    f"request {number} gives {sorted(request.inputs)}, not "
                    f"{sorted(signature.inputs)}"
                )
            model.run(request.signature, request.inputs)
            requests.append(request)
    except (ValueError, tf.errors.OpError) as error:
        return f"request {len(requests) + 1}: {reason(error)}"
    return None if requests else "it holds no request"


def _try_signature(
    model: SessionModel, name: str, rows: Mapping[str, Any] | None
) -> SignatureReport:
    signature = model.signatures[name]
    report = SignatureReport(signature.inputs, signature.outputs, ran=False)
    try:
        single, batched = (
            _median_ms(model, name, _batch(model, name, rows, batch))
            for batch in (1, _BATCH)
        )
    except (ValueError, tf.errors.OpError) as error:
        return dataclasses.replace(report, error=reason(error))
    return dataclasses.replace(
        report,
        ran=True,
        latency_single_ms=single,
        latency_batch_ms=batched,
    )


def _batch(
    model: SessionModel, name: str, rows: Mapping[str, Any] | None, size: int
) -> dict[str, Any]:
    if rows is not None:
        return {k: x[np.arange(size) % len(x)] for k, x in rows.items()}
    # `feed` makes the `tf.Example`s.
    taker = model.signatures[ALL_TASKS if name == EXAMPLES else name]
    return feed(name, made_inputs(taker.inputs, size))


def _median_ms(
    model: SessionModel, name: str, inputs: Mapping[str, Any]
) -> float:
    model.run(name, inputs)  # the first run prepares the graph
    times: list[float] = []
    while len(times) < _MAX_RUNS and sum(times) < _MAX_SECONDS:
        start = time.perf_counter()
        model.run(name, inputs)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)
