"""What a comparison found, as plain data: summaries, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keras_mtl.metrics import delta_m, task_deltas

SINGLE = "single-task"
EQUAL = "equal weights"


class Spread(NamedTuple):
    """Mean and sample standard deviation; NaN for one value alone."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of some numbers."""
        array = np.asarray(list(values), "float64")
        sd = array.std(ddof=1) if len(array) > 1 else math.nan
        return cls(float(array.mean()), float(sd))


@dataclass(frozen=True)
class Metric:
    """The metric that a task is judged by."""

    name: str
    direction: str
    unit: str | None = None

    @property
    def label(self) -> str:
        """With its unit, if it is in that of the labels."""
        same_unit = self.name in ("mae", "rmse", "mean_absolute_error")
        return (
            f"{self.name} ({self.unit})"
            if self.unit and same_unit
            else (self.name)
        )


@dataclass(frozen=True)
class Training:
    """One model trained once.

    Attributes:
        method: `SINGLE`, `EQUAL`, the name of a way of sharing or that of a
            balancer.
        tasks: What the model learned.
        seed: Of weights and data order.
        validation: The judging metric of each task on validation data.
        test: The same on test data.
        seconds: Time of `fit`, with that of compiling the first step.
        parameters: Number of weights of the model without its balancer.
        history: The logs of each epoch, as `fit` returns them.
        sharing: The way of sharing; None for single-task models, and where
            the recipe names none.
    """

    method: str
    tasks: tuple[str, ...]
    seed: int
    validation: dict[str, float]
    test: dict[str, float]
    seconds: float
    parameters: int
    history: dict[str, list[float]]
    sharing: str | None = None

    @property
    def label(self) -> str:
        """Method, and the task of a single-task model."""
        if self.method == SINGLE:
            return f"{self.method} {self.tasks[0]}"
        return self.method


@dataclass(frozen=True)
class Inference:
    """Seconds for one batch: the shared model against the separate ones.

    Each is `(first quartile, median, third quartile)`.
    """

    batch_size: int
    shared: tuple[float, float, float]
    separate: tuple[float, float, float]


