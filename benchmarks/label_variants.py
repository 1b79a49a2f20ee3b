"""Recipes with fewer examples or labels, in files that `compare` knows again.

`compare` keeps finished trainings by the code of a recipe's file. So each
variant gets a file of a few lines, which names the recipe, what is left of its
data, and a digest of the code that both come from.

With a fraction f of the labels, each is seen √(1/f) times as often in batches
that are smaller by as much: the number of steps stays.
"""

import ast
import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import Recipe, Splits, Task
from keras_mtl.data import keep_labels
from keras_mtl.recipe import load_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
FILE = '''"""A variant of the recipe {name}, made by `benchmarks`."""

from label_variants import variant

recipe = variant({name!r}, made_from={digest!r}, {settings})
'''


@functools.cache
def recipe_page(name: str) -> Recipe:
    """The recipe `recipes/{name}.py`."""
    return load_recipe(RECIPES / f"{name}.py")


@functools.lru_cache(maxsize=1)
def whole_data(name: str, source: str, data_dir: str | None) -> Splits:
    """All data of a recipe, kept for the next variant of it."""
    return Splits(*recipe_page(name).load(source, data_dir))


def variant_file(directory: Path, name: str, settings: dict[str, Any]) -> Path:
    """Writes the file of a variant, unless nothing varies.

    Args:
        directory: Where to.
        name: Of the recipe.
        settings: The arguments of `variant` that are not None.

    Returns:
        The file, or the recipe's own if there are no settings.
    """
    if not settings:
        return RECIPES / f"{name}.py"
    given = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    label = "".join(c if c.isalnum() else "_" for c in f"{name}_{given}")
    path = directory / f"{label}.py"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(
        FILE.format(name=name, digest=code_digest(name), settings=given),
        "utf-8",
    )
    return path


def code_digest(name: str) -> str:
    """Changes if what a variant of a recipe does may have changed."""
    digest = hashlib.sha256()
    for file in (RECIPES / f"{name}.py", Path(__file__)):
        tree = ast.parse(file.read_text("utf-8"))
        del tree.body[0]  # the docstring; comments are no part of a tree
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def variant(
    name: str,
    made_from: str,
    examples: int | None = None,
    labels: float | None = None,
    cut: tuple[str, float] | None = None,
) -> Recipe:
    """A recipe that learns from a part of its data.

    Args:
        name: Of the recipe.
        made_from: Tells files apart whose recipes have changed.
        examples: How many of the training examples there are at all.
        labels: The fraction of these that is left, with all their labels.
        cut: A task, and the fraction of its labels that is left; examples
            and the labels of other tasks stay.
    """
    recipe = recipe_page(name)
    tasks = recipe.tasks

    def load(source: str, data_dir: str | None) -> Splits:
        splits = whole_data(name, source, data_dir)
        if not isinstance(splits.train, tuple):
            raise ValueError(
                f"The training data of {name!r} is a stream, of which no part "
                "can be taken."
            )
        x, y = splits.train
        if examples is not None:
            x, y = take(x, y, chosen_rows(y, examples))
        if labels is not None:
            x, y = few_examples(x, y, labels)
        if cut is not None:
            x, y = one_task_cut(x, y, tasks, *cut)
        return splits._replace(train=(x, y))

    return dataclasses.replace(
        recipe,
        load=load,
        batch_size=max(1, round(recipe.batch_size / passes(labels or 1))),
    )


def passes(fraction: float) -> int:
    """How many times as often each label is seen."""
    return max(1, round(fraction**-0.5))


def few_examples(x: Any, y: Any, fraction: float) -> tuple[Any, Any]:
    """A fraction of the examples, each several times."""
    count = int(np.ceil(fraction * count_of(y) - 1e-9))
    return take(x, y, np.tile(chosen_rows(y, count), passes(fraction)))


def one_task_cut(
    x: Any, y: Any, tasks: Any, task: str, fraction: float
) -> tuple[Any, Any]:
    """A fraction of one task's labels; examples that have one come more often.

    So a batch holds about as many of them as one of `few_examples`.
    """
    y = {**y, **keep_labels({task: y[task]}, tasks, fraction)}
    labels = y[task].reshape(len(y[task]), -1)
    there = ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0
    kept = np.flatnonzero(there.any(axis=1))
    again = np.tile(kept, passes(fraction) - 1)
    return take(x, y, np.concatenate([np.arange(len(labels)), again]))


def chosen_rows(y: Any, count: int) -> Any:
    """Some of the examples; fewer of them are among more of them."""
    rows = np.arange(count_of(y))
    kept = keep_labels(
        {"row": rows},
        [Task("row", "regression")],
        min(1.0, count / len(rows)),
    )["row"]
    return rows[~np.isnan(kept)]


def count_of(y: Any) -> int:
    """How many examples there are."""
    return len(next(iter(y.values())))


def take(x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
    """Some rows of inputs and labels."""
    labels = {task: values[rows] for task, values in y.items()}
    if isinstance(x, dict):
        return {name: values[rows] for name, values in x.items()}, labels
    return x[rows], labels
