"""Loads an export as TF Serving does, runs every signature and times it."""

import dataclasses
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_mtl.serving.examples import made_inputs
from keras_mtl.serving.session import (
    SessionModel,
    TensorInfo,
    open_session,
    reason,
)
from keras_mtl.serving.versions import version_directory

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
    """

    path: Path
    signatures: dict[str, SignatureReport]

    @property
    def ok(self) -> bool:
        """Whether there are signatures and all of them ran."""
        reports = self.signatures.values()
        return bool(reports) and all(report.ran for report in reports)


def check(path: str | os.PathLike[str]) -> CheckReport:
    """Tries an exported model the way TF Serving would run it.

    Args:
        path: A version's directory, or a model's, of which the newest
            version is taken.

    Returns:
        What each signature takes and gives, whether it runs on made inputs,
        and how long that takes on this machine.

    Raises:
        ValueError: There is no SavedModel, or it is broken.

    Example:
    >>> report = check("saved_models/digits")  # doctest: +SKIP
    >>> report.ok, list(report.signatures)  # doctest: +SKIP
    (True, ['digit', 'parity', 'serving_default'])
    """
    version_dir = version_directory(Path(path).expanduser())
    with open_session(version_dir) as model:
        reports = {
            name: _try_signature(model, name)
            for name in sorted(model.signatures)
        }
    return CheckReport(version_dir, reports)


def _try_signature(model: SessionModel, name: str) -> SignatureReport:
    signature = model.signatures[name]
    report = SignatureReport(signature.inputs, signature.outputs, ran=False)
    try:
        single, batched = (
            _median_ms(model, name, made_inputs(signature.inputs, batch))
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
