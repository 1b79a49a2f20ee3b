import dataclasses
import runpy

import numpy as np
import pytest
import transfer

from keras_mtl import TaskSet
from keras_mtl.recipe import Splits


def test_table_is_of_means():
    results = [
        {"domain": d, "seed": s, "way": w, "labels": n, "accuracy": a}
        for d, s, w, n, a in [
            ("books", 0, "no labels", 0, 0.5),
            ("books", 1, "no labels", 0, 0.7),
            ("music", 0, "no labels", 0, 0.8),
            ("music", 1, "no labels", 0, 1.0),
            ("books", 0, "frozen", 50, 0.25),
            ("music", 0, "frozen", 50, 0.75),
        ]
    ]
    books, music, mean = transfer.table(results)
    assert books == pytest.approx(
        {"domain": "books", "no labels": 60, "frozen 50": 25}
    )
    assert music["no labels"] == pytest.approx(90)
    assert mean == pytest.approx(
        {"domain": "mean", "no labels": 75, "frozen 50": 50}
    )


@pytest.fixture(scope="module")
def experiment():
    page = runpy.run_path(str(transfer.RECIPE))
    names = ["books", "music", "video"]
    tasks = TaskSet([page["recipe"].tasks[name] for name in names])
    parts = {
        name: {
            "text": [
                f"{('awful', 'lovely')[n % 2]} {name} {n}" for n in range(48)
            ],
            "label": np.arange(48) % 2,
        }
        for name in names
    }
    data = page["examples"](parts)
    recipe = page["recipe"].for_source("review_domains")
    recipe = dataclasses.replace(recipe, tasks=tasks)
    splits = Splits(data, data, data)
    return transfer.LeaveOneOut(recipe, splits, page["DOMAINS"], epochs=40)


@pytest.mark.slow
def test_the_shared_encoder_begins_ahead(experiment, monkeypatch):
    monkeypatch.setattr(transfer, "LABELS", (2,))
    monkeypatch.setattr(transfer, "EPOCHS", 1)
    found = {r["way"]: r["accuracy"] for r in experiment.run("video", seed=0)}
    assert found["no labels"] == 1
    assert found["from scratch"] < 1


@pytest.mark.slow
def test_a_frozen_encoder_stays(experiment, monkeypatch):
    monkeypatch.setattr(transfer, "EPOCHS", 2)
    shared = experiment.shared("music", seed=0)
    vectors = shared.get_layer("bag").get_weights()[0]
    for way, same in (("frozen", True), ("fine-tuned", False)):
        experiment.few(way, shared, "music", 8, seed=0)
        after = experiment.models[way].get_layer("bag").get_weights()[0]
        assert np.array_equal(after, vectors) == same