@dataclass(frozen=True)
class Summary:
    """A method over all seeds.

    The deltas of every seed are taken against the mean of the single-task
    models over the seeds; those of the single-task models themselves have
    mean 0 and show how far chance alone moves them.

    Attributes:
        method: As of its trainings.
        test: The judging metric on test data, by task.
        deltas: Relative change against single-task models in percent, by
            task; above 0 is better.
        delta_m: The mean of the deltas over the tasks, on test data.
        validation_delta_m: The same on validation data; models are chosen
            by it.
        seconds: Training time of all tasks.
        parameters: Weights for all tasks.
    """

    method: str
    test: dict[str, Spread]
    deltas: dict[str, Spread]
    delta_m: Spread
    validation_delta_m: Spread
    seconds: Spread
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """Every training of a comparison, and what follows from them.

    Attributes:
        recipe: The recipe's name.
        description: The recipe's own words.
        source: Where the data came from.
        epochs: Of every training.
        batch_size: Of every training.
        metrics: What each task is judged by.
        trainings: Of all methods and seeds.
        inference: Times of `chosen` and of the single-task models.
        config: All that is needed to repeat it.
    """

    recipe: str
    description: str
    source: str
    epochs: int
    batch_size: int
    metrics: dict[str, Metric]
    trainings: list[Training]
    inference: Inference | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """In the order of training."""
        return list(dict.fromkeys(t.seed for t in self.trainings))

    @property
    def methods(self) -> list[str]:
        """Single-task first."""
        return list(dict.fromkeys(t.method for t in self.trainings))

    @property
    def balancers_share_by(self) -> str | None:
        """How methods share that are named after a balancer.

        None if nothing else was compared with it, or there is no balancer.
        """
        ways = {t.sharing for t in self.trainings if t.method == t.sharing}
        others = {t.sharing for t in self.trainings if t.method not in ways}
        return next(iter(others - {None}), None) if ways else None

    @property
    def chosen(self) -> str:
        """The shared model's method with the best Δm on validation data.

        Test data has no say. An undefined Δm loses against any number.
        """
        shared = [s for s in self.summaries() if s.method != SINGLE]

        def validation(summary: Summary) -> float:
            mean = summary.validation_delta_m.mean
            return -math.inf if math.isnan(mean) else mean

        return max(shared, key=validation).method

    def summary(self, method: str) -> Summary:
        """A method over all seeds."""
        test, deltas, delta_m_ = self._score("test", method)
        validation_delta_m = self._score("validation", method)[2]
        by_seed = [
            [t for t in self.trainings if (t.method, t.seed) == (method, seed)]
            for seed in self.seeds
        ]
        return Summary(
            method=method,
            test=test,
            deltas=deltas,
            delta_m=delta_m_,
            validation_delta_m=validation_delta_m,
            seconds=Spread.of(sum(t.seconds for t in g) for g in by_seed),
            parameters=sum(t.parameters for t in by_seed[0]),
        )

    def summaries(self) -> list[Summary]:
        """Of all methods, single-task first."""
        return [self.summary(method) for method in self.methods]

    def _score(
        self, split: str, method: str
    ) -> tuple[dict[str, Spread], dict[str, Spread], Spread]:
        """Metrics and deltas by task, and Δm, on one split."""
        scores = self._by_seed(split, method)
        singles = self._by_seed(split, SINGLE)
        baseline = {
            task: Spread.of(s[task] for s in singles).mean
            for task in self.metrics
        }
        directions = {k: m.direction for k, m in self.metrics.items()}
        deltas = [task_deltas(s, baseline, directions) for s in scores]
        return (
            {k: Spread.of(s[k] for s in scores) for k in self.metrics},
            {k: Spread.of(d[k] for d in deltas) for k in self.metrics},
            Spread.of(delta_m(s, baseline, directions) for s in scores),
        )

    def _by_seed(self, split: str, method: str) -> list[dict[str, float]]:
        """The metric of every task, for each seed."""
        scores = []
        for seed in self.seeds:
            score: dict[str, float] = {}
            for training in self.trainings:
                if (training.method, training.seed) == (method, seed):
                    score.update(getattr(training, split))
            scores.append({task: score[task] for task in self.metrics})
        return scores

    def to_json(self) -> str:
        """Everything but the config, which has a file of its own."""
        record = {
            "recipe": self.recipe,
            "source": self.source,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seeds": self.seeds,
            "metrics": {k: asdict(m) for k, m in self.metrics.items()},
            "chosen": self.chosen,
            "summaries": [_plain(s) for s in self.summaries()],
            "inference_seconds": self.inference and asdict(self.inference),
            "trainings": [asdict(t) for t in self.trainings],
        }
        return to_json(record)

    def to_csv(self) -> str:
        """One line for each model, seed and task."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *("method", "seed", "task", "metric", "direction"),
                *("validation", "test"),
                *("model_seconds", "model_parameters", "epochs", "sharing"),
            ]
        )
        for t in self.trainings:
            for task in t.tasks:
                metric = self.metrics[task]
                writer.writerow(
                    [
                        t.method,
                        t.seed,
                        task,
                        metric.name,
                        metric.direction,
                        t.validation[task],
                        t.test[task],
                        t.seconds,
                        t.parameters,
                        self.epochs,
                        t.sharing,
                    ]
                )
        return out.getvalue()


def to_json(record: Any) -> str:
    """JSON as other programs read it: null where Python has NaN."""
    return json.dumps(_finite(record), indent=2, allow_nan=False) + "\n"


def _plain(summary: Summary) -> dict[str, Any]:
    def spread(value: Any) -> Any:
        if isinstance(value, Spread):
            return value._asdict()
        if isinstance(value, Mapping):
            return {k: spread(v) for k, v in value.items()}
        return value

    return {k: spread(v) for k, v in vars(summary).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
