"""Looks at the tasks of a recipe, and says whether they should share."""

import hashlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import _files
from keras_mtl.analysis.advice import Advice, advise_from
from keras_mtl.analysis.advice_page import write_advice
from keras_mtl.analysis.cells import code_of
from keras_mtl.analysis.evidence import Evidence, gather
from keras_mtl.analysis.label_checks import LabelCheck, check_labels
from keras_mtl.analysis.loss_scales import (
    FAR_APART,
    equalizing_weights,
    scale_ratio,
)
from keras_mtl.analysis.results import to_json
from keras_mtl.analysis.run_directory import (
    describe_run,
    new_run,
    package_versions,
)
from keras_mtl.analysis.training import load_splits
from keras_mtl.analysis.transfer import pairwise_transfer
from keras_mtl.analysis.watched_training import (
    starting_losses,
    watched_trainings,
)
from keras_mtl.recipe import Recipe

# Labels are looked at in so many batches of a dataset.
LABEL_BATCHES = 200


def advise(
    recipe: Recipe,
    *,
    source: str | None = None,
    data_dir: str | None = None,
    seeds: int = 5,
    epochs: int | None = None,
    networks: int | None = None,
    pairs: bool = False,
    out: str | Path = "runs",
    origin: Mapping[str, Any] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Advice, Evidence, Path]:
    """Says which tasks to train together, and with which balancer.

    All tasks are trained together, in the recipe's first way of sharing, once
    for each seed, and looked at as they go: what a step for one would do to
    the loss of each other (TAG), the angles and lengths of their gradients,
    their losses and labels. Losses that are far apart before training are
    put on one scale first.

    The run's directory, `<out>/<recipe>/<time>`, appears when all is done. It
    holds `config.json`, `advice.json`, `effects.csv` and `advice.html`.

    What was seen in each training of a recipe that was loaded from a file is
    kept in `<out>/.advice`, so that advice that was interrupted, or is asked
    for with more seeds or pairs, trains only what is missing. It depends on
    the code of the recipe's file, on where its data comes from and on
    versions, not on what else the file imports; the folder may be deleted.

    Args:
        recipe: The tasks, their data and their model.
        source: One of the recipe's data sources; by default its first.
        data_dir: Where its data lies, for the recipe's `load`.
        seeds: How often all is trained: with the seeds 0, 1, ….
        epochs: By default the recipe's.
        networks: At most so many networks; by default as many as tasks.
        pairs: Whether every pair and every task alone is trained too, which
            takes longer and tells more.
        out: Where runs are kept.
        origin: More to record in `config.json`: command, file.
        on_progress: Called with what is done next, the number of trainings
            done and how many there are.

    Returns:
        The advice, what it rests on and the run's directory.

    Raises:
        ValueError: An argument, the recipe or its data does not suit.
        OSError: The run's directory cannot be written; said before training.

    Example:
        >>> advice, _, run = advise(recipe)  # doctest: +SKIP
        >>> advice.headline  # doctest: +SKIP
        'Share all: one network for all tasks. They pull together, and …'
    """
    source = recipe.source(source)
    recipe = recipe.for_source(source)
    epochs = recipe.epochs if epochs is None else epochs
    for argument, value in (
        ("seeds", seeds),
        ("epochs", epochs),
        ("networks", 1 if networks is None else networks),
    ):
        if value < 1:
            raise ValueError(
                f"`{argument}` must be 1 or more. Received: {argument}={value}"
            )
    if len(recipe.tasks) < 2:
        raise ValueError(
            "`advise` needs a recipe with two tasks or more. Received: "
            f"{recipe.name!r} with {list(recipe.tasks)}"
        )
    count = len(recipe.tasks)
    total = seeds * (1 + (count + count * (count - 1) // 2) * pairs)
    numbers = itertools.count()

    def tell(label: str) -> None:
        if on_progress is not None:
            on_progress(label, next(numbers), total)

    run = new_run(out, recipe)
    with _files.staged_directory(run) as staged:
        splits = load_splits(recipe, source, data_dir)
        losses = starting_losses(recipe, splits)
        weights = dict.fromkeys(recipe.tasks, 1.0)
        if scale_ratio(losses) > FAR_APART:
            weights = equalizing_weights(losses)
        kept = _place(
            recipe,
            Path(out),
            {
                "source": source,
                "data_dir": data_dir and str(data_dir),
                "epochs": epochs,
            },
        )
        trainings = watched_trainings(
            recipe,
            splits,
            weights,
            seeds=seeds,
            epochs=epochs,
            on_seed=lambda seed: tell(f"all tasks, seed {seed}"),
            kept=kept,
        )
        transfer = None
        if pairs:
            transfer = pairwise_transfer(
                recipe,
                splits,
                seeds=seeds,
                epochs=epochs,
                weights=weights,
                on_training=lambda names, seed: tell(f"{names}, seed {seed}"),
                kept=kept,
            )
        evidence = gather(
            list(recipe.tasks),
            trainings,
            losses,
            weights,
            _checked_labels(recipe, splits.train),
            transfer,
        )
        advice = advise_from(evidence, networks)
        config = describe_run(
            recipe,
            {
                "source": source,
                "data_dir": data_dir and str(data_dir),
                "seeds": list(range(seeds)),
                "epochs": epochs,
                "networks": networks,
                "pairs": pairs,
            },
            origin,
        )
        _files.write_text(staged / "config.json", to_json(config))
        write_advice(advice, evidence, recipe, config, staged)
    return advice, evidence, run


def _place(
    recipe: Recipe, out: Path, settings: Mapping[str, Any]
) -> Path | None:
    """Where trainings are kept; None if it is not known what makes them."""
    if recipe.file is None:
        return None
    made_from = {
        **settings,
        "recipe": code_of(recipe.file),
        "batch_size": recipe.batch_size,
        "versions": package_versions(),
    }
    digest = hashlib.sha256(to_json(made_from).encode()).hexdigest()
    return out / ".advice" / digest[:32]


def _checked_labels(recipe: Recipe, train: Any) -> dict[str, LabelCheck]:
    if isinstance(train, tuple):
        labels = train[1]
    else:
        if hasattr(train, "for_fit"):  # a mixture
            train = train.dataset()
        batches = [y for _, y in train.take(LABEL_BATCHES)]
        labels = {
            name: np.concatenate([np.asarray(y[name]).ravel() for y in batches])
            for name in recipe.tasks
        }
    return {
        name: check_labels(task, labels[name])
        for name, task in recipe.tasks.items()
    }
