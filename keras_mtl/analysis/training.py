"""Trains a recipe's model once, the same way for every command."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_mtl import balancers
from keras_mtl.analysis.batches import Batches
from keras_mtl.analysis.model_inputs import own_inputs
from keras_mtl.analysis.results import EQUAL, Metric
from keras_mtl.recipe import Recipe, Score, Splits
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task import metric_direction, metric_name
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training import MultiTaskModel


def build_model(
    recipe: Recipe,
    tasks: TaskSet,
    balancer: Any = None,
    sharing: str | None = None,
) -> MultiTaskModel:
    """The recipe's model for some of its tasks, compiled.

    Args:
        recipe: Says how.
        tasks: Some or all of its tasks.
        balancer: A name or config; None for equal weights.
        sharing: One of the recipe's ways of sharing; by default its first.

    Raises:
        ValueError: `recipe.build` gave something else, or does not ask how
            to share though the recipe lets choose.
    """
    hp = keras_tuner.HyperParameters()
    sharing = recipe.sharing(sharing)
    if sharing is not None:
        hp.values["sharing"] = sharing
    model = recipe.build(hp, tasks)
    # One task shares nothing, so it need not be asked how.
    asked = any(parameter.name == "sharing" for parameter in hp.space)
    if sharing is not None and len(tasks) > 1 and not asked:
        raise ValueError(
            f"`build` of recipe {recipe.name!r} must build what "
            f"hp.Choice('sharing', {list(recipe.sharings)}) tells. Received: "
            "a `build` that does not ask. Take `sharings` out of the recipe "
            "if it lets nobody choose."
        )
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            f"`build` of recipe {recipe.name!r} must return a "
            f"keras_mtl.MultiTaskModel. Received: {type(model).__name__}"
        )
    check_keys(
        model.tasks,
        tasks,
        argument=f"build of recipe {recipe.name!r}",
        all_needed=True,
        remedy="Make the outputs from the `tasks` that `build` is given.",
    )
    model.compile(_optimizer(recipe.optimizer, hp), balancer=balancer)
    return model


def train_once(
    recipe: Recipe,
    splits: Splits,
    tasks: TaskSet,
    balancer: Any = None,
    *,
    seed: int,
    epochs: int,
    callbacks: Sequence[Any] = (),
    model: MultiTaskModel | None = None,
    initial_epoch: int = 0,
    sharing: str | None = None,
) -> tuple[MultiTaskModel, dict[str, list[float]], float]:
    """Trains one model, single-task or shared, on the training data.

    Args:
        recipe: Says how.
        splits: From `load_splits`.
        tasks: Some or all of the recipe's tasks.
        balancer: A name or config; None for equal weights.
        seed: Of the initial weights, of layers that draw random numbers and,
            for arrays, of the data order; a `tf.data.Dataset` brings its own
            order.
        epochs: The epoch to end with.
        callbacks: Keras callbacks.
        model: A model to train further instead of a new one.
        initial_epoch: The epoch to go on with.
        sharing: One of the recipe's ways of sharing; by default its first.

    Returns:
        The model, the logs of each epoch and the seconds that `fit` took.
    """
    keras.utils.set_random_seed(seed)
    if model is None:
        model = build_model(recipe, tasks, balancer, sharing)
    train = _for_model(splits.train, model, tasks)
    callbacks = list(callbacks)
    if isinstance(train, tuple):
        x, y = train
        train = Batches(x, y, recipe.batch_size, seed)
        callbacks.append(train.callback)
    validation = _for_model(splits.validation, model, tasks)
    start = time.perf_counter()
    history = model.fit(
        train,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=validation,
        validation_batch_size=(
            recipe.batch_size if isinstance(validation, tuple) else None
        ),
        callbacks=callbacks,
        shuffle=False,  # else Keras shuffles the batches once more
        verbose=0,
    )
    seconds = time.perf_counter() - start
    return model, {k: _floats(v) for k, v in history.history.items()}, seconds


def evaluate(
    model: MultiTaskModel,
    recipe: Recipe,
    splits: Splits,
    split: str,
    tasks: TaskSet,
) -> dict[str, float]:
    """Every measure of some tasks on one of the splits.

    Args:
        model: Trained.
        recipe: Has the scores and the batch size.
        splits: From `load_splits`.
        split: `"validation"` or `"test"`.
        tasks: Those of the model.

    Returns:
        Losses, Keras metrics and scores, as `{task}_{measure}`.

    Raises:
        ValueError: A score fails; the message tells which.
    """
    data = _for_model(getattr(splits, split), model, tasks)
    if isinstance(data, tuple):
        logs = model.evaluate(
            *data, batch_size=recipe.batch_size, return_dict=True, verbose=0
        )
    else:
        logs = model.evaluate(data, return_dict=True, verbose=0)
    measures = {k: float(v) for k, v in logs.items() if k != "loss"}
    for name in tasks:
        for score in recipe.scores.get(name, ()):
            try:
                value = float(
                    score.function(
                        model, *inputs_and_truth(model, splits, split)
                    )
                )
            except Exception as error:
                raise ValueError(
                    f"Score {score.name!r} of task {name!r} failed on "
                    f"{split} data: {type(error).__name__}: {error}"
                ) from error
            measures[f"{name}_{score.name}"] = value
    return measures


def judging_metrics(recipe: Recipe) -> dict[str, Metric]:
    """What each task is judged by: its first score, else its first metric."""
    return {
        name: _score_metric(scores[0])
        if (scores := recipe.scores.get(name))
        else _keras_metric(task, task.monitor.removeprefix(f"{name}_"))
        for name, task in recipe.tasks.items()
    }


def other_metrics(recipe: Recipe) -> dict[str, list[Metric]]:
    """What else is measured of each task: scores, then Keras metrics."""
    judging = judging_metrics(recipe)
    found = {}
    for name, task in recipe.tasks.items():
        metrics = [
            *map(_score_metric, recipe.scores.get(name, ())),
            *(_keras_metric(task, metric_name(m)) for m in task.metrics),
        ]
        found[name] = [m for m in metrics if m.name != judging[name].name]
    return found


def judged(
    measures: Mapping[str, float], metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """The measures that tasks are judged by, by task."""
    return {
        task: measures[key]
        for task, metric in metrics.items()
        if (key := f"{task}_{metric.name}") in measures
    }


def inputs_and_truth(model: Any, splits: Splits, split: str) -> tuple[Any, Any]:
    """What scores and pictures of a recipe are given for a split."""
    data = _for_model(getattr(splits, split), model)
    if isinstance(data, tuple):
        x, y = data
    else:
        x, y = (data.map(lambda *xy, part=part: xy[part]) for part in (0, 1))
    return x, splits.truth.get(split, y)


def load_splits(
    recipe: Recipe, source: str, data_dir: str | None = None
) -> Splits:
    """The recipe's data, its labels held against the tasks.

    Raises:
        ValueError: Not three splits, or labels that are not the tasks'.
    """
    splits = recipe.load(source, data_dir)
    if not isinstance(splits, tuple) or len(splits) not in (3, 4):
        raise ValueError(
            f"`load` of recipe {recipe.name!r} must return "
            "keras_mtl.Splits(train, validation, test). "
            f"Received: {type(splits).__name__}"
        )
    splits = Splits(*splits)
    if unknown := set(splits.truth) - {"validation", "test"}:
        raise ValueError(
            f"`truth` of recipe {recipe.name!r} must have the keys "
            f"'validation' and 'test' alone. Received: {sorted(unknown)}"
        )
    for name, split in splits._asdict().items():
        if name == "truth":
            continue
        if isinstance(split, tuple):
            if len(split) != 2:
                raise ValueError(
                    f"`{name}` of recipe {recipe.name!r} must be (x, y) or a "
                    f"tf.data.Dataset. Received: {len(split)} values"
                )
            check_keys(
                split[1],
                recipe.tasks,
                argument=f"y of {name}",
                all_needed=True,
            )
        elif name == "train" and hasattr(split, "for_fit"):  # a mixture
            check_keys(
                split.tasks,
                recipe.tasks,
                argument="tasks of the mixture",
                all_needed=True,
            )
        elif not hasattr(split, "map"):
            raise ValueError(
                f"`{name}` of recipe {recipe.name!r} must be (x, y) or a "
                "tf.data.Dataset; for training it may be a "
                "keras_mtl.data.Mixture, too. Received: "
                f"{type(split).__name__}"
            )
    return splits


def first_batch(data: Any, batch_size: int) -> Any:
    """Inputs of the first examples of a split."""
    if not isinstance(data, tuple):
        return next(iter(data))[0]
    x = data[0]
    if isinstance(x, Mapping):
        return {key: array[:batch_size] for key, array in x.items()}
    return x[:batch_size]


def named_balancers(identifiers: Iterable[Any]) -> dict[str, Any]:
    """Configs by a name to show; each makes a fresh balancer.

    Args:
        identifiers: Names, configs or instances; None for equal weights.

    Raises:
        ValueError: No such balancer.
    """
    named: dict[str, Any] = {}
    for identifier in identifiers:
        if identifier is None:
            named[EQUAL] = None
            continue
        balancer = balancers.get(identifier)
        name = next(n for n in balancers.registry if _is(balancer, n))
        label, number = name, 2
        while label in named:
            label, number = f"{name} {number}", number + 1
        named[label] = balancers.serialize(balancer)
    return named


def _score_metric(score: Score) -> Metric:
    return Metric(score.name, score.direction, score.unit)


def _keras_metric(task: Task, name: str) -> Metric:
    first = name == task.monitor.removeprefix(f"{task.name}_")
    # These are in the unit of the labels; others are not, or need not be.
    in_unit = name in ("mae", "rmse", "mean_absolute_error")
    return Metric(
        name,
        task.direction if first else metric_direction(name),
        task.unit if in_unit else None,
    )


def _is(balancer: Any, name: str) -> bool:
    return type(balancer) is balancers.registry[name]


def _optimizer(optimizer: Any, hp: Any) -> Any:
    # Every model needs an optimizer of its own: it holds state.
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return type(optimizer).from_config(optimizer.get_config())
    if callable(optimizer):
        return optimizer(hp)
    return keras.optimizers.get(optimizer)


def _for_model(
    data: Any, model: Any, tasks: Iterable[str] | None = None
) -> Any:
    """The split with the inputs of a model, and the labels of some tasks."""

    def own(x: Any, y: Any) -> tuple[Any, Any]:
        names = y if tasks is None else tasks
        return own_inputs(model, x), {name: y[name] for name in names}

    if isinstance(data, tuple):
        return own(*data)
    if hasattr(data, "for_fit"):
        return _MappedMixture(data, own)
    return data.map(own)


class _MappedMixture:
    """A mixture as `fit` takes it, each of its batches changed.

    Args:
        mixture: A `data.Mixture`.
        function: What is done to inputs and labels.
    """

    def __init__(self, mixture: Any, function: Any) -> None:
        self.mixture, self.function = mixture, function

    def for_fit(self, initial_epoch: int) -> tuple[Any, Any]:
        """See `data.Mixture.for_fit`."""
        stream, follower = self.mixture.for_fit(initial_epoch)
        return stream.map(self.function), follower


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]
