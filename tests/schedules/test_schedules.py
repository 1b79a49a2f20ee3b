"""Schedules: factors by hand, and every contract over every row."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl import MultiTaskModel, Task, TaskSet, schedules

from .cases import CASES

each_case = pytest.mark.parametrize(
    "case", CASES, ids=[case.test_id for case in CASES]
)
NAMES = ("a", "b", "c")
X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = {
    name: (X @ np.random.default_rng(i).normal(size=4)).astype("float32")
    for i, name in enumerate(NAMES)
}


def bound(schedule, names=NAMES):
    schedule.bind(
        TaskSet([Task(name, "regression") for name in names]),
        {name: [] for name in names},
    )
    schedule.build((len(names),))
    return schedule


def model_of(schedule=None, optimizer="adam", balancer=None, **compiled):
    keras.utils.set_random_seed(1)
    x = keras.Input((4,))
    h = layers.Dense(8, activation="tanh", name="trunk")(x)
    model = MultiTaskModel(
        x,
        {name: layers.Dense(1, name=name)(h) for name in NAMES},
        tasks=[Task(name, "regression") for name in NAMES],
    )
    model.compile(optimizer, balancer=balancer, schedule=schedule, **compiled)
    return model


def factors(schedule, steps):
    return np.stack(
        [ops.convert_to_numpy(schedule.factors(s)) for s in range(steps)]
    )


# ----------------------------------------------------------------- by hand


def test_turns_of_one_step():
    np.testing.assert_array_equal(
        factors(bound(schedules.RoundRobin()), 6), np.tile(np.eye(3), (2, 1))
    )


def test_turns_of_several_steps():
    chosen = factors(bound(schedules.RoundRobin({"a": 3, "c": 2})), 12)
    assert list(chosen.argmax(axis=1)) == [0, 0, 0, 1, 2, 2] * 2
    np.testing.assert_array_equal(chosen.sum(axis=1), np.ones(12))


def test_random_tasks_come_as_often_as_they_should():
    schedule = bound(schedules.RandomTask({"a": 3.0}, seed=5))
    chosen = factors(schedule, 2000)
    np.testing.assert_array_equal(chosen.sum(axis=1), np.ones(2000))
    # Chances 3/5, 1/5, 1/5: chi-square with 2 degrees, 99.9 % below 13.8.
    expected = 2000 * np.array([0.6, 0.2, 0.2])
    assert (((chosen.sum(axis=0) - expected) ** 2) / expected).sum() < 13.8
    # No task follows another more often than by chance.
    draws = chosen.argmax(axis=1)
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (draws[:-1], draws[1:]), 1)
    chances = np.outer([0.6, 0.2, 0.2], [0.6, 0.2, 0.2]) * 1999
    assert (((pairs - chances) ** 2) / chances).sum() < 26.1  # 8 degrees
    np.testing.assert_array_equal(
        chosen, factors(bound(schedules.RandomTask({"a": 3.0}, seed=5)), 2000)
    )
    other = factors(bound(schedules.RandomTask({"a": 3.0}, seed=6)), 2000)
    assert (chosen != other).any()


def test_a_curriculum_by_hand():
    schedule = bound(
        schedules.Curriculum({"b": 1, "c": 2}, {"a": 3}, ramp={"c": 4})
    )
    seen = []
    for epoch in range(7):
        schedule.on_epoch_begin(epoch)
        seen.append(ops.convert_to_numpy(schedule.factors(0)).tolist())
    assert seen == [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 0.25],
        [0, 1, 0.5],
        [0, 1, 0.75],
        [0, 1, 1],
        [0, 1, 1],
    ]


def test_turns_of_epochs():
    schedule = bound(schedules.Alternate({"a": 2, "c": 3}))
    turns = np.array([schedule.epoch_factors(epoch) for epoch in range(12)])
    assert list(turns.argmax(axis=1)) == [0, 0, 1, 2, 2, 2] * 2
    np.testing.assert_array_equal(turns.sum(axis=1), np.ones(12))


def test_the_last_epochs_on_one_task():
    """Fine-tuning: 2 of 6 epochs on "b" alone."""
    schedule = bound(schedules.Curriculum(end={"a": 4, "c": 4}))
    factors = [schedule.epoch_factors(epoch) for epoch in range(6)]
    assert factors == [[1, 1, 1]] * 4 + [[0, 1, 0]] * 2


def test_all_tasks_are_as_no_schedule():
    plain, named = model_of(), model_of("all_tasks")
    for model in (plain, named):
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(
        plain.trainable_variables, named.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_loss_driven_factors_by_hand():
    schedule = bound(schedules.LossDriven(strength=0.5))
    logs = dict(
        zip(("a_loss", "b_loss", "c_loss"), (2.0, 8.0, 1.0), strict=True)
    )
    schedule.on_epoch_end(None, 0, logs)
    np.testing.assert_allclose(factors(schedule, 1)[0], [1, 1, 1])
    logs.update(a_loss=1.0, b_loss=2.0, c_loss=float("nan"))
    schedule.on_epoch_end(None, 1, logs)
    expected = np.array([0.5, 0.25, 1.0]) ** 0.5
    np.testing.assert_allclose(
        factors(schedule, 1)[0], expected / expected.mean(), rtol=1e-6
    )


class _Told:
    stop_training = False


def test_early_stopping_waits_freezes_and_sets_back():
    head = keras.Variable([1.0, 2.0])
    schedule = schedules.TaskEarlyStopping(patience=2, min_delta=0.1)
    schedule.bind(
        TaskSet([Task("a", "regression"), Task("b", "regression")]),
        {"a": [head], "b": []},
    )
    schedule.build((2,))
    model, seen = _Told(), []
    losses_a = [1.0, 0.5, 0.45, 0.6, 0.1, 0.1]
    losses_b = [1.0, 0.8, 0.6, 0.4, 0.5, 0.6]
    for epoch, (a, b) in enumerate(zip(losses_a, losses_b, strict=True)):
        head.assign([float(epoch), 0.0])
        schedule.on_epoch_end(model, epoch, {"val_a_loss": a, "val_b_loss": b})
        seen.append(schedule.stopped())
    # .45 is not better than .5 by .1, nor is .6: frozen after epoch 3, and
    # what comes later does not wake the task up.
    assert seen == [[], [], [], ["a"], ["a"], ["a", "b"]]
    assert model.stop_training
    # Set back once, to epoch 1; the test itself moved the head after that.
    np.testing.assert_array_equal(schedule.best_heads[0][0], [1.0, 0.0])


def test_early_stopping_may_watch_what_grows_and_spare_tasks():
    schedule = bound(
        schedules.TaskEarlyStopping(
            "val_accuracy", patience=1, mode="max", tasks=["c"]
        )
    )
    model = _Told()
    for epoch, value in enumerate([0.5, 0.6, 0.6]):
        logs = {f"val_{name}_accuracy": value for name in NAMES}
        schedule.on_epoch_end(model, epoch, logs)
        assert schedule.stopped() == (["c"] if epoch == 2 else [])
    assert not model.stop_training


def test_early_stopping_begins_with_the_first_value_that_is_one():
    schedule = bound(schedules.TaskEarlyStopping(patience=2))
    losses = [float("nan"), 0.5, float("nan"), 0.4, float("nan"), 0.6]
    stopped = []
    for epoch, loss in enumerate(losses):
        logs = {"val_a_loss": loss, "val_b_loss": -epoch, "val_c_loss": -epoch}
        schedule.on_epoch_end(_Told(), epoch, logs)
        stopped.append(schedule.stopped())
    assert stopped == [[], [], [], [], [], ["a"]]
    assert float(schedule.best[0]) == pytest.approx(0.4)


@pytest.mark.slow
def test_a_task_that_overfits_is_frozen_near_its_best_while_the_other_learns():
    draw = np.random.default_rng(0)
    directions = draw.normal(size=(10, 2)) / 10**0.5

    def labelled(count):
        x = draw.normal(size=(count, 10)).astype("float32")
        few, many = (x @ directions).T.astype("float32")
        return x, {"few": few, "many": np.sin(3 * many)}

    x, y = labelled(1000)
    y["few"] += 2 * draw.normal(size=1000).astype("float32")
    y["few"][20:] = np.nan
    held_out = labelled(500)

    def trained(schedule):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((10,))
        h = layers.Dense(512, activation="relu")(inputs)
        model = MultiTaskModel(
            inputs,
            {
                name: layers.Dense(1, name=name)(
                    layers.Dense(64, activation="relu")(h)
                )
                for name in ("few", "many")
            },
            tasks=[Task(name, "regression") for name in ("few", "many")],
        )
        model.compile(
            keras.optimizers.Adam(2e-3), schedule=schedule, jit_compile=False
        )
        history = model.fit(
            x,
            y,
            validation_data=held_out,
            batch_size=100,
            epochs=20,
            verbose=0,
        ).history
        return {n: np.array(history[f"val_{n}_loss"]) for n in ("few", "many")}

    plain = trained(None)
    frozen = trained(schedules.TaskEarlyStopping(patience=3, tasks=["few"]))
    # Alike until "few" is frozen, three epochs after its best.
    best = plain["few"].argmin()
    assert plain["few"][-1] > 1.3 * plain["few"][best]
    assert frozen["few"][-1] < 1.1 * plain["few"][best]
    # The other goes on, as if alone.
    assert frozen["many"][-1] < 0.5 * frozen["many"][best + 3]
    assert frozen["many"][-1] < 1.25 * plain["many"][-1]


# --------------------------------------------------------------- contracts


def test_registry_exports_and_rows_name_the_same_schedules():
    exported = {
        entry
        for entry in map(schedules.__dict__.get, schedules.__all__)
        if isinstance(entry, type) and entry is not schedules.Schedule
    }
    assert exported == {schedules.registry[n] for n in schedules.registry}
    assert {case.name for case in CASES} == set(schedules.registry)


@each_case
def test_config_makes_the_same_schedule(case):
    schedule = case.make()
    config = json.loads(json.dumps(schedules.serialize(schedule)))
    again = schedules.get(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


@each_case
@pytest.mark.parametrize(
    "balancer",
    [
        None,
        "mgda",
        pytest.param("uncertainty", marks=pytest.mark.slow),
        pytest.param("graddrop", marks=pytest.mark.slow),
    ],
)
def test_a_task_that_is_left_out_leaves_no_trace(case, balancer):
    # One batch an epoch, so that what an epoch left out did not move in it.
    model = model_of(case.make(), "adam", balancer)
    quiet = {name: 0 for name in NAMES}
    for epoch in range(5):
        before = {
            name: [np.array(v) for v in model.partition.private[name]]
            for name in NAMES
        }
        if epoch:
            model.schedule.on_epoch_begin(epoch)
        else:
            model.schedule.on_epoch_begin(0)
        now = ops.convert_to_numpy(
            model.schedule.factors(model.optimizer.iterations)
        )
        history = model.fit(
            X,
            Y,
            batch_size=24,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
        ).history
        frozen = (
            model.schedule.stopped()
            if case.name == "task_early_stopping"
            else []
        )
        for name, factor in zip(NAMES, now, strict=True):
            # The loss of a task that is left out is logged all the same.
            assert np.isfinite(history[f"{name}_loss"][0])
            moved = any(
                not np.array_equal(old, v)
                for old, v in zip(
                    before[name], model.partition.private[name], strict=True
                )
            )
            if factor == 0:
                assert not moved, name
                quiet[name] += 1
            elif name not in frozen:
                assert moved, name
    assert any(quiet.values()) == case.left_out


@each_case
def test_one_trace_whatever_is_left_out(case):
    model = model_of(case.make(), "sgd", "mgda")
    traces = 0
    step = model.train_step

    def counted(data):
        nonlocal traces
        traces += 1
        return step(data)

    model.train_step = counted
    model.fit(X, Y, batch_size=8, epochs=6, verbose=0)
    assert traces == 1


@each_case
def test_saved_and_resumed_it_goes_on_as_if_never_stopped(case, tmp_path):
    whole = model_of(case.make(), "adam", "uncertainty")
    whole.fit(X, Y, batch_size=8, epochs=6, shuffle=False, verbose=0)

    first = model_of(case.make(), "adam", "uncertainty")
    first.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    first.save(tmp_path / "model.keras")
    second = keras.saving.load_model(tmp_path / "model.keras")
    assert type(second.schedule) is type(whole.schedule)
    second.fit(
        X,
        Y,
        batch_size=8,
        initial_epoch=3,
        epochs=6,
        shuffle=False,
        verbose=0,
    )
    assert len(second.variables) == len(whole.variables)
    for a, b in zip(
        second.trainable_variables, whole.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    for a, b in zip(
        second.schedule.variables, whole.schedule.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.slow
@each_case
def test_trains_under_xla(case):
    model = model_of(case.make(), "sgd", "mgda", jit_compile=True)
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_a_factor_scales_the_loss_of_its_task():
    # In SGD, half the loss is half the step.
    half, whole = (
        model_of(schedules.Curriculum({"b": 0, "c": 1}, ramp=2), "sgd"),
        model_of(None, "sgd"),
    )
    half.schedule.epoch_state.assign([1.0, 0.5, 0.0])
    half.schedule.on_epoch_begin = lambda epoch: None
    before = np.array(whole.get_layer("b").kernel)
    for model in (half, whole):
        model.fit(X, Y, batch_size=24, verbose=0)
    steps = [
        np.array(model.get_layer("b").kernel) - before
        for model in (half, whole)
    ]
    np.testing.assert_allclose(2 * steps[0], steps[1], rtol=1e-4, atol=1e-7)


# --------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.get("rond_robin"), "Did you mean 'round_robin'"),
        (lambda: schedules.get(3), "`schedule` must be a name"),
        (lambda: schedules.RoundRobin(0), "`steps` must be a positive"),
        (lambda: schedules.Alternate({"a": 0}), "`epochs` must be a positive"),
        (
            lambda: bound(schedules.RoundRobin({"d": 2})),
            "`steps` has keys that name no task",
        ),
        (
            lambda: schedules.RandomTask({"a": 0}),
            r"`probabilities\['a'\]` must be a positive",
        ),
        (
            lambda: schedules.Curriculum({"a": -1}),
            "`start` must hold numbers of epochs, 0 or more",
        ),
        (
            lambda: schedules.Curriculum({"a": 3}, {"a": 3}),
            r"`end\['a'\]` must come after its start",
        ),
        (lambda: schedules.Curriculum(ramp=0), "`ramp` must hold"),
        (lambda: schedules.LossDriven(-1), "`strength` must be"),
        (
            lambda: schedules.TaskEarlyStopping(patience=0),
            "`patience` must be a number of epochs",
        ),
        (lambda: schedules.TaskEarlyStopping(mode="up"), "`mode` must be"),
        (
            lambda: bound(schedules.TaskEarlyStopping(tasks=["aa"])),
            "`tasks` has keys that name no task",
        ),
        (
            lambda: model_of(schedules.TaskEarlyStopping()).fit(
                X, Y, verbose=0
            ),
            "`monitor`.*'val_a_loss'.*need `validation_data`",
        ),
        (
            lambda: model_of(bound(schedules.RoundRobin(), ("a", "b"))),
            "`schedule` was built for 2 tasks; this model has 3",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
