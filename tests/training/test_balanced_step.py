"""One optimizer step under each contract, held against steps by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import MultiTaskModel, balancers
from tests.balancers.cases import CASES, make
from tests.graph.cases import GRAPHS, make_inputs
from tests.training import models

RATE = 0.5
LOSSES = {"zoo": "sparse_categorical_crossentropy", "age": "mse"}


def task_gradients(model, x, y, weights=None):
    """Losses and, for each task, the gradient of every variable, by tape."""
    names = list(model.tasks)
    weights = weights or dict.fromkeys(names, 1.0)
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(x, training=True)
        losses = {
            n: weights[n] * model.tasks[n].loss(y[n], outputs[n]) for n in names
        }
    values = [v.value for v in model.trainable_variables]
    rows = {
        n: [
            tf.convert_to_tensor(g).numpy()
            for g in tape.gradient(
                losses[n], values, unconnected_gradients="zero"
            )
        ]
        for n in names
    }
    return np.array([float(losses[n]) for n in names]), rows


def step(model, x, y, **options):
    """The change of each variable in one SGD step, divided by −RATE."""
    before = [v.numpy() for v in model.trainable_variables]
    logs = model.train_on_batch(x, y, return_dict=True, **options)
    return logs, [
        (old - v.numpy()) / RATE
        for old, v in zip(before, model.trainable_variables, strict=True)
    ]


def shared_index(model):
    ids = {id(v) for v in model.partition.shared}
    return [i for i, v in enumerate(model.trainable_variables) if id(v) in ids]


def flat(row, index):
    return np.concatenate([row[i].ravel() for i in index])


# GradDrop draws anew for each variable; see below.
STEPS = [case for case in CASES if case.name != "graddrop"]


@pytest.mark.parametrize("case", STEPS, ids=[case.name for case in STEPS])
def test_step_is_the_balancers_direction_in_the_shared_part(case):
    """fit's step = aggregate on the Jacobian from a tape per task."""
    x, y = models.data(16)
    model = models.model()
    model.compile(
        keras.optimizers.SGD(RATE),
        balancer=_exact(case),
    )
    if getattr(model.balancer, "double_sampled", False):
        pytest.skip("has a test of its own")
    losses, rows = task_gradients(model, x, y)
    index = shared_index(model)
    jacobian = np.stack([flat(rows[n], index) for n in model.tasks])
    reference = _exact(case)
    reference.bind(model.tasks)
    direction, weights = balancers.aggregate(
        reference, jacobian.astype("float32"), losses.astype("float32")
    )
    logs, found = step(model, x, y)
    np.testing.assert_allclose(
        flat(found, index), direction, rtol=2e-4, atol=2e-6
    )
    for t, task in enumerate(model.tasks if weights is not None else ()):
        assert logs[f"{task}_weight"] == pytest.approx(weights[t], rel=1e-4)


def _exact(case):
    found = make(case, case.variants[0], 2)
    if hasattr(found, "wrt"):
        found.wrt = "variables"
    return found


@pytest.mark.parametrize("name", ["mgda", "pcgrad", "cagrad", "imtlg"])
@pytest.mark.parametrize("wrt", ["variables", "features"])
def test_heads_take_their_own_gradient(name, wrt):
    x, y = models.data(16)
    model = models.model()
    model.compile(
        keras.optimizers.SGD(RATE), balancer=balancers.get(name, wrt=wrt)
    )
    _, rows = task_gradients(model, x, y)
    _, found = step(model, x, y)
    for task, own in model.partition.private.items():
        ids = {id(v) for v in own}
        for i, v in enumerate(model.trainable_variables):
            if id(v) in ids:
                np.testing.assert_allclose(
                    found[i], rows[task][i], rtol=1e-4, atol=1e-6
                )


def test_features_weigh_by_the_gram_at_the_boundary():
    x, y = models.data(16)
    model = models.model()
    model.compile(
        keras.optimizers.SGD(RATE),
        balancer=balancers.get("mgda", wrt="features"),
    )
    trunk = model.get_layer("trunk")
    heads = keras.Model(trunk.output, model.output)
    with tf.GradientTape(persistent=True) as tape:
        features = trunk(x)
        tape.watch(features)
        outputs = heads(features)
        losses = [model.tasks[n].loss(y[n], outputs[n]) for n in model.tasks]
    jacobian = np.stack(
        [tape.gradient(loss, features).numpy().ravel() for loss in losses]
    )
    _, weights = balancers.aggregate("mgda", jacobian)
    _, rows = task_gradients(model, x, y)
    index = shared_index(model)
    expected = sum(
        w * flat(rows[n], index)
        for w, n in zip(weights, model.tasks, strict=True)
    )
    logs, found = step(model, x, y)
    np.testing.assert_allclose(
        flat(found, index), expected, rtol=1e-4, atol=1e-6
    )
    assert logs["zoo_weight"] == pytest.approx(weights[0], rel=1e-4)


def test_coordinatewise_step_combines_coordinates():
    """GradDrop keeps only gradients of one sign in each coordinate."""
    x, y = models.data(16)
    model = models.model()
    model.compile(keras.optimizers.SGD(RATE), balancer="graddrop")
    _, rows = task_gradients(model, x, y)
    index = shared_index(model)
    a, b = (flat(rows[n], index) for n in model.tasks)
    logs, found = step(model, x, y)
    got = flat(found, index)
    positive = np.maximum(a, 0) + np.maximum(b, 0)
    negative = np.minimum(a, 0) + np.minimum(b, 0)
    close = np.isclose(got, positive, atol=1e-5) | np.isclose(
        got, negative, atol=1e-5
    )
    assert close.all()
    assert "zoo_weight" not in logs
    assert logs["min_cosine"] == pytest.approx(
        a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-4
    )


