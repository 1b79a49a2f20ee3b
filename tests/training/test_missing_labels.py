"""A task without a label in a batch leaves no trace."""

import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel
from tests.training import models

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.5),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, momentum=0.5),
    "ema": lambda: keras.optimizers.Adam(0.1, use_ema=True),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.1)
    ),
}


def absent(y, task):
    return {
        k: np.full_like(v, -1 if k == "zoo" else np.nan) if k == task else v
        for k, v in y.items()
    }


def state(model, task):
    own = model.partition.private[task]
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    slots = [
        v
        for v in optimizer.variables
        if any(o.path.replace("/", "_") in v.path for o in own)
    ]
    return [v.numpy() for v in [*own, *slots]], len(slots)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("balancer", [None, "uncertainty", "mgda", "graddrop"])
def test_its_head_and_its_optimizer_state_stand_still(optimizer, balancer):
    x, y = models.data(16)
    model = models.model()
    model.compile(OPTIMIZERS[optimizer](), balancer=balancer)
    model.train_on_batch(x, y)  # momentum is there
    before, slots = state(model, "age")
    assert slots >= 4
    zoo = model.get_layer("zoo").kernel.numpy()
    model.train_on_batch(x, absent(y, "age"))
    after, _ = state(model, "age")
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
    assert not np.allclose(model.get_layer("zoo").kernel.numpy(), zoo)


# Those that leave a lone task's gradient as it is: a model of one task has no
# shared part to scale.
@pytest.mark.parametrize(
    "name",
    [
        "dynamic_weight_average",
        "fixed",
        "graddrop",
        "gradnorm",
        "imtlg",
        "mgda",
        "pcgrad",
        "uncertainty",
    ],
)
def test_the_shared_part_moves_as_if_it_did_not_exist(name):
    x, y = models.data(16)
    found = []
    for labels in (absent(y, "age"), {"zoo": y["zoo"]}):
        keras.utils.set_random_seed(0)
        inputs, outputs = models.graph()
        model = MultiTaskModel(
            inputs,
            {k: outputs[k] for k in labels},
            tasks=[t for t in models.tasks() if t.name in labels],
        )
        model.compile(keras.optimizers.SGD(0.1), balancer=name)
        logs = model.train_on_batch(x, labels, return_dict=True)
        found.append((model.get_layer("trunk").kernel.numpy(), logs))
    (with_absent, logs), (alone, alone_logs) = found
    assert np.isnan(logs["age_loss"]) and np.isnan(logs["age_mae"])
    assert logs["loss"] == pytest.approx(alone_logs["loss"], rel=1e-6)
    np.testing.assert_allclose(with_absent, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["dynamic_weight_average", "gradnorm", "uncertainty"]
)
def test_the_balancers_state_of_it_stands_still(name):
    x, y = models.data(16)
    model = models.model()
    model.compile("adam", balancer=name)
    for _ in range(3):
        model.train_on_batch(x, y)
    per_task = [
        v
        for v in model.balancer.variables
        if v.shape == (2,) and "float" in v.dtype
    ]
    before = [v.numpy() for v in per_task]
    model.train_on_batch(x, absent(y, "age"))
    after = [v.numpy() for v in per_task]
    for old, new in zip(before, after, strict=True):
        if name != "gradnorm":  # renormalised among the tasks that are there
            assert new[1] == old[1]
        assert np.isfinite(new).all()


def test_all_absent_moves_nothing():
    x, y = models.data(8)
    for balancer in (None, "mgda", "uncertainty", "graddrop"):
        model = models.model(regularizer="l2")
        model.compile("adam", balancer=balancer)
        model.train_on_batch(x, y)
        before = model.get_weights()
        logs = model.train_on_batch(
            x, absent(absent(y, "age"), "zoo"), return_dict=True
        )
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        assert np.isfinite(logs["loss"])


@pytest.mark.parametrize("how", ["sentinel", "weights"])
def test_partly_missing_equals_a_loop_over_examples(how):
    x, y = models.data(18, missing=True)
    there = {"zoo": y["zoo"] >= 0, "age": ~np.isnan(y["age"])}
    weights = None
    if how == "weights":
        weights = {k: v.astype("float32") for k, v in there.items()}
        y = {k: np.where(there[k], v, 0).astype(v.dtype) for k, v in y.items()}
    model = models.model()
    model.compile("sgd", balancer="mgda")
    outputs = model.predict(x, verbose=0)
    logs = model.evaluate(
        x, y, sample_weight=weights, verbose=0, return_dict=True
    )
    zoo = [
        -np.log(outputs["zoo"][i, y["zoo"][i]])
        for i in range(18)
        if there["zoo"][i]
    ]
    age = [
        (outputs["age"][i, 0] - y["age"][i]) ** 2
        for i in range(18)
        if there["age"][i]
    ]
    assert logs["zoo_loss"] == pytest.approx(np.mean(zoo), rel=1e-5)
    assert logs["age_loss"] == pytest.approx(np.mean(age), rel=1e-5)


def test_absent_in_some_batches_trains_on_the_others():
    x, y = models.data(32)
    y["age"][:16] = np.nan
    model = models.model()
    model.compile("adam", balancer="pcgrad")
    history = model.fit(
        x, y, batch_size=16, epochs=2, shuffle=False, verbose=0
    ).history
    assert np.isfinite(history["age_loss"]).all()
    # One of two batches has ages; the mean is over that one.
    assert history["age_loss"][0] > 0
