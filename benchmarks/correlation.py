"""The MMoE paper's synthetic experiment over many seeds.

    python benchmarks/correlation.py DIRECTORY [--seeds 20]

Two regressions of correlation 1, 0.9 and 0.5 are learned together in each way
of sharing of `recipes/correlation.py`, and apart, with the recipe's data,
models of equal size, batch and epochs. A seed stands for a problem, its
examples, the initial weights and the order of the data: those of all ways are
the same.

First the learning rate of each way is chosen, out of the same three, by the
final validation error over seeds that are not used again and all correlations.
Then all seeds are trained at once (`many_seeds.py`). Written to DIRECTORY:
`correlation.png`, `correlation.md` and `correlation.json`.
"""

import argparse
import os
import runpy
import shlex
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import numpy as np
from correlation_report import SINGLE, finding, interval, write
from many_seeds import ManySeeds

from keras_mtl.analysis.run_directory import describe_run
from keras_mtl.tasks import TaskSet

RECIPE = Path(__file__).parents[1] / "recipes" / "correlation.py"
RATES = (1e-3, 3e-3, 1e-2)
CHOICE_SEEDS = (1000, 1001)


class Experiment:
    """Data and models of the recipe, for some seeds.

    Args:
        recipe: That of `recipes/correlation.py`.
        draw: Its `draw(correlation, seed)`, which makes the splits.
        seeds: Of problems, examples, weights and order.
        split: By which models are judged: "validation" or "test".
        epochs: Passes over the training data.
    """

    def __init__(self, recipe, draw, seeds, split, epochs):
        self.recipe, self.draw, self.seeds = recipe, draw, seeds
        self.split, self.epochs = split, epochs

    def data(self, correlation):
        """Training and judging examples, `x` and `y` stacked over the seeds."""
        drawn = [self.draw(correlation, seed) for seed in self.seeds]
        stacked = []
        for split in ("train", self.split):
            examples = [getattr(splits, split) for splits in drawn]
            stacked.append(
                (
                    np.stack([x for x, _ in examples]),
                    np.stack([_columns(y, self.recipe) for _, y in examples]),
                )
            )
        return stacked

    def models(self, way):
        """What is trained for one way: one group of tasks, or two."""
        tasks = self.recipe.tasks
        groups = [tasks]
        if way == SINGLE:
            groups = [TaskSet([task]) for task in tasks.values()]
        return [
            ManySeeds([self._build(way, group, seed) for seed in self.seeds])
            for group in groups
        ]

    def _build(self, way, tasks, seed):
        keras.utils.set_random_seed(seed)
        hp = keras_tuner.HyperParameters()
        if way != SINGLE:
            hp.values["sharing"] = way
        return self.recipe.build(hp, tasks)

    def errors(self, groups, data, rate):
        """Mean squared errors over the tasks, `(epochs, seeds)`."""
        (x, y), (x_judged, y_judged) = data
        names = list(self.recipe.tasks)
        errors = []
        for group in groups:
            columns = [names.index(task) for task in group.tasks]
            errors.append(
                group.fit(
                    (x, y[..., columns]),
                    (x_judged, y_judged[..., columns]),
                    rate,
                    self.epochs,
                    self.recipe.batch_size,
                    lambda epoch: self._orders(epoch, x.shape[1]),
                )
            )
        return np.concatenate(errors, axis=-1).mean(axis=-1)

    def _orders(self, epoch, examples):
        return np.stack(
            [
                np.random.default_rng([seed, epoch]).permutation(examples)
                for seed in self.seeds
            ]
        )


def _columns(y, recipe):
    return np.stack([y[task] for task in recipe.tasks], axis=-1)


def choose_rates(experiment, ways, correlations, say):
    """Final errors `{way: {rate: error}}`, mean of seeds and correlations."""
    errors = {way: dict.fromkeys(RATES, 0.0) for way in ways}
    groups = {way: experiment.models(way) for way in ways}
    for correlation in correlations:
        data = experiment.data(correlation)
        for way in ways:
            for rate in RATES:
                curve = experiment.errors(groups[way], data, rate)
                errors[way][rate] += float(curve[-1].mean()) / len(correlations)
            say(f"rates of {way} at {correlation}")
    return errors


def measure(experiment, ways, correlations, rates, say):
    """Errors `{correlation: {way: (epochs, seeds)}}`; weights of each way."""
    groups = {way: experiment.models(way) for way in ways}
    curves = {}
    for correlation in correlations:
        data = experiment.data(correlation)
        curves[correlation] = {}
        for way in ways:
            curve = experiment.errors(groups[way], data, rates[way])
            curves[correlation][way] = curve
            say(
                "{} {}: {:.4f} ± {:.4f}".format(
                    correlation, way, *interval(curve[-1])
                )
            )
    parameters = {
        way: sum(group.model.count_params() for group in groups[way])
        for way in ways
    }
    return curves, parameters


def main():
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="where to write")
    parser.add_argument("--seeds", type=int, default=20, help="at least 2")
    parser.add_argument("--epochs", type=int, help="(default: the recipe's)")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("an interval needs 2 seeds or more")
    start = time.perf_counter()

    def say(text):
        print(f"{text} ({time.perf_counter() - start:.0f} s)", flush=True)

    page = runpy.run_path(str(RECIPE))
    recipe, draw = page["recipe"], page["draw"]
    epochs = args.epochs or recipe.epochs
    ways = [*recipe.sharings, SINGLE]
    correlations = [float(source) for source in recipe.sources]
    seeds = list(range(args.seeds))

    choice = Experiment(recipe, draw, CHOICE_SEEDS, "validation", epochs)
    validation = choose_rates(choice, ways, correlations, say)
    rates = {
        way: min(tried, key=tried.get) for way, tried in validation.items()
    }
    final = Experiment(recipe, draw, seeds, "test", epochs)
    curves, parameters = measure(final, ways, correlations, rates, say)
    record = describe_run(
        recipe,
        {
            "epochs": epochs,
            "seeds": seeds,
            "choice_seeds": CHOICE_SEEDS,
            "validation_errors": validation,
            "learning_rates": rates,
            "parameters": parameters,
            "seconds": round(time.perf_counter() - start),
        },
        {"command": shlex.join(["python", *sys.argv])},
    )
    write(record, curves, args.directory)
    print(finding(curves))


if __name__ == "__main__":
    main()
