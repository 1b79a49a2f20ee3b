"""SoftSharing: values, gradients, and its place among a model's losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import MultiTaskModel, Task
from keras_mtl.training import SoftSharing

KEYS = "abc"
PENALTIES = ["l2", "mean", "trace_norm"]
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = {k: np.random.default_rng(1).normal(size=8) for k in KEYS}


def build(penalty="l2", strength=0.1, dtype="float32", kernel_regularizer=None):
    """Towers of two blocks, of which one has moving averages."""
    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    outputs = {}
    for key in KEYS:
        h = layers.Dense(
            4,
            name=f"{key}_low",
            dtype=dtype,
            bias_initializer="normal",
            kernel_regularizer=kernel_regularizer,
        )(x)
        block = keras.Sequential(
            [
                layers.Dense(2, dtype=dtype),
                layers.BatchNormalization(
                    dtype=dtype, gamma_initializer="normal"
                ),
            ],
            name=f"{key}_high",
        )
        outputs[key] = layers.Dense(1, name=key, dtype=dtype)(block(h))
    return MultiTaskModel(
        x,
        outputs,
        tasks=[Task(key, "regression") for key in KEYS],
        weight_penalty=SoftSharing(
            [[f"{k}_{name}" for k in KEYS] for name in ("low", "high")],
            penalty,
            strength,
        ),
    )


def towers(model):
    """For each matched weight that trains, the weights of all towers."""
    return [
        [np.array(w[i], "float64") for w in weights]
        for name in ("low", "high")
        for weights in [[model.get_layer(f"{k}_{name}").weights for k in KEYS]]
        for i in range(len(weights[0]))
        if "moving" not in weights[0][i].path
    ]


def by_loops(model, penalty):
    total = 0.0
    for matched in towers(model):
        if penalty == "trace_norm":
            if matched[0].ndim > 1:
                rows = np.stack([w.ravel() for w in matched])
                total += np.linalg.svd(rows, compute_uv=False).sum()
            continue
        mean = sum(matched) / len(matched)
        for t, w in enumerate(matched):
            if penalty == "mean":
                total += np.sum((w - mean) ** 2)
            else:
                total += sum(np.sum((w - v) ** 2) for v in matched[:t])
    return total


@each_penalty
def test_value_by_loops(penalty):
    model = build(penalty)
    expected = by_loops(model, penalty)
    assert len(towers(model)) == 6 and expected > 0.1
    assert float(model.losses[0]) == pytest.approx(0.1 * expected, rel=1e-5)
    by_layer = model.weight_penalty.by_layer(model)
    assert next(iter(by_layer)) == ("a_low", "b_low", "c_low")
    assert sum(by_layer.values()) == pytest.approx(expected, rel=1e-5)


def in_nested_models(penalty, layer):
    """Towers that are models, of which all weights are 1, 2 and 4."""
    x = keras.Input((3,))
    outputs = {}
    for key, number in zip(KEYS, (1.0, 2.0, 4.0), strict=True):
        first, second = keras.Input((3,)), keras.Input((4,))
        deep = keras.Model(second, layers.Dense(2)(second), name="deep")
        low = layers.Dense(4, name="low")(first)
        tower = keras.Model(first, deep(low), name=f"{key}_net")
        tower.set_weights([np.full(w.shape, number) for w in tower.weights])
        outputs[key] = layers.Dense(1, name=key)(tower(x))
    group = [f"{key}_net{layer}" for key in KEYS]
    return MultiTaskModel(
        x, outputs, weight_penalty=SoftSharing([group], penalty, 0.1)
    )


@each_penalty
@pytest.mark.parametrize(
    ("layer", "matrices", "vectors"),
    [("", [12, 8], [4, 2]), ("/low", [12], [4]), ("/deep", [8], [2])],
    ids=["tower", "layer", "model_in_it"],
)
def test_weights_in_nested_models_count(penalty, layer, matrices, vectors):
    model = in_nested_models(penalty, layer)
    expected = {
        "l2": (1 + 4 + 9) * sum(matrices + vectors),
        "mean": (1 + 4 + 16 - 7**2 / 3) * sum(matrices + vectors),
        # Each stacked matrix (1, 2, 4)ᵀ (1, …, 1) has one singular value.
        "trace_norm": np.sqrt(21) * np.sqrt(matrices).sum(),
    }[penalty]
    (loss,) = model.losses
    assert float(loss) == pytest.approx(0.1 * expected, rel=1e-6)
    by_layer = model.weight_penalty.by_layer(model)
    names = tuple(f"{key}_net{layer}" for key in KEYS)
    assert by_layer == {names: pytest.approx(expected, rel=1e-6)}


def test_a_step_follows_the_penalty_of_layers_in_a_nested_model(tmp_path):
    inner = shared_stem("l2")
    inner = keras.Model(inner.input, inner.output, name="inner")
    x = keras.Input((3,))
    model = MultiTaskModel(
        x,
        inner(x),
        tasks=[Task(k, "regression") for k in KEYS],
        weight_penalty=SoftSharing([[f"inner/{k}_low" for k in KEYS]], "l2"),
    )
    model.compile(
        keras.optimizers.SGD(1.0),
        loss_weights=dict.fromkeys(KEYS, 0.0),
        balancer="pcgrad",
        run_eagerly=True,
    )
    rows = kernels(inner)
    model.train_on_batch(X, Y)
    expected = rows - 0.01 * 6 * (rows - rows.mean(0))
    np.testing.assert_allclose(kernels(inner), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.losses[0]) == pytest.approx(float(model.losses[0]))
    assert float(model.losses[0]) > 0.001


def test_a_layer_of_a_nested_model_is_named_by_its_path():
    plain = shared_stem("l2")
    inner = keras.Model(plain.input, plain.output, name="inner")
    x = keras.Input((3,))
    group = [f"{key}_low" for key in KEYS]
    with pytest.raises(ValueError, match=r"'a_low'.*\['inner/a_low'\]"):
        MultiTaskModel(x, inner(x), weight_penalty=SoftSharing([group]))


@each_penalty
def test_gradients_by_differences(penalty):
    model = build(penalty, dtype="float64")
    tied = [
        v
        for v in model.trainable_variables
        if v.path[0:2] in {f"{k}_" for k in KEYS}
    ]
    assert len(tied) == 18
    with tf.GradientTape() as tape:
        (value,) = model.losses
    assert value.dtype == "float64"
    gradients = tape.gradient(value, [v.value for v in tied])
    draw = np.random.default_rng(0)
    for v, gradient in zip(tied, gradients, strict=True):
        if penalty == "trace_norm" and len(v.shape) < 2:
            assert gradient is None
            continue
        start, direction = np.array(v), draw.normal(size=v.shape)
        values = []
        for step in (1e-6, -1e-6):
            v.assign(start + step * direction)
            values.append(float(model.losses[0]))
        v.assign(start)
        assert np.sum(gradient.numpy() * direction) == pytest.approx(
            (values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-8
        )


@pytest.mark.parametrize("balancer", [None, "uncertainty", "fixed"])
def test_it_counts_once_in_what_is_logged(balancer):
    def logged(strength):
        model = build(strength=strength, kernel_regularizer="l2")
        model.compile(keras.optimizers.SGD(0.0), balancer=balancer)
        history = model.fit(X, Y, batch_size=8, verbose=0).history
        evaluated = model.evaluate(X, Y, return_dict=True, verbose=0)
        return model, {k: v[0] for k, v in history.items()}, evaluated

    model, *with_penalty = logged(0.1)
    _, *without = logged(0.0)
    expected = 0.1 * by_loops(model, "l2")
    for tied, free in zip(with_penalty, without, strict=True):
        assert tied["loss"] - free["loss"] == pytest.approx(expected, rel=1e-4)
        for key in KEYS:
            assert tied[f"{key}_loss"] == pytest.approx(free[f"{key}_loss"])


def test_without_a_balancer_the_loss_is_the_sum_of_all():
    model = build(kernel_regularizer="l2")
    model.compile(keras.optimizers.SGD(0.0))
    kernels = [np.array(model.get_layer(f"{k}_low").kernel) for k in KEYS]
    extra = 0.1 * by_loops(model, "l2")
    extra += 0.01 * sum(np.sum(kernel**2) for kernel in kernels)
    logs = model.evaluate(X, Y, return_dict=True, verbose=0)
    losses = sum(logs[f"{k}_loss"] for k in KEYS)
    assert logs["loss"] == pytest.approx(losses + extra, rel=1e-5)


def shared_stem(penalty):
    """Towers behind a layer that all share, so that there is a balance."""
    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    h = layers.Dense(3, name="stem")(x)
    return MultiTaskModel(
        x,
        {
            k: layers.Dense(1, name=k)(layers.Dense(2, name=f"{k}_low")(h))
            for k in KEYS
        },
        tasks=[Task(k, "regression") for k in KEYS],
        weight_penalty=SoftSharing([[f"{k}_low" for k in KEYS]], penalty, 0.5),
    )


def kernels(model):
    return np.stack(
        [np.array(model.get_layer(f"{k}_low").kernel).ravel() for k in KEYS]
    )


@each_penalty
@pytest.mark.parametrize(
    "balancer", [None, "uncertainty", "pcgrad", "mgda", "graddrop"]
)
def test_one_step_follows_its_gradient_once(balancer, penalty):
    model = shared_stem(penalty)
    # Tasks that weigh nothing leave the step to the penalty.
    model.compile(
        keras.optimizers.SGD(0.1),
        loss_weights=dict.fromkeys(KEYS, 0.0),
        balancer=balancer,
        run_eagerly=True,
    )
    rows = kernels(model)
    model.train_on_batch(X, Y)
    after = kernels(model)
    if penalty == "trace_norm":
        left, _, right = np.linalg.svd(rows, full_matrices=False)
        gradient = left @ right
    else:
        factor = {"l2": 2 * 3, "mean": 2}[penalty]
        gradient = factor * (rows - rows.mean(0))
    np.testing.assert_allclose(after - rows, -0.1 * 0.5 * gradient, atol=1e-6)


def test_the_penalty_is_no_gradient_of_a_task():
    # It ties b to a, but only a's labels are ever seen: by the tie, b moves.
    model = shared_stem("l2")
    model.compile(
        keras.optimizers.SGD(0.1),
        loss_weights={"a": 1.0, "b": 0.0, "c": 0.0},
        balancer="pcgrad",
    )
    split = model.variables_by_task()
    paths = {k: {v.path for v in vs} for k, vs in split.items()}
    assert "a_low/kernel" in paths["a"] and "a_low/kernel" not in paths["b"]
    before = kernels(model)
    model.fit(X, Y, epochs=3, verbose=0)
    assert (np.abs(kernels(model) - before).max(axis=1) > 1e-4).all()


@each_penalty
def test_a_frozen_tower_stays_and_pulls_the_others(penalty):
    model = shared_stem(penalty)
    model.get_layer("a_low").trainable = False
    rate = 0.01 if penalty == "trace_norm" else 0.3
    weighs_nothing = dict.fromkeys(KEYS, 0.0)
    model.compile(keras.optimizers.SGD(rate), loss_weights=weighs_nothing)
    before = kernels(model)
    many = {k: np.tile(y, 80) for k, y in Y.items()}
    model.fit(np.tile(X, (80, 1)), many, batch_size=8, verbose=0)
    after = kernels(model)
    np.testing.assert_array_equal(after[0], before[0])
    if penalty == "trace_norm":
        lost = np.linalg.norm(before, "nuc") - np.linalg.norm(after, "nuc")
        assert lost > 0.3
    else:
        np.testing.assert_allclose(after[1:], before[[0, 0]], atol=2e-3)


def test_what_is_frozen_in_all_towers_has_no_part():
    model = shared_stem("l2")
    for key in KEYS:
        model.get_layer(f"{key}_low").trainable = False
    assert float(model.losses[0]) == 0.0
    model.compile("sgd", balancer="pcgrad")
    model.train_on_batch(X, Y)


def test_it_survives_saving_cloning_and_configs(tmp_path):
    model = shared_stem("mean")
    model.compile("adam", balancer="pcgrad")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.keras")
    copies = [
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
        MultiTaskModel.from_config(model.get_config()),
    ]
    for copy in copies:
        assert isinstance(copy, MultiTaskModel)
        assert list(copy.given_tasks) == list(KEYS)
        config = copy.weight_penalty.get_config()
        assert config == model.weight_penalty.get_config()
        copy.set_weights(model.get_weights())
        assert float(copy.losses[0]) == pytest.approx(float(model.losses[0]))
    assert copies[1].compiled
    copies[1].fit(X, Y, verbose=0)
    # A copy's penalty is on weights of its own.
    assert float(copies[1].losses[0]) != float(model.losses[0])


def test_it_is_whole_in_mixed_precision_and_under_xla():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = shared_stem("trace_norm")
        model.compile("adam", jit_compile=True, balancer="mgda")
        history = model.fit(X, Y, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"][0])
    assert model.losses[0].dtype == "float32"


BAD = {
    "none": ([], {}, "`layers` must be a list of groups"),
    "one": ([["a_low"]], {}, "`layers` must be.*at least two names"),
    "flat": (["a_low", "b_low"], {}, "`layers` must be a list of groups"),
    "penalty": (None, {"penalty": "l1"}, "`penalty` must be.*'l1'"),
    "negative": (None, {"strength": -1}, "`strength` must be.*-1"),
    "infinite": (None, {"strength": float("inf")}, "`strength`.*inf"),
    "text": (None, {"strength": "0.1"}, "`strength`.*'0.1'"),
}


@pytest.mark.parametrize(
    ("groups", "options", "message"), BAD.values(), ids=BAD
)
def test_bad_arguments(groups, options, message):
    groups = [["a_low", "b_low"]] if groups is None else groups
    with pytest.raises(ValueError, match=message):
        SoftSharing(groups, **options)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (["a_low", "b_lou"], "must name layers.*'b_lou'.*'b_low'"),
        (["a_low", "b_low"], r"weights of the same shapes.*\(3, 4\).*\(3, 5\)"),
        (["a_low", "a_relu"], r"weights of the same shapes.*\[\]"),
    ],
)
def test_towers_that_do_not_match(group, message):
    x = keras.Input((3,))
    a = layers.ReLU(name="a_relu")(layers.Dense(4, name="a_low")(x))
    b = layers.Dense(5, name="b_low")(x)
    with pytest.raises(ValueError, match=message):
        MultiTaskModel(x, {"a": a, "b": b}, weight_penalty=SoftSharing([group]))


@pytest.mark.parametrize("balancer", [None, "pcgrad"])
def test_the_penalty_of_a_nested_model_counts_once(balancer):
    inner = shared_stem("l2")
    rows = kernels(inner)
    expected = 0.5 * 3 * np.sum((rows - rows.mean(0)) ** 2)
    x = keras.Input((3,))
    plain = keras.Model(x, inner(x))
    assert float(sum(plain.losses)) == pytest.approx(expected, rel=1e-5)
    y = keras.Input((3,))
    model = MultiTaskModel(
        y, plain(y), tasks=[Task(key, "regression") for key in KEYS]
    )
    model.compile(keras.optimizers.SGD(0.0), balancer=balancer)
    logs = model.fit(X, Y, batch_size=8, verbose=0).history
    evaluated = model.evaluate(X, Y, verbose=0, return_dict=True)
    for found in ({k: v[0] for k, v in logs.items()}, evaluated):
        losses = sum(found[f"{key}_loss"] for key in KEYS)
        assert found["loss"] - losses == pytest.approx(expected, rel=1e-4)
