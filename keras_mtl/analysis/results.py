"""What a comparison found, as plain data: summaries, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from keras_mtl.analysis.significance import holm, interval, paired_p, ranks
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
    """One measure of a task; `unit` is what it is measured in, if known."""

    name: str
    direction: str
    unit: str | None = None

    @property
    def label(self) -> str:
        """With its unit, if it has one."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


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
        measures: Everything else that was measured on test data, as
            `{task}_{measure}`.
        operations: Floating-point operations of a forward pass of one
            example; None if unknown.
        memory: Bytes that a training step takes, computed; with the first
            seed alone, and None if unknown.
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
    measures: dict[str, float] = field(default_factory=dict)
    operations: int | None = None
    memory: int | None = None

    @property
    def label(self) -> str:
        """Method, and the task of a single-task model."""
        if self.method == SINGLE:
            return f"{self.method} {self.tasks[0]}"
        return self.method


@dataclass(frozen=True)
class Failure:
    """A training that failed, and why."""

    label: str
    seed: int
    reason: str


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
        interval: The 95 % confidence interval of Δm, by Student.
        p_value: Of Δm being that of the single-task models, by a t-test of
            pairs of the same seed, adjusted by Holm for the number of
            methods.
        rank: Among all methods, 1 for the best, mean over tasks and seeds.
        validation_delta_m: The same on validation data; models are chosen
            by it.
        seconds: Training time of all tasks.
        parameters: Weights for all tasks.
        operations: Floating-point operations of a forward pass of one
            example, all tasks; None if unknown.
        memory: Bytes that a training step takes, computed; of single-task
            models, which need not be trained at once, the largest. None if
            unknown.
        others: What else was measured on test data, as `{task}_{measure}`.
    """

    method: str
    test: dict[str, Spread]
    deltas: dict[str, Spread]
    delta_m: Spread
    validation_delta_m: Spread
    seconds: Spread
    parameters: int
    interval: tuple[float, float]
    p_value: float
    rank: float
    operations: int | None = None
    memory: int | None = None
    others: dict[str, Spread] = field(default_factory=dict)


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
        others: What else each task is measured by.
        failures: Trainings that failed. Their methods are left out.
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
    others: dict[str, list[Metric]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

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
        test, deltas, by_seeds = self._score("test", method)
        on_validation = self._score("validation", method)[2]
        by_seed = [
            [t for t in self.trainings if (t.method, t.seed) == (method, seed)]
            for seed in self.seeds
        ]
        return Summary(
            method=method,
            test=test,
            deltas=deltas,
            delta_m=Spread.of(by_seeds),
            validation_delta_m=Spread.of(on_validation),
            interval=interval(by_seeds),
            p_value=self._p_values().get(method, math.nan),
            rank=self._ranks()[method],
            seconds=Spread.of(sum(t.seconds for t in g) for g in by_seed),
            parameters=sum(t.parameters for t in by_seed[0]),
            operations=None
            if any(t.operations is None for t in by_seed[0])
            else sum(t.operations or 0 for t in by_seed[0]),
            memory=None
            if any(t.memory is None for t in by_seed[0])
            else max(t.memory or 0 for t in by_seed[0]),
            others={
                key: Spread.of(
                    t.measures[key] for t in chain(*by_seed) if task in t.tasks
                )
                for task, metrics in self.others.items()
                for key in (f"{task}_{metric.name}" for metric in metrics)
            },
        )

    def summaries(self) -> list[Summary]:
        """Of all methods, single-task first."""
        return [self.summary(method) for method in self.methods]

    def _score(
        self, split: str, method: str
    ) -> tuple[dict[str, Spread], dict[str, Spread], list[float]]:
        """Metrics and deltas by task, and Δm of each seed, on one split."""
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
            [delta_m(s, baseline, directions) for s in scores],
        )

    def _p_values(self) -> dict[str, float]:
        single = self._score("test", SINGLE)[2]
        return holm(
            {
                method: paired_p(self._score("test", method)[2], single)
                for method in self.methods
                if method != SINGLE
            }
        )

    def _ranks(self) -> dict[str, float]:
        scores = {m: self._by_seed("test", m) for m in self.methods}
        found = [
            ranks({m: s[seed][task] for m, s in scores.items()}, how.direction)
            for seed in range(len(self.seeds))
            for task, how in self.metrics.items()
        ]
        return {
            m: float(np.mean([rank[m] for rank in found])) for m in self.methods
        }

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
            "other_metrics": {
                task: [asdict(m) for m in metrics]
                for task, metrics in self.others.items()
            },
            "chosen": self.chosen,
            "summaries": [_plain(s) for s in self.summaries()],
            "failures": [asdict(f) for f in self.failures],
            "inference_seconds": self.inference and asdict(self.inference),
            "trainings": [asdict(t) for t in self.trainings],
        }
        return to_json(record)

    def to_csv(self) -> str:
        """One line for each model, seed, task and measure."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *("method", "seed", "task", "metric", "direction"),
                *("validation", "test"),
                *("model_seconds", "model_parameters", "epochs", "sharing"),
                *("model_operations", "model_memory"),
            ]
        )
        for t in self.trainings:
            for task in t.tasks:
                judging = self.metrics[task]
                for metric in (judging, *self.others.get(task, ())):
                    judges = metric is judging
                    writer.writerow(
                        [
                            t.method,
                            t.seed,
                            task,
                            metric.name,
                            metric.direction,
                            t.validation[task] if judges else "",
                            t.test[task]
                            if judges
                            else t.measures[f"{task}_{metric.name}"],
                            t.seconds,
                            t.parameters,
                            self.epochs,
                            t.sharing,
                            t.operations,
                            t.memory,
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
