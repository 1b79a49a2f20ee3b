"""What multi-task learning is said to be good for, measured on the recipes.

    python benchmarks/does_it_help.py --data-dir DIR

measures four parts on each recipe and writes `docs/does_it_help.md` and
`benchmarks/results/does_it_help.json` after each of them:

    accuracy     one shared model against a model for each task; parameters,
                 training time and inference time of both
    labels       the same with a tenth and a hundredth of the examples
    one_task     the same where one task alone has so few labels
    new_task     the encoder of the other tasks under a task that is new to it

    python benchmarks/does_it_help.py --small

shows all of it in some minutes, at sizes that tell nothing, and writes to
`runs/does_it_help` instead. `--full` takes the recipes' own sizes. `--recipes`,
`--parts`, `--seeds` and `--epochs` choose; what is not chosen stays as it was
measured before. `--page` writes the page anew from the figures there are.

Finished trainings are kept in `--out`: what is interrupted goes on where it
was. A part that fails is shown on the page with its reason, and the others go
on. Recipes of data that is not shipped look for it in `--data-dir`, prepared by
TensorFlow Datasets as each of them tells.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from does_it_help_page import page
from label_variants import (
    chosen_rows,
    code_digest,
    count_of,
    recipe_page,
    take,
    variant_file,
    whole_data,
)
from new_task import learn_new_task

from keras_mtl.analysis import Comparison, compare
from keras_mtl.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "does_it_help.md"
FIGURES = ROOT / "benchmarks" / "results" / "does_it_help.json"
PARTS = ("accuracy", "labels", "one_task", "new_task")
PACKAGES = ("keras-mtl", "tensorflow", "tensorflow-cpu", "keras", "numpy")


@dataclass(frozen=True)
class Plan:
    """What is measured of a recipe, at the sizes of the page.

    Attributes:
        data: What its data is, in a few words.
        real: Whether it was not made up.
        source: One of the recipe's.
        seeds: How often.
        epochs: None for the recipe's.
        examples: Of the training part; None for all.
        balancers: Tried beside equal weights.
        fractions: Of the examples or labels that are left.
        cut: Tasks that lose labels alone.
        new_tasks: Tasks that are left out, then learned from few examples.
    """

    data: str
    real: bool
    source: str | None = None
    seeds: int = 3
    epochs: int | None = None
    examples: int | None = None
    balancers: tuple[str, ...] = ()
    fractions: tuple[float, ...] = (0.1, 0.01)
    cut: tuple[str, ...] = ()
    new_tasks: tuple[str, ...] = ()

    def full(self) -> "Plan":
        """At the recipe's own size."""
        return dataclasses.replace(self, epochs=None, examples=None)

    def small(self) -> "Plan":
        """Something to see in minutes."""
        return dataclasses.replace(
            self,
            seeds=2,
            epochs=2,
            examples=1500,
            balancers=(),
            fractions=self.fractions[:1],
            cut=self.cut[:1],
            new_tasks=self.new_tasks[:1],
        )


PLANS = {
    "digits": Plan(
        data="scans of handwritten digits, in overlapping pairs",
        real=True,
        balancers=("pcgrad",),
        cut=("right",),
        new_tasks=("right", "sum"),
    ),
    "census": Plan(
        data="answers to the census of 1994 and 1995",
        real=True,
        examples=50_000,
        cut=("income",),
        new_tasks=("income", "never_married"),
    ),
    "sentiment": Plan(
        data="reviews of sixteen kinds of things",
        real=True,
        source="review_domains",
        fractions=(0.1,),  # a hundredth would be 14 reviews
        new_tasks=("kitchen_housewares", "MR"),
    ),
    "understanding": Plan(
        data="ATIS: what people say to a flight information system",
        real=True,
        source="atis",
        epochs=5,
        balancers=("uncertainty",),
        fractions=(0.1,),  # a hundredth would be 45 sentences
        cut=("slots",),
    ),
    "movies": Plan(
        data="made ratings by hidden tastes",
        real=False,
        cut=("rating",),
    ),
    "correlation": Plan(
        data="made regressions, correlated by .5",
        real=False,
        source="0.5",
        examples=10_000,
        cut=("second",),
    ),
    "translation": Plan(
        data="sums of money in the words of four languages",
        real=False,
        source="numbers",
        seeds=1,
        epochs=4,
        fractions=(),  # its data is a stream
    ),
    "scenes": Plan(
        data="drawn rooms",
        real=False,
        seeds=1,
        examples=2000,
        fractions=(),
    ),
}
SMALL = ("digits", "correlation")


