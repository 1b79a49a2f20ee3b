"""Searches how a recipe's tasks are best shared and balanced."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner

from keras_mtl import _files
from keras_mtl.analysis.results import to_json
from keras_mtl.analysis.run_directory import describe_run, new_run
from keras_mtl.analysis.training import load_splits
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tuner.baselines import single_task_scores
from keras_mtl.tuner.board import begin_board
from keras_mtl.tuner.finish import RESULTS, SearchResult, finish
from keras_mtl.tuner.hypermodel import MultiTaskHyperModel
from keras_mtl.tuner.mixing_space import add_temperature
from keras_mtl.tuner.objective import DELTA_M, objective_tasks
from keras_mtl.tuner.oracles import check_oracle
from keras_mtl.tuner.plan import CONFIG, Plan, read_plan
from keras_mtl.tuner.supervisor import Supervisor, split_address
from keras_mtl.tuner.trial_record import read_records
from keras_mtl.tuner.trial_tuner import ATTEMPTS, TrialTuner

# The name that KerasTuner gives to a tuner that is alone.
_ALONE = "tuner0"


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        step: "single-task", "trial" or "chosen": what is being trained.
        label: Which of them.
        done: How many trainings of that step have ended.
        total: How many there are at most.
        epoch: Epochs that this training has done; 0 where it is not known.
        epochs: How many it does.
    """

    step: str
    label: str
    done: int
    total: int
    epoch: int = 0
    epochs: int = 0


Report = Callable[[Progress], None]


def tune(
    recipe: Recipe,
    *,
    source: str | None = None,
    data_dir: str | None = None,
    trials: int = 20,
    oracle: str = "bayesian",
    objective: Sequence[str] = (DELTA_M,),
    prefer: Mapping[str, float] | str | None = None,
    balancers: Iterable[Any] | None = None,
    workers: int = 1,
    address: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    out: str | Path = "runs",
    origin: Mapping[str, Any] | None = None,
    on_start: Callable[[Path], None] | None = None,
    on_progress: Report | None = None,
) -> SearchResult:
    """Searches hyperparameters, and trains the model that does best.

    Trials are judged by their gains over single-task models on validation
    data, which are trained first, on the same budget, or remembered from an
    earlier search. The best trial by the mean of the gains is trained once
    more, as it was, and is the first to see test data.

    The run's directory, `<out>/<recipe>/<time>`, holds `config.json` and
    `trials/` from the beginning, and in the end `results.json`,
    `report.html`, `trials.csv`, `front.csv`, `front.png` and `model.keras`.
    A search that was ended before goes on with `resume`.

    Args:
        recipe: What to train.
        source: One of the recipe's data sources; by default its first.
        data_dir: Where its data lies, for the recipe's `load`.
        trials: How many to try at most.
        oracle: "bayesian", "random", "grid" or "hyperband".
        objective: `["delta_m"]`, or the tasks that count.
        prefer: How much each task counts in the choice among trials that no
            other surpasses, as in `{"a": 2.0, "b": 1.0}`, or "knee".
        balancers: Names, configs or instances; by default the recipe's.
        workers: Processes on this machine. With 0, trials are run by workers
            that join.
        address: `host:port` at which workers may join from other machines.
        seed: Of weights, data order and of what the oracle draws.
        epochs: Of a trial; by default the recipe's.
        out: Where runs are kept, and the results of single-task models.
        origin: More to record in `config.json`: command, file.
        on_start: Called with the run's directory.
        on_progress: Called with a `Progress`, again and again.

    Returns:
        The trials and the model that was chosen.

    Raises:
        ValueError: An argument, the recipe or its data does not suit, or all
            trials failed.
        OSError: A directory cannot be written.

    Example:
    >>> result = tune(recipe, trials=20)  # doctest: +SKIP
    >>> result.chosen.values  # doctest: +SKIP
    {'depth': 1, 'balancer': 'pcgrad', 'learning_rate': 0.0023}
    """
    source = recipe.source(source)
    recipe = recipe.for_source(source)
    epochs = recipe.epochs if epochs is None else epochs
    for argument, value in (("trials", trials), ("epochs", epochs)):
        if value < 1:
            raise ValueError(
                f"`{argument}` must be 1 or more. Received: {argument}={value}"
            )
    if len(recipe.tasks) < 2:
        raise ValueError(
            "`tune` needs a recipe with two tasks or more. Received: "
            f"{recipe.name!r} with {list(recipe.tasks)}"
        )
    check_oracle(oracle)
    counting = objective_tasks(list(objective), recipe.tasks)
    _check_preference(prefer, counting)
    _check_workers(workers, address, recipe)
    models = MultiTaskHyperModel.from_recipe(recipe, balancers)
    space = models.space()
    run = new_run(out, recipe)
    # Opens the place first: data may take long to load.
    with _files.hidden_directory(run):
        splits = load_splits(recipe, source, data_dir)
        add_temperature(space, splits.train)
        baselines = single_task_scores(
            recipe,
            splits,
            epochs=epochs,
            seed=seed,
            cache=Path(out) / ".single_task",
            on_epoch=_baseline_report(on_progress, len(recipe.tasks)),
        )
    settings = {
        "source": source,
        "data_dir": data_dir and str(data_dir),
        "epochs": epochs,
        "seed": seed,
        "oracle": oracle,
        "trials": trials,
        "objective": list(counting),
        "balancers": models.balancers,
        "baselines": baselines,
        "space": space.get_config(),
        "recipe_file": recipe.file and str(recipe.file),
    }
    plan = Plan(
        run, json.loads(to_json(describe_run(recipe, settings, origin)))
    )
    plan.objective(recipe)  # is it defined?
    _files.write_text(run / CONFIG, to_json(plan.settings))
    if on_start is not None:
        on_start(run)
    return _search(plan, recipe, splits, prefer, workers, address, on_progress)


