"""What the encoder of fifteen domains is worth in the sixteenth.

    python benchmarks/transfer.py DIRECTORY --data-dir DATA

For each domain of `recipes/sentiment.py` the other fifteen are learned
together, with the recipe's first way of sharing and its budget. Then a model
of the left-out domain alone learns from 50 and from 200 of its labels:

    from scratch    as one would without the others
    fine-tuned      beginning with the weights of the shared encoder
    frozen          a new head on the shared encoder, which stays as it is

All three have the same labels, epochs and optimizer. `no labels` is the mean
of what the fifteen heads say. Accuracies are those of the domain's 400 test
reviews. Writes `transfer.json` and `transfer.md`.
"""

import argparse
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import runpy
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from reporting import Report

import keras_mtl

RECIPE = Path(__file__).parents[1] / "recipes" / "sentiment.py"
LABELS = (50, 200)
EPOCHS, BATCH = 20, 16  # with few labels
WAYS = ("from scratch", "fine-tuned", "frozen")


class LeaveOneOut:
    """The sixteen domains, one of them left out.

    Args:
        recipe: That of `recipes/sentiment.py`, for a source.
        splits: Its data.
        places: Where the words of each domain are in an example.
        epochs: Of the fifteen domains.
    """

    def __init__(
        self, recipe: Any, splits: Any, places: list[str], epochs: int
    ) -> None:
        self.recipe, self.splits, self.epochs = recipe, splits, epochs
        self.places = list(places)
        # Each is built once, under some domain's name; weights are put back
        # and words are put in its place for every domain.
        self.name = next(iter(recipe.tasks))
        self.models = {way: self._build([self.name]) for way in WAYS}
        for layer in self._encoder(self.models["frozen"]):
            layer.trainable = False
        for model in self.models.values():
            self._compile(model)

    def _build(self, names: list[str]) -> Any:
        tasks = keras_mtl.TaskSet([self.recipe.tasks[name] for name in names])
        return self.recipe.build(keras_tuner.HyperParameters(), tasks)

    def _compile(self, model: Any) -> None:
        optimizer = self.recipe.optimizer
        model.compile(type(optimizer).from_config(optimizer.get_config()))

    @staticmethod
    def _encoder(model: Any) -> list[Any]:
        """The layers with weights that are no heads."""
        return [
            layer
            for layer in model.layers
            if layer.weights and layer.name not in model.tasks
        ]

    def _own(self, split: str, domain: str) -> tuple[Any, Any]:
        """A domain's reviews, wherever a model looks for them; labels."""
        x, y = getattr(self.splits, split)
        there = y[domain] >= 0
        words = x[there, self.places.index(domain)][:, None]
        return np.repeat(words, len(self.places), axis=1), y[domain][there]

    def shared(self, left_out: str, seed: int) -> Any:
        """The model of the other domains, trained."""
        keras.utils.set_random_seed(seed)
        names = [task for task in self.recipe.tasks if task != left_out]
        model = self._build(names)
        self._compile(model)
        x, y = self.splits.train
        model.fit(
            x,
            {name: y[name] for name in names},
            batch_size=self.recipe.batch_size,
            epochs=self.epochs,
            verbose=0,
        )
        return model

    def few(
        self, way: str, shared: Any, domain: str, labels: int, seed: int
    ) -> float:
        """Test accuracy of a model that has learned from few labels."""
        keras.utils.set_random_seed(seed)
        model, fresh = self.models[way], self._build([self.name])
        model.set_weights(fresh.get_weights())
        if way != "from scratch":
            for layer in self._encoder(model):
                layer.set_weights(shared.get_layer(layer.name).get_weights())
        for variable in model.optimizer.variables:
            if variable is not model.optimizer.learning_rate:
                variable.assign(keras.ops.zeros_like(variable))
        words, good = self._own("train", domain)
        chosen = np.random.default_rng(seed).permutation(len(good))[:labels]
        model.fit(
            words[chosen],
            {self.name: good[chosen]},
            batch_size=BATCH,
            epochs=EPOCHS,
            verbose=0,
        )
        return self._accuracy(domain, model)

    def _accuracy(self, domain: str, model: Any) -> float:
        """The share of the domain's test reviews told right."""
        words, good = self._own("test", domain)
        told = model.predict(words, batch_size=64, verbose=0)
        mean = np.mean(list(told.values()), axis=0)[:, 0]
        return float(((mean > 0.5) == good).mean())

    def run(self, domain: str, seed: int) -> list[dict[str, Any]]:
        """Every accuracy of one left-out domain."""
        shared = self.shared(domain, seed)
        found = [("no labels", 0, self._accuracy(domain, shared))]
        for labels in LABELS:
            found += [
                (way, labels, self.few(way, shared, domain, labels, seed))
                for way in WAYS
            ]
        keys = ("way", "labels", "accuracy")
        return [
            {
                "domain": domain,
                "seed": seed,
                **dict(zip(keys, row, strict=True)),
            }
            for row in found
        ]


def table(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each domain, the mean over seeds; then that of domains."""
    domains = list(dict.fromkeys(row["domain"] for row in results))
    rows = []
    for name, chosen in [*((d, [d]) for d in domains), ("mean", domains)]:
        row: dict[str, Any] = {"domain": name}
        for way, labels in dict.fromkeys(
            (r["way"], r["labels"]) for r in results
        ):
            row[f"{way} {labels}" if labels else way] = float(
                100
                * np.mean(
                    [
                        r["accuracy"]
                        for r in results
                        if r["domain"] in chosen
                        and (r["way"], r["labels"]) == (way, labels)
                    ]
                )
            )
        rows.append(row)
    return rows


def write(results: list[dict[str, Any]], directory: Path) -> None:
    """Shows the table so far and writes it, and every accuracy."""
    (directory / "transfer.json").write_text(
        json.dumps(results, indent=1) + "\n", "utf-8"
    )
    rows = table(results)
    Report("Transfer", directory / "transfer.md", None).table(
        "Test accuracy in the domain that was left out, %",
        rows,
        {key: key for key in rows[0]},
        [f"Seeds: {len({row['seed'] for row in results})}."],
    )


def main() -> None:
    """Leaves out domain after domain and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--data-dir", help="where TFDS has the reviews")
    parser.add_argument("--domains", nargs="+", help="(default: all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="(default: the recipe's)")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    page = runpy.run_path(str(RECIPE))
    source = page["recipe"].source()
    recipe = page["recipe"].for_source(source)
    experiment = LeaveOneOut(
        recipe,
        recipe.load(source, args.data_dir),
        page["DOMAINS"],
        args.epochs or recipe.epochs,
    )
    results: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        for domain in args.domains or list(recipe.tasks):
            results += experiment.run(domain, seed)
            write(results, args.directory)


if __name__ == "__main__":
    main()
