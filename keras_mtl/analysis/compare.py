"""Does sharing help? One shared model against a model for each task."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files
from keras_mtl.analysis.report import write_report
from keras_mtl.analysis.results import (
    EQUAL,
    SINGLE,
    Comparison,
    Metric,
    Training,
    to_json,
)
from keras_mtl.analysis.run_directory import describe_run, new_run
from keras_mtl.analysis.timing import time_inference
from keras_mtl.analysis.training import (
    evaluate,
    first_batch,
    load_splits,
    named_balancers,
    train_once,
)
from keras_mtl.callbacks import TaskTensorBoard
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tasks import TaskSet

MODEL = "model.keras"


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
    """

    label: str
    seed: int
    training: int
    trainings: int
    epoch: int
    epochs: int


def compare(
    recipe: Recipe,
    *,
    source: str | None = None,
    data_dir: str | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    balancers: Iterable[Any] | None = None,
    sharings: Iterable[str] | None = None,
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
        out: Where runs are kept.
        origin: More to record in `config.json`: command, file.
        on_progress: Called before every training and after every epoch.

    Returns:
        The results and the run's directory.

    Raises:
        ValueError: An argument, the recipe or its data does not suit.
        OSError: The run's directory cannot be written; said before training.

    Example:
    >>> comparison, run = compare(recipe, seeds=3)  # doctest: +SKIP
    >>> verdict(comparison).sentence  # doctest: +SKIP
    'Sharing helped: …'
    """
    source = recipe.source(source)
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
    methods = _methods(ways, named)
    run = new_run(out, recipe)
    with _files.staged_directory(run) as staged:
        splits = load_splits(recipe, source, data_dir)
        plan = list(_plan(recipe, methods, seeds))
        trainings: list[Training] = []
        models: dict[tuple[str, ...], Any] = {}  # of the first seed
        for number, step in enumerate(plan):

            def report(
                epoch: int, number: int = number, step: _Step = step
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
                        )
                    )

            report(0)
            model, training = _train(
                recipe, splits, step, epochs, staged / "tensorboard", report
            )
            trainings.append(training)
            if step.seed == 0:
                models[step.key] = model
        optimizer = keras.optimizers.serialize(model.optimizer)
        comparison = Comparison(
            recipe=recipe.name,
            description=recipe.description,
            source=source,
            epochs=epochs,
            batch_size=recipe.batch_size,
            metrics={
                name: Metric(
                    task.monitor.removeprefix(f"{name}_"),
                    task.direction,
                    task.unit,
                )
                for name, task in recipe.tasks.items()
            },
            trainings=trainings,
            config=describe_run(
                recipe,
                {
                    "source": source,
                    "data_dir": data_dir and str(data_dir),
                    "seeds": list(range(seeds)),
                    "epochs": epochs,
                    "optimizer": optimizer,
                    "sharings": ways,
                    "balancers": named,
                },
                origin,
            ),
        )
        shared = models[(comparison.chosen, *recipe.tasks)]
        comparison = dataclasses.replace(
            comparison,
            inference=time_inference(
                shared,
                [models[(SINGLE, task)] for task in recipe.tasks],
                first_batch(splits.test, recipe.batch_size),
                recipe.batch_size,
            ),
        )
        shared.save(staged / MODEL)
        write_comparison(comparison, staged)
    return comparison, run


def write_comparison(comparison: Comparison, directory: Path) -> None:
    """Writes results and report files into a directory."""
    _files.write_text(directory / "config.json", to_json(comparison.config))
    _files.write_text(directory / "results.json", comparison.to_json())
    _files.write_text(directory / "results.csv", comparison.to_csv())
    write_report(comparison, directory)


@dataclass(frozen=True)
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
    ways: list[str], named: Mapping[str, Any]
) -> dict[str, tuple[str | None, Any]]:
    """Sharing and balancer of each method, by its name.

    Where there is a choice of sharing, equal weights go by its name.
    """
    first = ways[0] if ways else None
    methods = {name: (first, config) for name, config in named.items()}
    if len(ways) < 2:
        return methods
    equal = methods.pop(EQUAL)[1]
    return {way: (way, equal) for way in ways} | methods


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
    log_dir: Path,
    report: Callable[[int], None],
) -> tuple[Any, Training]:
    logs = log_dir / f"seed-{step.seed}" / step.label.replace(" ", "-")
    model, history, seconds = train_once(
        recipe,
        splits,
        step.tasks,
        step.balancer,
        seed=step.seed,
        epochs=epochs,
        callbacks=[
            TaskTensorBoard(logs),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: report(epoch + 1)
            ),
        ],
        sharing=step.sharing,
    )
    scores = {
        split: evaluate(
            model, getattr(splits, split), step.tasks, recipe.batch_size
        )
        for split in ("validation", "test")
    }
    return model, Training(
        method=step.method,
        tasks=tuple(step.tasks),
        seed=step.seed,
        seconds=seconds,
        parameters=keras.Model(model.inputs, model.outputs).count_params(),
        history=history,
        sharing=step.sharing,
        **scores,
    )
