"""A recipe: tasks, data and model in one Python file that anyone can write."""

import dataclasses
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from keras_mtl import builders
from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.task_set import check_keys

# What may name a folder, and cannot lead out of the one that holds it.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


class Splits(NamedTuple):
    """Data in three parts, each `(x, y)` or a `tf.data.Dataset` of batches.

    `train` may be a `data.Mixture`, whose temperature `keras-mtl tune` searches
    if it has one.

    `x` is an array or a dict of arrays by input name, `y` a dict of arrays by
    task. Models are chosen by `validation` and judged by `test`. `truth` has
    what a recipe's scores and pictures hold predictions against where labels
    do not tell it, under the keys "validation" and "test".
    """

    train: Any
    validation: Any
    test: Any
    truth: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Score:
    """A measure of a task that needs predictions as a whole.

    Keras metrics see raw outputs, batch by batch. Precision of boxes, BLEU of
    sentences or F1 of spans need all of them, decoded.

    Args:
        name: As in `map_50`; logs and reports have it behind the task's name.
        direction: `"max"` if more is better, `"min"` if less is.
        function: `function(model, x, truth)` returns a number. `model` may
            have some of the recipe's tasks alone. `x` are the inputs of a
            split, for `model.predict`; `truth` is what `Splits.truth` has for
            it, or else the labels by task.
        unit: What it is measured in, for reports.

    Raises:
        ValueError: An argument does not suit; the message tells which.

    Example:
    >>> def exact(model, x, truth):
    ...     return float((model.predict(x)["a"] == truth["a"]).all(1).mean())
    >>> Score("exact", "max", exact).name
    'exact'
    """

    name: str
    direction: str
    function: Callable[[Any, Any, Any], float]
    unit: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(
                "`name` of a score must be a string that is not empty. "
                f"Received: name={self.name!r}"
            )
        if self.direction not in ("max", "min"):
            raise ValueError(
                f"`direction` of score {self.name!r} must be 'max' or 'min'. "
                f"Received: direction={self.direction!r}"
            )
        _check_call(
            self.function,
            f"function of score {self.name}",
            ("model", "x", "truth"),
        )


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
            if none is asked for. A dict tells, for each, which of the tasks
            it is labelled for; all of them learn from a list of names.
        optimizer: A Keras optimizer, its name or config, or a function
            `optimizer(hp)` that returns one.
        batch_size: Examples in a batch.
        epochs: Passes over the training data.
        balancers: Names or instances of the balancers that `compare` holds
            against equal weights.
        description: A sentence or two for reports.
        sharings: Ways of sharing that `build` can be asked for: names from
            `builders.registry`, the default first. Empty if it knows but one.
        scores: A list of `Score` for some tasks, by name. The first is what
            models are compared by, in place of the task's first metric.
        pictures: `pictures(model, x, truth)` returns matplotlib figures by
            title, for the report: what the model makes of test data.
        deploy: `deploy(model)` returns the Functional model to export: one
            that takes raw inputs, or gives decoded outputs. By default the
            model is exported as it is.

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
    sources: Sequence[str] | Mapping[str, Sequence[str]] = ("default",)
    optimizer: Any = "adam"
    batch_size: int = 32
    epochs: int = 10
    balancers: Sequence[Any] = ("uncertainty", "pcgrad")
    description: str = ""
    sharings: Sequence[str] = ()
    scores: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    pictures: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None
    deploy: Callable[[Any], Any] | None = None
    # Of the file that it was loaded from, if it was; a changed copy has none.
    file: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(NAME, self.name):
            raise ValueError(
                "`name` of a recipe names folders. Expected: letters, digits, "
                "'_', '.' and '-', not beginning with '.' or '-'. "
                f"Received: name={self.name!r}"
            )
        if not isinstance(self.tasks, TaskSet):
            object.__setattr__(self, "tasks", TaskSet(self.tasks))
        _check_call(self.load, "load", ("source", "data_dir"))
        _check_call(self.build, "build", ("hp", "tasks"))
        if self.pictures is not None:
            _check_call(self.pictures, "pictures", ("model", "x", "truth"))
        if self.deploy is not None:
            _check_call(self.deploy, "deploy", ("model",))
        self._check_scores()
        for argument in ("batch_size", "epochs"):
            value = getattr(self, argument)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"`{argument}` of a recipe must be a positive integer. "
                    f"Received: {argument}={value!r}"
                )
        for argument in ("sources", "balancers", "sharings"):
            value = getattr(self, argument)
            if argument == "sources" and isinstance(value, Mapping):
                continue
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
        if isinstance(self.sources, Mapping):
            for name, labelled in self.sources.items():
                check_keys(
                    dict.fromkeys(labelled),
                    self.tasks,
                    argument=f"sources[{name!r}]",
                    all_needed=False,
                )
        known = list(builders.registry)
        for number, name in enumerate(self.sharings):
            if name not in known or name in self.sharings[:number]:
                raise ValueError(
                    "`sharings` of a recipe must be different names of "
                    f"builders. Expected some of: {', '.join(known)}. "
                    f"Received: sharings={self.sharings!r}"
                )

    def _check_scores(self) -> None:
        check_keys(self.scores, self.tasks, argument="scores", all_needed=False)
        for task, scores in self.scores.items():
            names = [getattr(score, "name", None) for score in scores]
            if None in names or len({*names}) < len(names) or not names:
                raise ValueError(
                    f"`scores` of task {task!r} must be a list of "
                    "keras_mtl.Score of different names. "
                    f"Received: {scores!r}"
                )

    def source(self, name: str | None = None) -> str:
        """The data source called `name`, or the first one.

        Raises:
            ValueError: The recipe has no such source.
        """
        if name is None:
            return next(iter(self.sources))
        if name not in self.sources:
            raise ValueError(
                f"Recipe {self.name!r} has no data source {name!r}. Expected "
                f"one of: {', '.join(self.sources)}."
            )
        return name

    def for_source(self, name: str) -> "Recipe":
        """This recipe with the tasks that a source is labelled for."""
        if not isinstance(self.sources, Mapping):
            return self
        labelled = self.sources[name]
        recipe = dataclasses.replace(
            self,
            tasks=TaskSet(t for k, t in self.tasks.items() if k in labelled),
            scores={k: s for k, s in self.scores.items() if k in labelled},
            sources=(name,),
        )
        object.__setattr__(recipe, "file", self.file)
        return recipe

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
    except (Exception, SystemExit) as error:
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
    recipe = recipes.popitem()[1]
    object.__setattr__(recipe, "file", path.resolve())
    return recipe


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
