"""What TensorBoard's page HParams shows of a search."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from keras_tuner.engine import hyperparameters as kinds
from tensorboard.plugins.hparams import api, api_pb2
from tensorboard.plugins.hparams.summary import session_end_pb


def write_space(
    log_dir: str | os.PathLike[str],
    space: Iterable[Any],
    metrics: Mapping[str, str],
) -> None:
    """Writes which hyperparameters there are, and which metrics.

    Args:
        log_dir: The folder in which those of the trials will be.
        space: Hyperparameters of KerasTuner. Of those with one name, under
            several conditions, the first is described.
        metrics: Titles by the tag of their curves.
    """
    named: dict[str, Any] = {}
    for parameter in space:
        named.setdefault(parameter.name, parameter)
    with _writer(log_dir).as_default() as writer:
        api.hparams_config(
            hparams=[
                api.HParam(name, _domain(parameter))
                for name, parameter in named.items()
            ],
            metrics=[
                api.Metric(tag, display_name=title)
                for tag, title in metrics.items()
            ],
        )
        writer.close()


def write_trial(
    log_dir: str | os.PathLike[str],
    trial: str,
    values: Mapping[str, Any],
    curves: Mapping[str, Sequence[float]],
    *,
    failed: bool = False,
) -> None:
    """Writes a trial that has ended: what it tried and what came of it.

    Args:
        log_dir: A folder of its own.
        trial: Its name.
        values: The hyperparameters, by name.
        curves: Values of each epoch, by tag. What is known at the end alone
            is a curve of one point.
        failed: Whether nothing came of it.
    """
    last = max(map(len, curves.values()), default=1) - 1
    with _writer(log_dir).as_default() as writer:
        api.hparams(dict(values), trial_id=trial)
        for tag, curve in curves.items():
            first = last + 1 - len(curve)
            for step, value in enumerate(curve, first):
                tf.summary.scalar(tag, value, step=step)
        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        tf.summary.experimental.write_raw_pb(
            session_end_pb(status).SerializeToString(), step=0
        )
        writer.close()


def _writer(log_dir: str | os.PathLike[str]) -> Any:
    return tf.summary.create_file_writer(os.fspath(log_dir))


def _domain(parameter: Any) -> Any:
    if isinstance(parameter, kinds.Float):
        return api.RealInterval(parameter.min_value, parameter.max_value)
    if isinstance(parameter, kinds.Int):
        return api.IntInterval(parameter.min_value, parameter.max_value)
    return api.Discrete(list(parameter.values))
