import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving import check, export
from keras_mtl.serving.session import open_session


def stored_bytes(path):
    return sum(f.stat().st_size for f in (path / "variables").iterdir())


def test_half_the_bytes_and_nearly_the_numbers(two_tasks, rows, tmp_path):
    model = two_tasks(width=20_000)
    path = export(model, tmp_path, float16=True)
    size = sum(w.numpy().nbytes for w in model.weights)
    assert size / 2 < stored_bytes(path) < size / 2 + 10_000
    expected = model.predict(rows, verbose=0)
    with open_session(path) as saved:
        for name in ("serving_default", "left", "right"):
            for key, y in saved.run(name, {"x": rows}).items():
                assert y.dtype == np.float32
                off = np.abs(y - expected[key]).max()
                assert 0 < off < 1e-2 * np.abs(expected[key]).max()
    assert check(path).ok


def test_two_loaded_exports_keep_their_own_weights(two_tasks, rows, tmp_path):
    models = [two_tasks(seed=seed) for seed in (1, 2)]
    loaded = [
        tf.saved_model.load(str(export(m, tmp_path, float16=True)))
        for m in models
    ]
    for model, saved in zip(models, loaded, strict=True):
        y = saved.signatures["right"](x=tf.constant(rows))["right"].numpy()
        expected = model.predict(rows, verbose=0)["right"]
        np.testing.assert_allclose(y, expected, atol=1e-2)


def test_integers_and_states_stay(tmp_path):
    x = keras.Input((3,), dtype="int32", name="ids")
    h = keras.layers.Embedding(50_000, 2)(x)
    h = keras.layers.BatchNormalization()(keras.layers.Flatten()(h))
    h = keras.layers.Dropout(0.5)(h)
    model = keras.Model(
        x,
        {
            "y": keras.layers.Dense(1)(h),
            "index": keras.ops.argmax(h, axis=-1),
        },
    )
    path = export(model, tmp_path, float16=True)
    dtypes = {
        name: tf.train.load_variable(str(path / "variables/variables"), name)
        for name, _ in tf.train.list_variables(
            str(path / "variables/variables")
        )
        if "VARIABLE_VALUE" in name
    }
    assert {str(v.dtype) for v in dtypes.values()} == {"float16"}
    assert len(dtypes) == 7


def test_weights_that_do_not_fit(model, tmp_path):
    model.weights[0].assign(np.full((4, 5), 1e5))
    with pytest.raises(
        ValueError, match=r"needs weights between.*trunk/kernel.*1e\+05"
    ):
        export(model, tmp_path, float16=True)


def test_outputs_that_are_too_far_off(tmp_path):
    x = keras.Input((1,), name="x")
    big = keras.layers.Dense(1, name="big")
    h = big(x) - 4096.0 * x
    model = keras.Model(x, {"y": h})
    big.kernel.assign([[4097.0]])  # float16 has no odd numbers there
    with pytest.raises(ValueError, match=r"something else.*more than 0\.01"):
        export(model, tmp_path, float16=True)
