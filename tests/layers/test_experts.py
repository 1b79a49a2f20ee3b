"""Experts: against loops and separate Dense layers; how they begin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import Experts

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
# Arguments, and the shape of the input. No two axes are of one length, so
# that none can be taken for another unnoticed.
SETTINGS = {
    "one_level": ({"num_experts": 3, "units": 4}, (5, 2)),
    "many_channels": ({"num_experts": 3, "units": (4, 6)}, (5, 130)),
    "two_levels": (
        {
            "num_experts": 3,
            "units": (4, 6),
            "activation": ["tanh", None],
            "use_bias": [True, False],
        },
        (5, 2),
    ),
    "softmax_over_channels": (
        {"num_experts": 2, "units": (5, 4), "activation": "softmax"},
        (7, 3),
    ),
    "sequences": (
        {"num_experts": 3, "units": (4, 6), "activation": "tanh"},
        (5, 7, 2),
    ),
    "maps": (
        {"num_experts": 3, "units": (4, 6), "activation": "sigmoid"},
        (2, 5, 7, 8),
    ),
}
each_setting = pytest.mark.parametrize(
    ("arguments", "shape"), SETTINGS.values(), ids=SETTINGS
)


def made(arguments, shape, dtype="float64"):
    keras.utils.set_random_seed(0)
    layer = Experts(**arguments, dtype=dtype)
    x = RNG.normal(size=shape)
    layer(x)
    for v in layer.trainable_variables:
        v.assign(RNG.normal(size=v.shape))
    return layer, x


def activated(name, h):
    if name == "softmax":
        h = np.exp(h - h.max())
        return h / h.sum()
    return {
        "relu": lambda v: np.maximum(v, 0),
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "linear": lambda v: v,
    }[name](h)


def by_loops(layer, x):
    result = np.zeros((*x.shape[:-1], layer.num_experts, layer.units[-1]))
    for index in np.ndindex(x.shape[:-1]):
        for expert in range(layer.num_experts):
            h = x[index]
            for level, width in enumerate(layer.units):
                kernel = np.array(layer.kernels[level])
                bias = layer.biases[level]
                out = np.zeros(width)
                for j in range(width):
                    for i in range(len(h)):
                        out[j] += h[i] * kernel[expert, i, j]
                    if bias is not None:
                        out[j] += np.array(bias)[expert, j]
                h = activated(layer.activation[level].__name__, out)
            result[*index, expert] = h
    return result


@each_setting
def test_forward_by_loops(arguments, shape):
    layer, x = made(arguments, shape)
    np.testing.assert_allclose(
        layer(x), by_loops(layer, x), rtol=1e-10, atol=1e-12
    )


@each_setting
def test_gradients_by_differences(arguments, shape):
    layer, x = made(arguments, shape)
    assert_gradients_are_differences(layer, x)


@pytest.mark.parametrize("shape", [(5, 2), (5, 7, 2)], ids=len)
def test_equals_dense_layers_one_by_one(shape):
    layer, x = made({"num_experts": 3, "units": (4, 6)}, shape)
    dense = [
        [keras.layers.Dense(u, "relu", dtype="float64") for u in (4, 6)]
        for _ in range(3)
    ]

    def separately(x):
        outputs = []
        for levels in dense:
            h = x
            for level in levels:
                h = level(h)
            outputs.append(h)
        return tf.stack(outputs, axis=-2)

    separately(x)
    for e, levels in enumerate(dense):
        for i, level in enumerate(levels):
            level.kernel.assign(layer.kernels[i][e])
            level.bias.assign(layer.biases[i][e])
    np.testing.assert_allclose(layer(x), separately(x), rtol=1e-12)

    def gradients(function, variables):
        leaf = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            loss = tf.reduce_sum(tf.sin(function(leaf)))
        return tape.gradient(loss, [leaf, *variables])

    of_x, *ours = gradients(
        layer, [v.value for v in [*layer.kernels, *layer.biases]]
    )
    flat = [
        v.value
        for part in ("kernel", "bias")
        for i in range(2)
        for v in [getattr(levels[i], part) for levels in dense]
    ]
    of_x_too, *theirs = gradients(separately, flat)
    np.testing.assert_allclose(of_x, of_x_too, rtol=1e-10, atol=1e-12)
    for i, gradient in enumerate(ours):
        expected = np.stack(theirs[3 * i : 3 * i + 3])
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["glorot_uniform", "he_normal", "lecun_normal", "orthogonal"]
)
def test_each_expert_is_initialized_as_one_dense_layer(name):
    keras.utils.set_random_seed(0)
    layer = Experts(4, (60, 50), kernel_initializer=name)
    layer(np.zeros((1, 40), "float32"))
    dense = keras.layers.Dense(60, kernel_initializer=name)
    dense(np.zeros((1, 40), "float32"))
    spread = np.std(dense.kernel)
    kernels = np.array(layer.kernels[0])
    for kernel in kernels:
        assert np.std(kernel) == pytest.approx(spread, rel=0.06)
        if name == "orthogonal":
            np.testing.assert_allclose(kernel @ kernel.T, np.eye(40), atol=1e-5)
    for i in range(4):
        for j in range(i):
            assert abs(np.corrcoef(kernels[[i, j]].reshape(2, -1))[0, 1]) < 0.1


def test_a_seed_gives_the_same_experts_again_but_no_two_alike():
    initializer = keras.initializers.GlorotUniform(seed=3)
    kernels = []
    for _ in range(2):
        layer = Experts(3, 4, kernel_initializer=initializer)
        layer(np.zeros((1, 5), "float32"))
        kernels.append(np.array(layer.kernels[0]))
    np.testing.assert_array_equal(*kernels)
    np.testing.assert_array_equal(kernels[0][0], initializer((5, 4)))
    assert not np.allclose(kernels[0][0], kernels[0][1])
    assert not np.allclose(kernels[0][1], kernels[0][2])


def test_a_generator_of_seeds_draws_anew_for_each_expert():
    seed = keras.random.SeedGenerator(3)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    layer = Experts(3, 4, kernel_initializer=initializer)
    layer(np.zeros((1, 5), "float32"))
    kernels = np.array(layer.kernels[0])
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[1], kernels[2])


def test_a_function_as_an_initializer_sees_one_expert():
    seen = []

    def initializer(shape, dtype=None):
        seen.append(tuple(shape))
        return keras.ops.full(shape, len(seen), dtype)

    layer = Experts(2, 4, kernel_initializer=initializer)
    layer.build((None, 5))
    assert seen == [(5, 4), (5, 4)]
    assert np.array(layer.kernels[0])[:, 0, 0].tolist() == [1, 2]


def test_dropout_is_each_experts_own_and_only_in_training():
    keras.utils.set_random_seed(0)
    layer = Experts(
        2, 300, activation=None, dropout=0.25, kernel_initializer="ones"
    )
    x = np.ones((40, 1), "float32")
    np.testing.assert_array_equal(layer(x), np.ones((40, 2, 300)))
    y = np.array(layer(x, training=True))
    assert set(np.unique(y.round(5))) == {0, np.float32(1.33333)}
    dropped = y == 0
    assert dropped.mean((0, 2)) == pytest.approx([0.25, 0.25], abs=0.02)
    both = (dropped[:, 0] & dropped[:, 1]).mean()
    assert both == pytest.approx(0.25**2, abs=0.02)
    assert not np.array_equal(layer(x, training=True), y)


def test_penalties_add_up_over_experts():
    layer, _ = made(
        {
            "num_experts": 3,
            "units": (4, 2),
            "kernel_regularizer": ["l2", None],
            "bias_regularizer": keras.regularizers.L1(0.5),
        },
        (5, 6),
    )
    kernels = np.array(layer.kernels[0])
    expected = [
        sum(0.01 * (kernel**2).sum() for kernel in kernels),
        *(0.5 * np.abs(np.array(bias)).sum() for bias in layer.biases),
    ]
    assert sorted(map(float, layer.losses)) == pytest.approx(sorted(expected))


BAD = {
    "no_expert": ((0, 4), {}, "`num_experts`.*Received: num_experts=0"),
    "a_bool": ((True, 4), {}, "`num_experts`.*Received: num_experts=True"),
    "no_level": ((2, ()), {}, r"`units`.*Received: units=\(\)"),
    "no_width": ((2, (4, 0)), {}, r"`units`.*Received: units=\(4, 0\)"),
    "a_list_too_long": (
        (2, (4, 3)),
        {"activation": ["relu"] * 3},
        r"`activation`.*each of the 2 levels",
    ),
}


@pytest.mark.parametrize(("given", "options", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(given, options, message):
    with pytest.raises(ValueError, match=message):
        Experts(*given, **options)
