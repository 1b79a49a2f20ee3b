import keras
import keras_tuner
import numpy as np
import pytest

from keras_mtl import Task, TaskSet, balancers, builders
from keras_mtl.tuner import MultiTaskHyperModel, sharing_search
from keras_mtl.tuner.balancer_space import (
    RANGES,
    choose_balancer,
    choose_loss_weights,
)
from keras_mtl.tuner.optimizer_space import choose_optimizer

TASKS = TaskSet(
    [Task("a", "binary"), Task("b", "regression"), Task("c", "regression")]
)


def blocks():
    return [
        keras.layers.Dense(6, activation="relu", name="low"),
        keras.layers.Dense(6, activation="relu", name="high"),
    ]


def with_values(**values):
    hp = keras_tuner.HyperParameters()
    hp.values = {k.replace("__", "/"): v for k, v in values.items()}
    return hp


def test_loss_weights_lie_on_a_simplex():
    assert choose_loss_weights(with_values(), TASKS) == dict.fromkeys("abc", 1)
    hp = with_values(weight__b=0.5, weight__c=np.float64(4.5))
    weights = choose_loss_weights(hp, TASKS)
    assert weights == {"a": 0.5, "b": 0.25, "c": 2.25}
    assert {type(weight) for weight in weights.values()} == {float}
    ranges = {p.name: p for p in hp.space}
    assert ranges["weight/b"].sampling == "log"
    # As far below 1 as above.
    middle = ranges["weight/b"].prob_to_value(0.5)
    assert middle == pytest.approx(1.0)


@pytest.mark.parametrize("name", RANGES)
def test_ranges_are_arguments_and_hold_the_default(name):
    argument, low, high, sampling = RANGES[name]
    config = balancers.serialize(balancers.get(name))
    hp = keras_tuner.HyperParameters()
    found = choose_balancer(hp, {name: config}, TASKS)
    assert found == config
    (parameter,) = hp.space
    assert parameter.name == f"{name}/{argument}"
    for value in (low, high):
        hp = keras_tuner.HyperParameters()
        hp.values = {parameter.name: np.float64(value)}
        balancer = balancers.get(choose_balancer(hp, {name: config}, TASKS))
        assert balancer.get_config()[argument] == value
        assert type(balancer.get_config()[argument]) is float
    assert sampling in ("linear", "log")


def test_a_given_hyperparameter_is_the_default():
    config = balancers.serialize(balancers.CAGrad(c=0.7))
    hp = keras_tuner.HyperParameters()
    choose_balancer(hp, {"cagrad": config}, TASKS)
    assert hp.values == {"cagrad/c": 0.7}


def test_only_the_chosen_balancer_has_hyperparameters():
    model = MultiTaskHyperModel.from_blocks(
        keras.Input((4,)),
        TASKS,
        blocks(),
        patterns=["hard_sharing"],
        balancers=["cagrad", "pcgrad", None],
    )
    assert list(model.balancers) == ["fixed", "cagrad", "pcgrad"]
    hp = with_values(balancer="cagrad", cagrad__c=np.float64(0.2))
    built = model.build(hp)
    assert built.balancer.c == 0.2
    assert {name.split("/")[0] for name in hp.values} == {
        "hard_sharing",
        "balancer",
        "cagrad",
        "learning_rate",
    }
    hp = with_values(balancer="fixed", weight__b=4.0)
    weights = model.build(hp).balancer.coefficients
    assert weights == {"a": 0.5, "b": 2.0, "c": 0.5}


def test_the_space_has_what_is_not_default():
    model = MultiTaskHyperModel.from_blocks(
        keras.Input((4,)), TASKS, blocks(), balancers=["gradnorm"]
    )
    names = [parameter.name for parameter in model.space().space]
    assert names == [
        "sharing",
        *(f"hard_sharing/depth/{task}" for task in "abc"),
        "cross_stitch/depth",
        *("mmoe/depth", "mmoe/num_experts"),
        *("ple/depth", "ple/num_shared_experts", "ple/num_task_experts"),
        "balancer",
        *("weight/b", "weight/c"),
        "gradnorm/alpha",
        "learning_rate",
    ]


