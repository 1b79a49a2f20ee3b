import dataclasses

import numpy as np
import pytest

from keras_mtl import Task
from keras_mtl.analysis import transfer
from keras_mtl.analysis.transfer import pairwise_transfer

# The metric of each task, by what it was trained with; "a" is an accuracy,
# "b" and "c" are errors. In seed 1 everything is worse by a tenth.
SCORES = {
    ("a",): {"a": 0.5},
    ("b",): {"b": 2.0},
    ("c",): {"c": 4.0},
    ("a", "b"): {"a": 0.6, "b": 2.5},
    ("a", "c"): {"a": 0.4, "c": 4.0},
    ("b", "c"): {"b": 1.0, "c": 3.0},
}


def test_gains_by_hand(tiny, monkeypatch):
    recipe = dataclasses.replace(
        tiny,
        tasks=[
            Task("a", "binary"),
            Task("b", "regression"),
            Task("c", "regression"),
        ],
    )
    trained = []

    def train_once(recipe, splits, tasks, balancer, *, seed, epochs):
        trained.append((tuple(tasks), balancer.coefficients, seed, epochs))
        return (tuple(tasks), seed), {}, 0.0

    def evaluate(model, recipe, splits, split, tasks):
        assert split == "validation"
        names, seed = model
        metric = {"a": "accuracy", "b": "mae", "c": "mae"}
        return {
            f"{name}_{metric[name]}": value * (1.1 if seed else 1.0)
            for name, value in SCORES[names].items()
        }

    monkeypatch.setattr(transfer, "train_once", train_once)
    monkeypatch.setattr(transfer, "evaluate", evaluate)
    told = []
    gains = pairwise_transfer(
        recipe,
        None,
        seeds=2,
        epochs=3,
        weights={"a": 1.0, "b": 0.5, "c": 0.25},
        on_training=lambda names, seed: told.append((names, seed)),
    )
    # Row: trained with; column: the task. Less error is better.
    expected = [[0, -25, 0], [20, 0, 25], [-20, 50, 0]]
    assert gains == pytest.approx(np.array([expected, expected]))
    assert len(trained) == 2 * 6
    assert trained[3] == (("a", "b"), {"a": 1.0, "b": 0.5}, 0, 3)
    assert told[:4] == [("a", 0), ("b", 0), ("c", 0), ("a + b", 0)]
