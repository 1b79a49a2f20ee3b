"""Every contract of a layer, run over every row of the case table.

`conftest.py` gives the rows as `case`; the tests of heads import these
contracts and bring rows of their own.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import layers

from .cases import CASES


def make(case, dtype="float32"):
    keras.utils.set_random_seed(0)
    return case.make(name="tried", dtype=dtype)


def flat(tree):
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(tree)]


def assert_close(left, right, **tolerance):
    left, right = flat(left), flat(right)
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_registry_exports_and_rows_name_the_same_layers():
    exported = {
        entry
        for entry in map(layers.__dict__.get, layers.__all__)
        if isinstance(entry, type)
    }
    assert exported == {layers.registry[name] for name in layers.registry}
    assert {case.name for case in CASES} == set(layers.registry)


def test_config_makes_the_same_layer(case):
    layer = make(case)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    x = case.arrays()
    layer(x), again(x)
    shapes = [tuple(v.shape) for v in layer.variables]
    assert [tuple(v.shape) for v in again.variables] == shapes
    again.set_weights(layer.get_weights())
    assert_close(again(x, training=False), layer(x, training=False), rtol=1e-6)


def test_shapes_are_as_computed(case):
    layer, symbols = make(case), case.symbols()
    symbolic = layer(symbols)
    shapes = [tuple(x.shape) for x in keras.tree.flatten(symbolic)]
    computed = layer.compute_output_shape(
        [x.shape for x in symbols]
        if isinstance(case.shapes, list)
        else symbols.shape
    )
    assert _shapes(computed) == shapes
    result = layer(case.arrays(batch=5))
    keras.tree.assert_same_structure(result, symbolic)
    for y, shape in zip(keras.tree.flatten(result), shapes, strict=True):
        assert shape.count(None) == 1
        assert not case.batched or shape[0] is None
        assert tuple(y.shape) == tuple(5 if d is None else d for d in shape)


def _shapes(computed):
    """The shapes in what `compute_output_shape` returned, in order."""
    if isinstance(computed, dict):
        return [s for key in sorted(computed) for s in _shapes(computed[key])]
    if isinstance(computed, tuple) and all(
        d is None or isinstance(d, int) for d in computed
    ):
        return [computed]
    return [s for part in computed for s in _shapes(part)]


def test_saved_in_a_model_and_loaded(case, tmp_path):
    x = case.symbols()
    model = keras.Model(x, make(case)(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    batch = case.arrays()
    assert_close(
        loaded(batch, training=False), model(batch, training=False), rtol=1e-6
    )


@pytest.mark.slow
def test_exported_in_a_model_it_gives_the_same(case, tmp_path):
    x = case.symbols()
    model = keras.Model(x, make(case)(x))
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    batch = case.arrays()
    given = keras.tree.map_structure(tf.constant, batch)
    assert_close(
        exported.serve(given),
        model(batch, training=False),
        rtol=1e-5,
        atol=1e-6,
    )


def test_compiled_by_xla_it_gives_the_same(case):
    layer, x = make(case), case.arrays()
    expected = layer(x, training=False)
    compiled = tf.function(lambda x: layer(x, training=False), jit_compile=True)
    assert_close(compiled(x), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_weights_whole(case, policy):
    layer, x = make(case, policy), case.arrays()
    result = layer(x, training=False)
    for y in keras.tree.flatten(result):
        assert y.dtype == layer.compute_dtype
        assert np.isfinite(np.asarray(y, dtype="float32")).all()
    for variable in layer.trainable_variables:
        assert variable.dtype == "float32"
    whole = make(case)
    whole(x)
    whole.set_weights(layer.get_weights())
    rough = {"mixed_float16": 2e-2, "mixed_bfloat16": 1e-1}[policy]
    assert_close(
        [np.asarray(y, "float32") for y in keras.tree.flatten(result)],
        whole(x, training=False),
        rtol=rough,
        atol=rough,
    )


def test_double_precision_stays_double(case):
    layer = make(case, "float64")
    for y in keras.tree.flatten(layer(case.arrays(dtype="float64"))):
        assert y.dtype == "float64"


def test_gradients_are_finite_and_reach_every_weight(case):
    layer, x = make(case), case.arrays()
    layer(x)
    inputs = [tf.constant(v) for v in keras.tree.flatten(x)]
    given = inputs if isinstance(case.shapes, list) else inputs[0]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.add_n(
            [
                tf.reduce_sum(tf.sin(tf.cast(y, "float32")))
                for y in keras.tree.flatten(layer(given, training=True))
            ]
            + list(layer.losses)
        )
    variables = [v.value for v in layer.trainable_variables]
    gradients = tape.gradient(loss, [*variables, *inputs])
    for variable, gradient in zip(
        layer.trainable_variables, gradients, strict=False
    ):
        assert gradient is not None, variable.path
        # That of an embedding comes as slices.
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all(), variable.path
    assert any(g is not None for g in gradients[len(variables) :])


def test_a_mask_passes_through(case):
    shape = case.shapes[0] if isinstance(case.shapes, list) else case.shapes
    if not case.masked or len(shape) < 2:
        pytest.skip("nothing to mask")
    layer = make(case)
    mask = np.arange(shape[0])[None] < np.array([[1], [2]])
    assert layer.supports_masking

    def masked(x):
        x = tf.constant(x)
        x._keras_mask = tf.constant(mask)
        return x

    x = case.arrays(batch=2)
    x = [masked(v) for v in x] if isinstance(x, list) else masked(x)
    for y in keras.tree.flatten(layer(x)):
        np.testing.assert_array_equal(np.asarray(y._keras_mask), mask)