@pytest.mark.parametrize(
    ("graph", "wrt"),
    [
        pytest.param(
            graph,
            wrt,
            marks=pytest.mark.slow if wrt == "features" and i % 2 else [],
            id=f"{graph.__name__}-{wrt}",
        )
        for i, graph in enumerate(GRAPHS)
        for wrt in ("variables", "features")
    ],
)
def test_odd_graphs_step_as_their_jacobian_says(graph, wrt):
    keras.utils.set_random_seed(0)
    inputs, outputs = graph()
    model = MultiTaskModel(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(RATE),
        loss=dict.fromkeys(outputs, "mse"),
        balancer=balancers.get("pcgrad", wrt=wrt)
        if len(outputs) < 3
        else balancers.get("imtlg", wrt=wrt),
    ) if graph.__name__ != "nothing_shared" else _compile_unshared(model)
    x = make_inputs(model, seed=3)
    generator = keras.random.SeedGenerator(5)
    y = {
        k: keras.random.normal((6, *o.shape[1:]), seed=generator)
        for k, o in model.output.items()
    }
    losses, rows = task_gradients(model, x, y)
    index = shared_index(model)
    logs, found = step(model, x, y)
    weights = np.array([logs[f"{t}_weight"] for t in model.tasks])
    jacobian = np.stack(
        [
            np.zeros(1) if not index else flat(rows[t], index)
            for t in model.tasks
        ]
    )
    if index:
        np.testing.assert_allclose(
            flat(found, index), weights @ jacobian, rtol=1e-3, atol=1e-5
        )
        if wrt == "variables":
            _, expected = balancers.aggregate(
                model.balancer.__class__(), jacobian.astype("float32"), losses
            )
            np.testing.assert_allclose(weights, expected, rtol=1e-2, atol=1e-4)


def _compile_unshared(model):
    with pytest.warns(UserWarning, match="share no trainable variable"):
        model.compile(
            keras.optimizers.SGD(RATE),
            loss=dict.fromkeys(model.output, "mse"),
            balancer="pcgrad",
        )


def test_loss_weights_come_before_the_balancer():
    x, y = models.data(16)
    factors = {"zoo": 3.0, "age": 0.2}
    model = models.model()
    model.compile(
        keras.optimizers.SGD(RATE), loss_weights=factors, balancer="mgda"
    )
    _, rows = task_gradients(model, x, y, factors)
    index = shared_index(model)
    jacobian = np.stack([flat(rows[n], index) for n in model.tasks])
    direction, _ = balancers.aggregate("mgda", jacobian)
    _, found = step(model, x, y)
    np.testing.assert_allclose(
        flat(found, index), direction, rtol=1e-3, atol=1e-6
    )


def test_weights_are_kept_between_updates():
    x, y = models.data(16)
    model = models.model()
    model.compile(
        keras.optimizers.SGD(RATE),
        balancer=balancers.get("mgda", update_every=3),
    )
    seen, cosines = [], []
    for _ in range(7):
        _, rows = task_gradients(model, x, y)
        index = shared_index(model)
        jacobian = np.stack([flat(rows[n], index) for n in model.tasks])
        _, fresh = balancers.aggregate("mgda", jacobian)
        logs, found = step(model, x, y)
        weights = np.array([logs["zoo_weight"], logs["age_weight"]])
        np.testing.assert_allclose(
            flat(found, index), weights @ jacobian, rtol=1e-3, atol=1e-6
        )
        seen.append((weights, fresh))
        cosines.append(logs["min_cosine"])
    for i, (weights, fresh) in enumerate(seen):
        if i % 3 == 0:
            np.testing.assert_allclose(weights, fresh, rtol=1e-3, atol=1e-5)
        else:
            np.testing.assert_array_equal(weights, seen[i - i % 3][0])
            assert not np.allclose(weights, fresh, rtol=1e-4)


def test_gradnorm_scales_heads_too():
    x, y = models.data(16)
    model = models.model()
    model.compile(keras.optimizers.SGD(RATE), balancer="gradnorm")
    for _ in range(5):
        model.train_on_batch(x, y)
    _, rows = task_gradients(model, x, y)
    logs, found = step(model, x, y)
    assert logs["zoo_weight"] != pytest.approx(1.0, rel=1e-3)
    names = [v.path for v in model.trainable_variables]
    i = names.index("zoo/kernel")
    np.testing.assert_allclose(
        found[i], logs["zoo_weight"] * rows["zoo"][i], rtol=1e-3, atol=1e-6
    )


def test_uncertainty_learns_its_scales():
    x, y = models.data(16)
    model = models.model()
    model.compile(keras.optimizers.SGD(0.1), balancer="uncertainty")
    losses, _ = task_gradients(model, x, y)
    model.train_on_batch(x, y)
    (scales,) = model.balancer.trainable_variables
    # d/ds [a e^{-s} L + s/2] at s = 0, with a = 1 for classes, 1/2 for values.
    expected = -0.1 * (0.5 - np.array([1.0, 0.5]) * losses)
    np.testing.assert_allclose(scales.numpy(), expected, rtol=1e-4)


def test_dynamic_weight_average_follows_epochs():
    x, y = models.data(16)
    model = models.model()
    model.compile(keras.optimizers.SGD(0.1), balancer="dynamic_weight_average")
    history = model.fit(x, y, epochs=4, verbose=0, batch_size=8).history
    for epoch in (2, 3):
        ratio = np.array(
            [
                history[f"{t}_loss"][epoch - 1]
                / history[f"{t}_loss"][epoch - 2]
                for t in model.tasks
            ]
        )
        expected = 2 * np.exp(ratio / 2) / np.exp(ratio / 2).sum()
        found = [history[f"{t}_weight"][epoch] for t in model.tasks]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