def tell(text: str) -> None:
    """Prints at once, where output goes into a file, too."""
    print(text, flush=True)


class Measurement:
    """Measures the parts of one recipe.

    Args:
        name: Of the recipe.
        plan: At which sizes.
        data_dir: Where its data lies.
        out: Where trainings are kept.
        say: Is told what is done.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        data_dir: str | None,
        out: Path,
        say: Callable[[str], None] = tell,
    ) -> None:
        recipe = recipe_page(name)
        self.name, self.plan, self.out, self.say = name, plan, out, say
        self.data_dir = data_dir
        self.source = recipe.source(plan.source)
        self.recipe = recipe.for_source(self.source)
        self.epochs = plan.epochs or self.recipe.epochs

    def measure(self, part: str) -> dict[str, Any] | None:
        """One of `PARTS`; None if the plan has nothing of it."""
        return getattr(self, part)()

    def accuracy(self) -> dict[str, Any]:
        """Shared against apart, with all labels."""
        return self._compare({}, self.plan.balancers)

    def labels(self) -> dict[str, Any] | None:
        """The same with fewer examples, by fraction."""
        return self._each(
            {
                str(fraction): {"labels": fraction}
                for fraction in self.plan.fractions
            },
            self.plan.balancers,
        )

    def one_task(self) -> dict[str, Any] | None:
        """The same with fewer labels of one task, by task and fraction."""
        return self._each(
            {
                f"{task} {fraction}": {"cut": (task, fraction)}
                for task in self.plan.cut
                for fraction in self.plan.fractions
            }
        )

    def new_task(self) -> dict[str, Any] | None:
        """What a task that is left out gains from the others' encoder."""
        if not (self.plan.new_tasks and self.plan.fractions):
            return None
        file = self.out / "does_it_help" / f"{self.name}_new_task.json"
        settings = [
            *(code_digest(self.name), self.source, self.epochs),
            *(self.plan.examples, self.plan.fractions),
        ]
        kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
        splits = None
        rows: list[dict[str, Any]] = []
        for seed in range(self.plan.seeds):
            for task in self.plan.new_tasks:
                key = json.dumps([*settings, seed, task])
                if key not in kept:
                    self.say(f"{self.name}: {task} as a new task, seed {seed}")
                    splits = splits or self._splits()
                    kept[key] = list(
                        learn_new_task(
                            self.recipe,
                            splits,
                            task,
                            fractions=self.plan.fractions,
                            seed=seed,
                            epochs=self.epochs,
                        )
                    )
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(json.dumps(kept), "utf-8")
                rows += kept[key]
        return {"rows": rows}

    def _splits(self) -> Any:
        splits = whole_data(self.name, self.source, self.data_dir)
        if self.plan.examples is None:
            return splits
        x, y = splits.train
        rows = chosen_rows(y, self.plan.examples)
        return splits._replace(train=take(x, y, rows))

    def _each(
        self, variants: dict[str, Any], balancers: Iterable[str] = ()
    ) -> dict[str, Any] | None:
        return {
            key: self._compare(settings, balancers)
            for key, settings in variants.items()
        } or None

    def _compare(
        self, settings: dict[str, Any], balancers: Iterable[str] = ()
    ) -> dict[str, Any]:
        if self.plan.examples is not None:
            settings = {"examples": self.plan.examples, **settings}
        file = variant_file(self.out / "does_it_help", self.name, settings)
        told = " ".join(f"{key} {value}" for key, value in settings.items())
        comparison, _ = compare(
            load_recipe(file),
            source=self.source,
            data_dir=self.data_dir,
            seeds=self.plan.seeds,
            epochs=self.epochs,
            balancers=balancers,
            sharings=self.recipe.sharings[:1],
            out=self.out,
            on_progress=lambda progress: (
                self.say(
                    f"{self.name} {told or 'all labels'}: {progress.label}, "
                    f"seed {progress.seed}, training {progress.training + 1} "
                    f"of {progress.trainings}"
                )
                if not progress.epoch
                else None
            ),
        )
        return summary(comparison)


