import dataclasses

import keras_tuner
import numpy as np
import pytest

import keras_mtl
from keras_mtl import tuner
from keras_mtl.data import Mixture
from keras_mtl.tuner import baselines
from keras_mtl.tuner.mixing_space import (
    TEMPERATURE,
    add_temperature,
    at_temperature,
)


def mixture(tasks=None, **options):
    """Sixty examples of "a", six of "b"."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    sources = {
        "many": (x, {"a": x[:, 0] + 1}),
        "few": (x[:6], {"b": x[:6, 1] + 1}),
    }
    tasks = tasks or [keras_mtl.Task(n, "regression") for n in ("a", "b")]
    return Mixture(sources, tasks, batch_size=11, **options)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"rates": "temperature", "temperature": 5.0}, 5.0),
        ({}, 1.0),
        ({"rates": "uniform"}, 20.0),
    ],
)
def test_a_temperature_is_searched_from_proportional_to_equal(options, given):
    space = keras_tuner.HyperParameters()
    add_temperature(space, mixture(**options))
    (parameter,) = space.space
    assert parameter.name == TEMPERATURE
    assert (parameter.min_value, parameter.max_value) == (1.0, 20.0)
    assert parameter.default == given
    assert parameter.sampling == "log"


def test_a_given_temperature_is_in_the_range():
    for given in (0.5, 50.0):
        space = keras_tuner.HyperParameters()
        train = mixture(rates="temperature", temperature=given)
        add_temperature(space, train)
        (parameter,) = space.space
        assert parameter.min_value <= given <= parameter.max_value
        assert parameter.default == given


def test_other_data_has_no_temperature():
    space = keras_tuner.HyperParameters()
    x, y = np.ones((4, 2)), {"a": np.ones(4)}
    alone = Mixture({"one": (x, y)}, [keras_mtl.Task("a", "regression")])
    rates = mixture(rates={"many": 0.5, "few": 0.5})
    for train in (alone, rates, (x, y)):
        add_temperature(space, train)
    assert space.space == []


def test_data_is_mixed_as_the_values_tell():
    train = mixture()
    splits = keras_mtl.Splits(train, None, None)
    assert at_temperature(splits, {"learning_rate": 1.0}) is splits
    before = train.counts(0)
    assert before == {"many": 60, "few": 6}
    other = at_temperature(splits, {TEMPERATURE: np.float64(2.0)}).train
    # 66 draws as √60 to √6.
    assert other.counts(0) == {"many": 50, "few": 16}
    assert other.steps_per_epoch == train.steps_per_epoch
    assert train.counts(0) == before


@pytest.fixture
def mixed(sleepy):
    """The sleepy recipe, with labels of one task an example."""
    x, y = sleepy.load("default", None).validation

    def load(source, data_dir):
        return keras_mtl.Splits(mixture(sleepy.tasks), (x, y), (x, y))

    return dataclasses.replace(sleepy, load=load)


def test_single_tasks_know_what_they_were_mixed_from(mixed):
    budget = {"epochs": 1, "seed": 0}

    def digest(train):
        splits = keras_mtl.Splits(train, *mixed.load("default", None)[1:3])
        return baselines.content_hash(mixed, splits, **budget)

    same = digest(mixture(mixed.tasks))
    assert digest(mixture(mixed.tasks)) == same
    assert digest(mixture(mixed.tasks, rates="uniform")) != same
    assert digest(mixture(mixed.tasks, seed=1)) != same


@pytest.mark.slow
def test_a_search_over_the_temperature(mixed, tmp_path):
    result = tuner.tune(mixed, trials=3, oracle="random", out=tmp_path)
    tried = [trial.values[TEMPERATURE] for trial in result.trials]
    assert tried[0] == 1.0
    assert len(set(tried)) == 3
    assert {trial.status for trial in result.trials} == {"completed"}
    # The chosen model was trained with it, too.
    assert result.scores["validation"] == result.chosen.validation