def resume(
    recipe: Recipe,
    run: str | Path,
    *,
    trials: int | None = None,
    prefer: Mapping[str, float] | str | None = None,
    workers: int = 1,
    address: str | None = None,
    on_progress: Report | None = None,
) -> SearchResult:
    """Goes on with a search that was ended, by whatever.

    Trials that have ended are kept; those that had begun are run again.

    Args:
        recipe: The one that the search was started with.
        run: Its directory.
        trials: To try more than the search was meant to.
        prefer: As in `tune`.
        workers: As in `tune`.
        address: As in `tune`.
        on_progress: As in `tune`.

    Raises:
        ValueError: `run` is no such run, is of another recipe or is done, or
            a file of it is damaged.
        FileNotFoundError: There is no such run.
    """
    plan = read_plan(run)
    recipe = recipe.for_source(recipe.source(plan.settings["source"]))
    tasks = [task.get_config() for task in recipe.tasks.values()]
    for what, before, now in (
        ("recipe", plan.settings["recipe"], recipe.name),
        ("batch_size", plan.settings["batch_size"], recipe.batch_size),
        ("tasks", plan.settings["tasks"], json.loads(to_json(tasks))),
    ):
        if before != now:
            raise ValueError(
                f"`{what}` must be what the run {str(run)!r} was started "
                f"with. Expected: {before!r}. Received: {now!r}. Start a new "
                "search instead."
            )
    # Not the file that `config.json` names, which may have been changed.
    file = recipe.file and str(recipe.file)
    plan = Plan(plan.run, {**plan.settings, "recipe_file": file})
    _check_preference(prefer, plan.settings["objective"])
    _check_workers(workers, address, recipe)
    before = plan.settings["trials"]
    if trials is not None and trials != before:
        if trials < before:
            raise ValueError(
                "`trials` of a search may grow, not shrink. Expected: more "
                f"than {before}. Received: trials={trials}"
            )
        plan = Plan(plan.run, {**plan.settings, "trials": trials})
        _files.write_text(plan.run / CONFIG, to_json(plan.settings))
    elif (plan.run / RESULTS).exists() and prefer is None:
        raise ValueError(
            f"The run {str(run)!r} has done its {before} trials. To try more, "
            "give more `trials` than that; to choose among them anew, a "
            "preference."
        )
    for file in plan.trials_folder.glob(f"trial_*/{ATTEMPTS}"):
        file.unlink()  # whoever goes on has seen to what ended them
    splits = load_splits(
        recipe, plan.settings["source"], plan.settings["data_dir"]
    )
    return _search(plan, recipe, splits, prefer, workers, address, on_progress)


