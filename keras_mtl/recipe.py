"""A recipe: tasks, data and model in one Python file that anyone can write."""

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_mtl import builders
from keras_mtl.tasks import TaskSet


class Splits(NamedTuple):
    """Data in three parts, each `(x, y)` or a `tf.data.Dataset` of batches.

    `x` is an array or a dict of arrays by input name, `y` a dict of arrays by
    task. Models are chosen by `validation` and judged by `test`.
    """

    train: Any
    validation: Any
    test: Any


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that the commands of `keras-mtl` need to know about a problem.

    Args:
        name: Names the folders of runs and exports: letters, digits, `_`,
            `.` and `-`.
        tasks: What is learned. A list of tasks becomes a `TaskSet`.
        load: `load(source, data_dir)` returns `Splits`. `source` is one of
            `sources`; `data_dir` is a path, or None for the data's default.
        build: `build(hp, tasks)` returns a `MultiTaskModel` with one output
            for each of `tasks`, which may be fewer than the recipe's: single
            tasks are trained for comparison. `hp` is a
            `keras_tuner.HyperParameters`; if the recipe has `sharings`,
            `hp.Choice("sharing", [...])` tells which one to build.
        sources: Names of the data that `load` can give; the first is used
            if none is asked for.
        optimizer: A Keras optimizer, its name or config, or a function
            `optimizer(hp)` that returns one.
        batch_size: Examples in a batch.
        epochs: Passes over the training data.
        balancers: Names or instances of the balancers that `compare` holds
            against equal weights.
        description: A sentence or two for reports.
        sharings: Ways of sharing that `build` can be asked for: names from
            `builders.registry`, the default first. Empty if it knows but one.

    Raises:
        ValueError: An argument does not suit; the message tells which.

    Example:
    >>> from keras_mtl import Task
    >>> def load(source, data_dir):
    ...     ...
    >>> def build(hp, tasks):
    ...     ...
    >>> recipe = Recipe("demo", [Task("a", "binary")], load, build)
    >>> list(recipe.tasks)
    ['a']
    """

    name: str
    tasks: TaskSet
    load: Callable[[str, str | None], Splits]
    build: Callable[[Any, TaskSet], Any]
    sources: Sequence[str] = ("default",)
    optimizer: Any = "adam"
    batch_size: int = 32
    epochs: int = 10
    balancers: Sequence[Any] = ("uncertainty", "pcgrad")
    description: str = ""
    sharings: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(
            r"[A-Za-z0-9_][A-Za-z0-9_.-]*", self.name
        ):
            raise ValueError(
                "`name` of a recipe names folders. Expected: letters, digits, "
                "'_', '.' and '-', not beginning with '.' or '-'. "
                f"Received: name={self.name!r}"
            )
        if not isinstance(self.tasks, TaskSet):
            object.__setattr__(self, "tasks", TaskSet(self.tasks))
        _check_call(self.load, "load", ("source", "data_dir"))
        _check_call(self.build, "build", ("hp", "tasks"))
        for argument in ("batch_size", "epochs"):
            value = getattr(self, argument)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{argument}` of a recipe must be a positive integer. "
                    f"Received: {argument}={value!r}"
                )
        for argument in ("sources", "balancers", "sharings"):
            value = getattr(self, argument)
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ValueError(
                    f"`{argument}` of a recipe must be a list or a tuple. "
                    f"Received: {argument}={value!r}"
                )
        if not self.sources:
            raise ValueError(
                "`sources` of a recipe must hold at least one name, such as "
                "'default'. Received an empty one."
            )
        known = list(builders.registry)
        for number, name in enumerate(self.sharings):
            if name not in known or name in self.sharings[:number]:
                raise ValueError(
                    "`sharings` of a recipe must be different names of "
                    f"builders. Expected some of: {', '.join(known)}. "
                    f"Received: sharings={self.sharings!r}"
                )

    def source(self, name: str | None = None) -> str:
        """The data source called `name`, or the first one.

        Raises:
            ValueError: The recipe has no such source.
        """
        if name is None:
            return self.sources[0]
        if name not in self.sources:
            raise ValueError(
                f"Recipe {self.name!r} has no data source {name!r}. Expected "
                f"one of: {', '.join(self.sources)}."
            )
        return name

    def sharing(self, name: str | None = None) -> str | None:
        """The way of sharing called `name`, or the first, or None of none.

        Raises:
            ValueError: The recipe does not offer it.
        """
        if name is None:
            return self.sharings[0] if self.sharings else None
        if name not in self.sharings:
            expected = (
                f"Expected one of: {', '.join(self.sharings)}."
                if self.sharings
                else "It offers none to choose from: its `build` makes one "
                "kind of model, and `sharings` is empty."
            )
            raise ValueError(
                f"Recipe {self.name!r} has no way of sharing {name!r}. "
                f"{expected}"
            )
        return name


def load_recipe(path: str | Path) -> Recipe:
    """The one `Recipe` that a Python file defines.

    The file is executed, with its own folder at the end of the import path.

    Args:
        path: A `.py` file.

    Raises:
        ValueError: Not a `.py` file, it fails to import, or it has no recipe
            or several.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(
            f"A recipe is a Python file whose name ends in .py. Received: "
            f"{path}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe file {path}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(
            f"{path} could not be imported: {type(error).__name__}: "
            f"{_first_line(error)}{_place(error, path)}"
        ) from error
    # By identity: one recipe may go by two names.
    recipes = {id(r): r for r in vars(module).values() if isinstance(r, Recipe)}
    if len(recipes) != 1:
        found = [r.name for r in recipes.values()]
        raise ValueError(
            f"{path} must define exactly one keras_mtl.Recipe, for example "
            f"`recipe = Recipe(...)`. Found: {found or 'none'}."
        )
    return recipes.popitem()[1]


def _check_call(function: Any, argument: str, names: Sequence[str]) -> None:
    expected = f"{argument}({', '.join(names)})"
    if not callable(function):
        raise ValueError(
            f"`{argument}` of a recipe must be a function {expected}. "
            f"Received: {argument}={function!r}"
        )
    signature = inspect.signature(function)
    try:
        signature.bind(*names)
    except TypeError as error:
        raise ValueError(
            f"`{argument}` of a recipe is called as {expected}. "
            f"Received a function with the arguments {signature}."
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _place(error: BaseException, path: Path) -> str:
    """Where in the user's file an import failed, in brackets."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" ({error.filename}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename) == path.resolve():
            return f" ({path}, line {frame.lineno}: {frame.line})"
    return ""
