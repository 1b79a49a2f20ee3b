"""Single-task models to hold trials against, trained once and remembered."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mtl import _files
from keras_mtl._version import __version__
from keras_mtl.analysis.results import to_json
from keras_mtl.analysis.training import (
    evaluate,
    judged,
    judging_metrics,
    train_once,
)
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tasks import TaskSet

Scores = dict[str, dict[str, float]]


def single_task_scores(
    recipe: Recipe,
    splits: Splits,
    *,
    epochs: int,
    seed: int,
    cache: Path,
    on_epoch: Callable[[str, int, int, int], None] | None = None,
) -> Scores:
    """What a model for each task alone reaches.

    They are trained once: results are kept under a hash of all that they
    depend on, which is the recipe's code, its tasks, the data, epochs, batch
    size, seed and the versions of Keras and of this package.

    Args:
        recipe: What to train.
        splits: From `load_splits`.
        epochs: As many as a trial has.
        seed: Of weights and data order.
        cache: The folder in which results are kept.
        on_epoch: Called with the task, its number, epochs done and epochs.

    Returns:
        The judging metric by task, for "validation" and "test".

    Raises:
        OSError: The cache cannot be written.
    """
    key = content_hash(recipe, splits, epochs=epochs, seed=seed)
    file = cache / f"{key}.json"
    known = _read(file, recipe)
    if known is not None:
        return known
    metrics = judging_metrics(recipe)
    scores: Scores = {"validation": {}, "test": {}}
    for number, task in enumerate(recipe.tasks.values()):
        alone = TaskSet([task])

        def report(epoch: int, task: Any = task, number: int = number) -> None:
            if on_epoch is not None:
                on_epoch(task.name, number, epoch, epochs)

        report(0)
        model, _, _ = train_once(
            recipe,
            splits,
            alone,
            seed=seed,
            epochs=epochs,
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs, report=report: report(
                        epoch + 1
                    )
                )
            ],
        )
        for split, found in scores.items():
            measures = evaluate(model, recipe, splits, split, alone)
            found.update(judged(measures, metrics))
    _files.write_text(file, to_json(scores))
    return scores


def content_hash(
    recipe: Recipe, splits: Splits, *, epochs: int, seed: int
) -> str:
    """A name for all that the results of single-task models depend on."""
    digest = hashlib.sha256()
    metrics = judging_metrics(recipe)
    described = {
        "recipe": recipe.name,
        "tasks": [task.get_config() for task in recipe.tasks.values()],
        "judged_by": {name: metric.name for name, metric in metrics.items()},
        "batch_size": recipe.batch_size,
        "epochs": epochs,
        "seed": seed,
        "versions": [__version__, keras.__version__, keras.backend.backend()],
    }
    digest.update(to_json(described).encode())
    digest.update(_source(recipe.build))
    digest.update(_optimizer(recipe.optimizer))
    for split in (splits.train, splits.validation, splits.test):
        _add(digest, split)
    return digest.hexdigest()[:32]


def _add(digest: Any, data: Any) -> None:
    if isinstance(data, Mapping):
        for name in sorted(data):
            digest.update(str(name).encode())
            _add(digest, data[name])
    elif isinstance(data, (tuple, list)):
        for part in data:
            _add(digest, part)
    elif hasattr(data, "for_fit"):
        # A mixture: its rates, what it draws, and its first batch.
        rates = (type(data.rates).__name__, vars(data.rates))
        sizes = dict(zip(data.names, data.sizes.tolist(), strict=True))
        digest.update(repr((sizes, rates)).encode())
        _add(digest, data.plan(0))
        _add(digest, next(data.dataset().as_numpy_iterator()))
    elif hasattr(data, "element_spec"):
        # A dataset may be long: its form, its length and its first batch.
        digest.update(
            repr((data.element_spec, int(data.cardinality()))).encode()
        )
        _add(digest, next(iter(data.as_numpy_iterator()), ()))
    else:
        array = np.asarray(data)
        digest.update(repr((array.shape, array.dtype)).encode())
        if array.dtype == object:  # strings: their addresses mean nothing
            digest.update(repr(array.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(array).tobytes())


def _optimizer(optimizer: Any) -> bytes:
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return to_json(keras.optimizers.serialize(optimizer)).encode()
    return (
        _source(optimizer) if callable(optimizer) else repr(optimizer).encode()
    )


def _source(function: Any) -> bytes:
    """The file of a function: it may call others beside it."""
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(type(function)).encode()
    try:
        return Path(code.co_filename).read_bytes()
    except OSError:  # typed in, not read from a file
        return bytes(code.co_code) + repr(code.co_consts).encode()


def _read(file: Path, recipe: Recipe) -> Scores | None:
    """What an earlier search found; None if it cannot be used."""
    try:
        scores: Scores = _files.read_json(file)
        return {
            split: {task: float(scores[split][task]) for task in recipe.tasks}
            for split in ("validation", "test")
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
