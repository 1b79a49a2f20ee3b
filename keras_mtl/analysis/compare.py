"""Does sharing help? One shared model against a model for each task."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files
from keras_mtl.analysis.cells import MODEL, Cell, Cells, NewCell, code_of
from keras_mtl.analysis.memory import step_memory
from keras_mtl.analysis.report import write_report
from keras_mtl.analysis.results import (
    EQUAL,
    SINGLE,
    Comparison,
    Failure,
    Training,
    to_json,
)
from keras_mtl.analysis.run_directory import (
    describe_run,
    new_run,
    package_versions,
)
from keras_mtl.analysis.timing import time_inference
from keras_mtl.analysis.training import (
    evaluate,
    first_batch,
    inputs_and_truth,
    judged,
    judging_metrics,
    load_splits,
    named_balancers,
    other_metrics,
    train_once,
)
from keras_mtl.callbacks import TaskTensorBoard
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tasks import TaskSet
from keras_mtl.training.backends.tensorflow.flops import forward_flops
from keras_mtl.training.loading import load_keras_file

# Beside the runs of a recipe.
_CELLS = "cells"


@dataclass(frozen=True)
class Progress:
    """How far a comparison is.

    Attributes:
        label: What is being trained.
        seed: With which seed.
        training: Number of this training, from 0.
        trainings: How many there are.
        epoch: Epochs that this training has done.
        epochs: How many it does.
        reused: Whether it was done by an earlier comparison.
    """

    label: str
    seed: int
    training: int
    trainings: int
    epoch: int
    epochs: int
    reused: bool = False


def compare(
    recipe: Recipe,
    *,
    source: str | None = None,
    data_dir: str | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    balancers: Iterable[Any] | None = None,
    sharings: Iterable[str] | None = None,
    grid: bool = False,
    fresh: bool = False,
    out: str | Path = "runs",
    origin: Mapping[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Comparison, Path]:
    """Trains each task alone, and all together in several ways.

    All trainings have the same budget: epochs, batch size, optimizer and,
    seed by seed, data order. The tasks together are trained in each way of
    sharing with equal weights, and in the first way with each balancer. The
    shared method with the best mean Δm on validation data is chosen; its
    model of the first seed is kept. Single tasks are built in the recipe's
    first way, whatever is compared.

    A training that fails is recorded with its reason, and its method is left
    out; the others are not lost. Finished trainings of a recipe that was
    loaded from a file are kept in `<out>/<recipe>/cells`, so that a comparison
    that was interrupted, or that has one more method or seed, trains only
    what is missing. They depend on the code of the recipe's file, on where its
    data comes from and on versions, not on what else the file imports. Nothing
    removes them; no run needs them, so that the directory may be deleted when
    no comparison of the recipe is running. What a killed one was writing is
    removed by the next.

    The run's directory, `<out>/<recipe>/<time>`, appears when all is done. It
    holds `config.json`, `results.json`, `results.csv`, `report.html`,
    `report.png`, `model.keras` and `tensorboard/`.

    Args:
        recipe: What to train.
        source: One of the recipe's data sources; by default its first.
        data_dir: Where its data lies, for the recipe's `load`.
        seeds: How often everything is trained: with the seeds 0, 1, ….
        epochs: By default the recipe's.
        balancers: Names, configs or instances; by default the recipe's.
        sharings: Some of the recipe's ways of sharing; by default all.
        grid: Whether to train with each balancer in each way of sharing, and
            not in the first alone.
        fresh: Whether to train everything anew.
        out: Where runs are kept.
        origin: More to record in `config.json`: command, file.
        on_progress: Called before every training and after every epoch.

    Returns:
        The results and the run's directory.

    Raises:
        ValueError: An argument, the recipe or its data does not suit.
            Said at once if the first training fails.
        OSError: The run's directory cannot be written; said before training.

    Example:
    >>> comparison, run = compare(recipe, seeds=3)  # doctest: +SKIP
    >>> verdict(comparison).sentence  # doctest: +SKIP
    'Sharing helped: …'
    """
    source = recipe.source(source)
    recipe = recipe.for_source(source)
    epochs = recipe.epochs if epochs is None else epochs
    for argument, value in (("seeds", seeds), ("epochs", epochs)):
        if value < 1:
            raise ValueError(
                f"`{argument}` must be 1 or more. Received: {argument}={value}"
            )
    if len(recipe.tasks) < 2:
        raise ValueError(
            "`compare` needs a recipe with two tasks or more. Received: "
            f"{recipe.name!r} with {list(recipe.tasks)}"
        )
    named = named_balancers(
        [None, *(recipe.balancers if balancers is None else balancers)]
    )
    ways = _ways(recipe, sharings)
    methods = _methods(ways, named, grid)
    settings = {
        "source": source,
        "data_dir": data_dir and str(data_dir),
        "epochs": epochs,
    }
    run = new_run(out, recipe)
    _files.clear_abandoned(run.parent / _CELLS)
    with (
        _files.staged_directory(run) as staged,
        _open_cells(recipe, settings, run, fresh) as cells,
    ):
        splits = load_splits(recipe, source, data_dir)
        plan = list(_plan(recipe, methods, seeds))
        found: dict[_Step, Cell] = {}
        failures: list[Failure] = []
        reused = 0
        for number, step in enumerate(plan):

            def report(
                epoch: int,
                reused: bool = False,
                number: int = number,
                step: _Step = step,
            ) -> None:
                if on_progress is not None:
                    on_progress(
                        Progress(
                            step.label,
                            step.seed,
                            number,
                            len(plan),
                            epoch,
                            epochs,
                            reused,
                        )
                    )

            report(0)
            if cell := cells.find(step.settings):
                reused += 1
                report(epochs, reused=True)
            else:
                try:
                    with cells.new(step.settings) as new:
                        _train(recipe, splits, step, epochs, new, report)
                except Exception as error:
                    if not found or isinstance(error, OSError):
                        raise  # likely to be wrong everywhere
                    failures.append(Failure(step.label, step.seed, str(error)))
                    continue
                cell = cells.find(step.settings)
                assert cell is not None
            found[step] = cell
            cell.copy_logs(staged / "tensorboard" / step.log_directory)
        done = _complete(plan, found, failures)
        first = {step.key: cell for step, cell in done.items() if not step.seed}
        comparison = Comparison(
            recipe=recipe.name,
            description=recipe.description,
            source=source,
            epochs=epochs,
            batch_size=recipe.batch_size,
            metrics=judging_metrics(recipe),
            others=other_metrics(recipe),
            trainings=[cell.training for cell in done.values()],
            failures=failures,
            config=describe_run(
                recipe,
                {
                    **settings,
                    "seeds": list(range(seeds)),
                    "sharings": ways,
                    "balancers": named,
                    "grid": grid,
                    "trainings_reused": reused,
                },
                origin,
            ),
        )
        chosen = first[(comparison.chosen, *recipe.tasks)].model
        shared = load_keras_file(chosen)
        comparison.config["optimizer"] = keras.optimizers.serialize(
            shared.optimizer
        )
        comparison = dataclasses.replace(
            comparison,
            inference=time_inference(
                shared,
                [
                    load_keras_file(first[(SINGLE, task)].model)
                    for task in recipe.tasks
                ],
                first_batch(splits.test, recipe.batch_size),
                recipe.batch_size,
            ),
        )
        shutil.copyfile(chosen, staged / MODEL)
        pictures = (
            recipe.pictures(shared, *inputs_and_truth(shared, splits, "test"))
            if recipe.pictures
            else {}
        )
        write_comparison(comparison, staged, pictures)
    return comparison, run


def write_comparison(
    comparison: Comparison,
    directory: Path,
    pictures: Mapping[str, Any] | None = None,
) -> None:
    """Writes results and report files into a directory.

    Args:
        comparison: What was found.
        directory: Where to write.
        pictures: Matplotlib figures of predictions, by title.
    """
    _files.write_text(directory / "config.json", to_json(comparison.config))
    _files.write_text(directory / "results.json", comparison.to_json())
    _files.write_text(directory / "results.csv", comparison.to_csv())
    write_report(comparison, directory, pictures)


@dataclass(frozen=True, eq=False)
class _Step:
    method: str
    sharing: str | None
    balancer: Any
    tasks: TaskSet
    seed: int

    @property
    def key(self) -> tuple[str, ...]:
        return (self.method, *self.tasks)

    @property
    def label(self) -> str:
        if self.method == SINGLE:
            return f"{self.method} {next(iter(self.tasks))}"
        return self.method

    @property
    def log_directory(self) -> str:
        words = "".join(c if c.isalnum() else " " for c in self.label).split()
        return f"seed-{self.seed}/{'-'.join(words)}"

    @property
    def settings(self) -> dict[str, Any]:
        """What its training depends on, beside what is common to all."""
        return {
            "method": self.method,
            "sharing": self.sharing,
            "balancer": self.balancer,
            "tasks": list(self.tasks),
            "seed": self.seed,
        }


@contextlib.contextmanager
def _open_cells(
    recipe: Recipe, settings: Mapping[str, Any], run: Path, fresh: bool
) -> Iterator[Cells]:
    """Where trainings are kept: for good only if it is known what made them."""
    if recipe.file is None or fresh:
        with _files.hidden_directory(run) as directory:
            yield Cells(directory, settings)
        return
    made_from = {
        **settings,
        "recipe": code_of(recipe.file),
        "batch_size": recipe.batch_size,
        "versions": package_versions(),
    }
    yield Cells(run.parent / _CELLS, made_from)


def _complete(
    plan: list[_Step], found: dict[_Step, Cell], failures: list[Failure]
) -> dict[_Step, Cell]:
    """The trainings of the methods of which none has failed."""
    failed = {step.method for step in plan if step not in found}
    done = {s: cell for s, cell in found.items() if s.method not in failed}
    if SINGLE in failed or {step.method for step in done} <= {SINGLE}:
        first = failures[0]
        raise ValueError(
            "Nothing is left to compare, because trainings failed: "
            f"{', '.join(f'{f.label}, seed {f.seed}' for f in failures)}. "
            f"The first because of: {first.reason}"
        )
    return done


def _ways(recipe: Recipe, sharings: Iterable[str] | None) -> list[str]:
    """The ways of sharing to compare; none where nothing is to choose."""
    if sharings is None:
        return list(recipe.sharings)
    ways = []
    for name in dict.fromkeys(sharings):
        recipe.sharing(name)
        ways.append(name)
    return ways


def _methods(
    ways: list[str], named: Mapping[str, Any], grid: bool
) -> dict[str, tuple[str | None, Any]]:
    """Sharing and balancer of each method, by its name.

    Where there is a choice of sharing, equal weights go by its name.
    """
    first = ways[0] if ways else None
    methods = {name: (first, config) for name, config in named.items()}
    if len(ways) < 2:
        return methods
    equal = methods.pop(EQUAL)[1]
    plain = {way: (way, equal) for way in ways}
    if not grid:
        return plain | methods
    return plain | {
        f"{way}, {name}": (way, config)
        for way in ways
        for name, (_, config) in methods.items()
    }


def _plan(
    recipe: Recipe, methods: Mapping[str, tuple[str | None, Any]], seeds: int
) -> Iterator[_Step]:
    # Seed by seed: a machine that grows slower slows all methods alike.
    for seed in range(seeds):
        for task in recipe.tasks.values():
            yield _Step(SINGLE, None, None, TaskSet([task]), seed)
        for method, (sharing, balancer) in methods.items():
            yield _Step(method, sharing, balancer, recipe.tasks, seed)


def _train(
    recipe: Recipe,
    splits: Splits,
    step: _Step,
    epochs: int,
    cell: NewCell,
    report: Callable[[int], None],
) -> None:
    model, history, seconds = train_once(
        recipe,
        splits,
        step.tasks,
        step.balancer,
        seed=step.seed,
        epochs=epochs,
        callbacks=[
            TaskTensorBoard(
                cell.logs, x=first_batch(splits.validation, recipe.batch_size)
            ),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: report(epoch + 1)
            ),
        ],
        sharing=step.sharing,
    )
    measures = {
        split: evaluate(model, recipe, splits, split, step.tasks)
        for split in ("validation", "test")
    }
    metrics = judging_metrics(recipe)
    bare = keras.Model(model.inputs, model.outputs)
    training = Training(
        method=step.method,
        tasks=tuple(step.tasks),
        seed=step.seed,
        seconds=seconds,
        parameters=bare.count_params(),
        operations=forward_flops(bare),
        memory=None
        if step.seed  # the same with every seed
        else step_memory(model, first_batch(splits.test, recipe.batch_size)),
        history=history,
        sharing=step.sharing,
        validation=judged(measures["validation"], metrics),
        test=judged(measures["test"], metrics),
        measures=measures["test"],
    )
    cell.keep(training, None if step.seed else model)