def _search(
    plan: Plan,
    recipe: Recipe,
    splits: Splits,
    prefer: Mapping[str, float] | str | None,
    workers: int,
    address: str | None,
    on_progress: Report | None,
) -> SearchResult:
    report = on_progress or (lambda progress: None)
    _files.clear_abandoned(plan.run)
    read_records(plan.trials_folder)  # a damaged one is told of at once
    begin_board(plan, recipe)
    total = plan.settings["trials"]

    def on_epoch(trial: str, epoch: int, epochs: int) -> None:
        done = len(read_records(plan.trials_folder))
        report(Progress("trial", f"trial {trial}", done, total, epoch, epochs))

    if workers == 1 and address is None:
        run_trials(plan, recipe, splits, (_ALONE,), on_epoch)
    else:
        Supervisor(plan, workers, address).run(
            lambda done, label: report(Progress("trial", label, done, total))
        )
    epochs = plan.settings["epochs"]
    return finish(
        plan,
        recipe,
        splits,
        prefer,
        lambda epoch: report(
            Progress("chosen", "chosen model", 0, 1, epoch, epochs)
        ),
    )


def run_trials(
    plan: Plan,
    recipe: Recipe,
    splits: Splits,
    workers: tuple[str, ...] | None = None,
    on_epoch: Callable[[str, int, int], None] | None = None,
) -> None:
    """Runs trials until the oracle has no more.

    Raises:
        ValueError: A file of the search is damaged.
        OSError: A file cannot be written.
    """
    tuner = TrialTuner(plan, recipe, splits, workers, on_epoch)
    try:
        tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise error.__cause__ or error from None


def _baseline_report(
    on_progress: Report | None, total: int
) -> Callable[[str, int, int, int], None] | None:
    if on_progress is None:
        return None
    return lambda task, number, epoch, epochs: on_progress(
        Progress(
            "single-task", f"single-task {task}", number, total, epoch, epochs
        )
    )


def _check_preference(
    prefer: Mapping[str, float] | str | None, tasks: Sequence[str]
) -> None:
    if prefer is None or prefer == "knee":
        return
    if isinstance(prefer, str) or not (
        set(prefer) <= set(tasks)
        and all(weight >= 0 for weight in prefer.values())
        and any(weight > 0 for weight in prefer.values())
    ):
        raise ValueError(
            "`prefer` must be 'knee' or hold numbers from 0 by task, not all "
            f"zero, for some of: {', '.join(tasks)}. Received: {prefer!r}"
        )


def _check_workers(workers: int, address: str | None, recipe: Recipe) -> None:
    if workers < 0:
        raise ValueError(
            f"`workers` must be 0 or more. Received: workers={workers}"
        )
    if workers == 0 and address is None:
        raise ValueError(
            "Without `workers` on this machine, others must know where to "
            "join: give an `address`, such as 'host:8700'."
        )
    if address is not None:
        split_address(address)
    if (workers != 1 or address is not None) and recipe.file is None:
        raise ValueError(
            "Workers are processes of their own, which read the recipe from "
            "its file. Received: a recipe that was not loaded from one. Use "
            "keras_mtl.recipe.load_recipe."
        )