def summary(comparison: Comparison) -> dict[str, Any]:
    """What the page needs of a comparison."""
    keys = ("method", "tasks", "seed", "validation", "test")
    costs = ("seconds", "parameters", "operations")
    return {
        "epochs": comparison.epochs,
        "batch_size": comparison.batch_size,
        "metrics": {
            task: dataclasses.asdict(metric)
            for task, metric in comparison.metrics.items()
        },
        "chosen": comparison.chosen,
        "trainings": [
            {key: getattr(training, key) for key in (*keys, *costs)}
            for training in comparison.trainings
        ],
        "failures": [dataclasses.asdict(f) for f in comparison.failures],
        "inference": comparison.inference
        and dataclasses.asdict(comparison.inference),
    }


def describe(measurement: Measurement, command: str) -> dict[str, Any]:
    """How a part was measured."""
    plan = measurement.plan
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # TensorFlow comes under one of two names
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "versions": versions,
        "cores": os.cpu_count(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS"),
        "load": round(os.getloadavg()[0], 1),
        "data": plan.data,
        "real": plan.real,
        "source": measurement.source,
        "seeds": list(range(plan.seeds)),
        "epochs": measurement.epochs,
    }


def run(
    measurements: Iterable[Measurement],
    parts: Iterable[str],
    figures: Path,
    target: Path,
    command: str,
    say: Callable[[str], None] = tell,
) -> dict[str, Any]:
    """Measures, and writes figures and page after each part.

    Args:
        measurements: Of some recipes.
        parts: Some of `PARTS`.
        figures: The JSON file; what it holds of others stays.
        target: The page.
        command: To be told in the file.
        say: Is told what is done.

    Returns:
        The reasons of parts that failed, by recipe and part.
    """
    known = json.loads(figures.read_text("utf-8")) if figures.exists() else {}
    failed = {}
    for measurement in measurements:
        for part in parts:
            record = known.get(measurement.name, {})
            try:
                found = measurement.measure(part)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                failed[f"{measurement.name}, {part}"] = reason
                say(f"{measurement.name}, {part} failed: {reason}")
                if part in record and "failed" not in record[part]:
                    continue  # what was measured before stays
                found = {"failed": reason}
            if found is None:
                continue
            about = describe(measurement, command)
            about["examples"] = _examples(measurement, found)
            record[part] = {"about": about, **found}
            known[measurement.name] = record
            _write(known, figures, target)
    _write(known, figures, target)  # its words may have changed
    return failed


def _examples(measurement: Measurement, found: dict[str, Any]) -> int | None:
    """How many training examples there were; None for a stream."""
    if measurement.plan.examples or "failed" in found:
        return measurement.plan.examples
    splits = whole_data(
        measurement.name, measurement.source, measurement.data_dir
    )
    if not isinstance(splits.train, tuple):
        return None
    return count_of(splits.train[1])


def _write(known: dict[str, Any], figures: Path, target: Path) -> None:
    text = json.dumps({n: known[n] for n in PLANS if n in known})
    # Other programs know no NaN.
    ordered = json.loads(text, parse_constant=lambda constant: None)
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(ordered, PLANS), "utf-8")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", choices=PLANS, metavar="NAME")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART"
    )
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data-dir", help="where TFDS has the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument(
        "--page", action="store_true", help="write the page, measure nothing"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="minutes")
    size.add_argument("--full", action="store_true", help="many hours")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measures what was asked for."""
    args = parse(arguments)
    figures, target = FIGURES, PAGE
    if args.small:
        figures, target = (
            args.out / "does_it_help" / file.name for file in (FIGURES, PAGE)
        )
    measurements = []
    chosen = args.recipes or (SMALL if args.small else PLANS)
    for name in () if args.page else chosen:
        plan = PLANS[name]
        if args.small:
            plan = plan.small()
        elif args.full:
            plan = plan.full()
        if args.seeds:
            plan = dataclasses.replace(plan, seeds=args.seeds)
        if args.epochs:
            plan = dataclasses.replace(plan, epochs=args.epochs)
        measurements.append(Measurement(name, plan, args.data_dir, args.out))
    given = list(sys.argv[1:] if arguments is None else arguments)
    for place, word in enumerate(given[:-1]):
        if word in ("--data-dir", "--out"):
            given[place + 1] = "DIR"
    failed = run(
        measurements,
        args.parts,
        figures,
        target,
        shlex.join(["python", "benchmarks/does_it_help.py", *given]),
    )
    tell(f"The page: {target}")
    if failed:
        sys.exit("\n".join(f"{key}: {why}" for key, why in failed.items()))


if __name__ == "__main__":
    main()