def test_the_tree_of_depths():
    build = sharing_search(keras.Input((4,)), blocks(), ["hard_sharing"])
    model = build(
        with_values(
            hard_sharing__depth__a=2,
            hard_sharing__depth__b=1,
            hard_sharing__depth__c=0,
        ),
        TASKS,
    )
    names = [layer.name for layer in model.layers]
    assert {"low", "high", "b_high", "c_low", "c_high"} <= set(names)
    assert "b_low" not in names


@pytest.mark.parametrize("pattern", ["mmoe", "ple", "cross_stitch"])
def test_patterns_are_those_of_the_builders(pattern):
    inputs = keras.Input((4,))
    built = sharing_search(inputs, blocks())(
        with_values(sharing=pattern), TASKS
    )
    options = {
        "mmoe": {"num_experts": 4},
        "ple": {"num_shared_experts": 2, "num_task_experts": 1},
        "cross_stitch": {},
    }[pattern]
    expected = builders.registry[pattern](inputs, TASKS, blocks(), **options)
    assert built.count_params() == expected.count_params()


def test_every_model_has_weights_of_its_own():
    build = sharing_search(keras.Input((4,)), blocks())
    first, second = (build(with_values(), TASKS) for _ in range(2))
    assert first.get_layer("low") is not second.get_layer("low")


def test_pretrained_blocks_stay_so():
    pretrained = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3)], name="tower"
    )
    build = sharing_search(keras.Input((4,)), [pretrained])
    copy = build(with_values(), TASKS).get_layer("tower")
    np.testing.assert_array_equal(
        copy.get_weights()[0], pretrained.get_weights()[0]
    )


@pytest.mark.parametrize("patterns", [["mmoe", "mmoe"], ["mmeo"], []])
def test_bad_patterns(patterns):
    with pytest.raises(ValueError, match="`patterns` must"):
        sharing_search(keras.Input((4,)), blocks(), patterns)


def test_the_rate_of_a_given_optimizer_is_searched():
    given = keras.optimizers.SGD(0.5, momentum=0.25)
    hp = keras_tuner.HyperParameters()
    found = choose_optimizer(hp, given)
    assert found is not given
    assert found.get_config() == given.get_config()
    (rate,) = hp.space
    assert (rate.min_value, rate.max_value) == (0.05, 5.0)
    found = choose_optimizer(with_values(learning_rate=np.float64(2.0)), given)
    assert float(found.learning_rate) == 2.0
    assert found.momentum == 0.25


def test_the_decay_of_an_optimizer_that_has_one_is_searched():
    hp = keras_tuner.HyperParameters()
    choose_optimizer(hp, keras.optimizers.AdamW(1e-3, weight_decay=0.5))
    assert [p.name for p in hp.space] == ["learning_rate", "weight_decay"]
    assert (hp.space[1].min_value, hp.space[1].max_value) == (0.05, 5.0)
    values = with_values(weight_decay=np.float64(2.0))
    assert choose_optimizer(values, "adamw").weight_decay == 2.0


def test_a_schedule_or_a_function_is_left_alone():
    hp = keras_tuner.HyperParameters()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    choose_optimizer(hp, keras.optimizers.SGD(schedule))
    assert choose_optimizer(hp, lambda hp: "mine") == "mine"
    assert hp.space == []


@pytest.mark.slow
def test_another_tuner_of_keras_tuner_runs_it(tmp_path):
    model = MultiTaskHyperModel.from_blocks(
        keras.Input((4,)), TASKS, blocks(), patterns=["hard_sharing", "mmoe"]
    )
    search = keras_tuner.RandomSearch(
        model,
        keras_tuner.Objective("val_b_mae", "min"),
        max_trials=1,
        directory=tmp_path,
    )
    x = np.ones((16, 4), "float32")
    y = {task: np.ones(16, "float32") for task in TASKS}
    search.search(x, y, validation_data=(x, y), verbose=0)
    assert search.oracle.get_best_trials()[0].status == "COMPLETED"


def test_build_that_gives_no_model():
    model = MultiTaskHyperModel(lambda hp, tasks: "model", TASKS)
    with pytest.raises(ValueError, match="Received: str"):
        model.build(keras_tuner.HyperParameters())
