"""The Jacobian in half the memory, or never held, gives the same steps."""

import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, balancers


@keras.saving.register_keras_serializable(package="tests")
class ByLength(balancers.GradientBalancer):
    """Weighs by all of G, and is compiled fast."""

    def task_weights(self, gram, losses, present):
        weights = 1 / (1 + keras.ops.sum(keras.ops.abs(gram), axis=1))
        return keras.ops.where(present, weights, 0.0)


def plain_trunk(x):
    h = keras.layers.Dense(8, activation="tanh")(x)
    return keras.layers.Dense(6, activation="tanh")(h), None


def tangled_trunk(x):
    """Layers called twice, skipped, nested, with state and with a penalty."""
    twice = keras.layers.Dense(5, activation="tanh", name="twice")
    h = keras.layers.BatchNormalization()(twice(x))
    inner_in = keras.Input((5,))
    inner = keras.Model(
        inner_in,
        keras.layers.Dense(5, activation="tanh", activity_regularizer="l2")(
            inner_in
        ),
    )
    h = keras.layers.Add()([twice(h), inner(h)])
    h = keras.layers.Dropout(0.3, seed=3)(h)
    embedded = keras.layers.Embedding(4, 5)(
        keras.layers.Lambda(lambda t: keras.ops.cast(t[:, 0] > 0, "int32"))(x)
    )
    h = keras.layers.Dense(
        5, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1)
    )(keras.layers.Concatenate()([h, embedded, x]))
    return h, twice


TRUNKS = {"plain": plain_trunk, "tangled": tangled_trunk}


def trained(trunk, balancer, batches=3):
    keras.utils.set_random_seed(1)
    x = keras.Input((5,))
    h, twice = TRUNKS[trunk](x)
    outputs = {
        "a": keras.layers.Dense(1)(h),
        # A shared layer that a head calls, too.
        "b": keras.layers.Dense(1)(twice(h) if twice else h),
        "c": keras.layers.Dense(1)(keras.layers.Dense(3)(h)),
    }
    model = MultiTaskModel(
        x, outputs, tasks=[Task(name, "regression") for name in outputs]
    )
    model.compile(
        keras.optimizers.SGD(0.1), balancer=balancer, jit_compile=False
    )
    rng = np.random.default_rng(0)
    y = {name: rng.normal(size=4 * batches) for name in outputs}
    y["b"][:5] = np.nan
    x = rng.normal(size=(4 * batches, 5)).astype("float32")
    logs = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    return [np.asarray(v) for v in model.variables], logs


@pytest.mark.parametrize(
    ("method", "trunk", "options"),
    [
        (ByLength, "plain", {}),
        pytest.param(balancers.MGDA, "tangled", {}, marks=pytest.mark.slow),
        pytest.param(
            balancers.MGDA,
            "tangled",
            {"update_every": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_layer_by_layer_is_the_same_step(method, trunk, options):
    held = trained(trunk, method(**options))
    summed = trained(trunk, method(jacobian="layerwise", **options))
    for own, expected in zip(summed[0], held[0], strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)
    assert summed[1].keys() == held[1].keys()
    for key, values in held[1].items():
        np.testing.assert_allclose(
            summed[1][key], values, rtol=1e-4, atol=1e-5, err_msg=key
        )


@pytest.mark.slow
def test_half_the_digits_are_nearly_the_same_step():
    held, _ = trained("plain", balancers.UPGrad())
    halved, _ = trained("plain", balancers.UPGrad(jacobian="bfloat16"))
    assert any((a != b).any() for a, b in zip(halved, held, strict=True))
    for own, expected in zip(halved, held, strict=True):
        np.testing.assert_allclose(own, expected, atol=5e-3)


def test_a_wrapper_keeps_what_it_wraps_that_way():
    inner = balancers.MGDA(jacobian="layerwise")
    outer = balancers.Momentum(inner)
    assert outer.jacobian == "layerwise"
    assert balancers.get(balancers.serialize(outer)).jacobian == "layerwise"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: balancers.MGDA(jacobian="half"), r"`jacobian` must be"),
        (
            lambda: balancers.MGDA(jacobian="bfloat16", wrt="features"),
            r"must be 'float32' with wrt='features'",
        ),
        (lambda: balancers.MoCo(jacobian="bfloat16"), "one number for each"),
        (
            lambda: balancers.MoDo(jacobian="layerwise").build((3,)),
            "two halves of the batch",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
