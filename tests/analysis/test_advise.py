import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from built_tasks import built

import keras_mtl
from keras_mtl.analysis import advise, transfer, watched_training
from keras_mtl.analysis.transfer import pairwise_transfer

KINDS = {
    "helping": ("share all", "helps"),
    "unrelated": ("share all", "neither"),
    "fighting": ("keep all apart", "neither"),
    "grouped": ("share in groups", "helps"),
}


def test_fighting_tasks_are_told_to_part(tmp_path):
    told = []
    advice, evidence, run = advise(
        built("fighting"),
        seeds=1,
        epochs=2,
        out=tmp_path,
        origin={"command": "keras-mtl advise fighting.py"},
        on_progress=lambda *progress: told.append(progress),
    )
    assert advice.kind == "keep all apart"
    assert (evidence.relative[0][[0, 1], [1, 0]] < -0.2).all()
    assert told == [("all tasks, seed 0", 0, 1)]
    assert {path.name for path in run.iterdir()} == {
        "advice.html",
        "advice.json",
        "config.json",
        "effects.csv",
    }
    assert not (tmp_path / ".advice").exists()  # nobody knows the code
    config = json.loads((run / "config.json").read_text())
    assert config["seeds"] == [0]
    assert config["command"] == "keras-mtl advise fighting.py"
    # 60 steps, looked at about as often as there are steps.
    assert len(evidence.steps) == 60
    assert evidence.layer_cosines.keys() == {"shared"}
    assert len(evidence.gaps["a"][0].validation) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_advice_is_what_was_built_in_on_every_problem(kind, tmp_path):
    for problem in range(5):
        advice, _, _ = advise(built(kind, problem), seeds=3, out=tmp_path)
        assert (advice.kind, advice.expected) == KINDS[kind]
        if kind == "grouped":
            trained = [n.trains for n in advice.grouping.networks]
            assert trained == [("a", "b"), ("c",)]


@pytest.mark.slow
def test_what_was_built_in_is_true(tmp_path):
    for kind in ("helping", "unrelated", "fighting"):
        recipe = built(kind)
        gains = pairwise_transfer(
            recipe, recipe.load("default", None), seeds=3, epochs=recipe.epochs
        )
        both = gains[:, [0, 1], [1, 0]].mean(axis=1)  # of each seed
        assert {
            "helping": (both > 1).all(),
            "unrelated": abs(both.mean()) < 15,
            "fighting": (both < -100).all(),
        }[kind], (kind, both)


@pytest.mark.slow
def test_losses_of_other_scales_are_evened_out_first(tmp_path):
    recipe = built("unrelated")

    def load(source, data_dir):
        splits = recipe.load(source, data_dir)
        for _, y in splits[:3]:
            y["b"] = y["b"] * 30
        return splits

    advice, evidence, _ = advise(
        dataclasses.replace(recipe, load=load), seeds=1, epochs=1, out=tmp_path
    )
    assert evidence.weights["a"] == 1
    assert 0 < evidence.weights["b"] < 0.01
    assert advice.balancer.weights == evidence.weights
    assert "put them on one scale first" in advice.balancer.why
    assert "standardize them" in advice.remarks[0]


@pytest.mark.slow
def test_data_may_come_as_datasets_of_unknown_length(tmp_path):
    recipe = built("fighting")

    def dataset(split):
        x, y = split
        examples = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        return examples.filter(lambda x, y: True)  # forgets its length

    def load(source, data_dir):
        splits = recipe.load(source, data_dir)
        return keras_mtl.Splits(*map(dataset, splits[:3]))

    advice, evidence, _ = advise(
        dataclasses.replace(recipe, load=load), seeds=1, epochs=2, out=tmp_path
    )
    assert advice.kind == "keep all apart"
    assert evidence.steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert evidence.labels["a"].examples == 960


@pytest.mark.slow
def test_advice_that_was_interrupted_goes_on(tiny, tmp_path, monkeypatch):
    options = {"seeds": 2, "epochs": 1, "pairs": True, "out": tmp_path}

    def stop(label, done, total):
        if label == "up + size, seed 0":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        advise(tiny, on_progress=stop, **options)
    trained = []
    for module, name in (
        (watched_training, "_watched"),
        (transfer, "train_once"),
    ):
        function = getattr(module, name)

        def told(*args, function=function, name=name, **kwargs):
            trained.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, told)
    advice, evidence, _ = advise(tiny, **options)
    # One pair with seed 0; all with seed 1, each alone and the pair.
    assert trained == ["train_once"] * 4
    again, seen, _ = advise(tiny, **options)
    assert len(trained) == 4
    assert again == advice
    np.testing.assert_array_equal(seen.relative, evidence.relative)
    np.testing.assert_array_equal(seen.transfer, evidence.transfer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "`seeds` must be 1"),
        ({"networks": 0}, "`networks` must be 1"),
        ({"source": "none"}, "no data source 'none'"),
    ],
)
def test_bad_input_comes_before_training(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        advise(built("fighting"), out=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_one_task_has_nobody_to_share_with(tmp_path, tiny):
    alone = dataclasses.replace(tiny, tasks=[tiny.tasks["up"]])
    with pytest.raises(ValueError, match="two tasks or more"):
        advise(alone, out=tmp_path)
