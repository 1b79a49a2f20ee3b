import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving import check, export
from keras_mtl.serving.session import TensorInfo, open_session
from keras_mtl.serving.tf_example import parse_examples, serialized_examples


def three_tasks():
    x = keras.Input((4,), name="x")
    return keras.Model(
        x,
        {
            key: keras.layers.Dense(n, name=f"{key}_head")(x)
            for n, key in enumerate("abc", 1)
        },
    )


def test_a_group_computes_its_tasks_alone(tmp_path, rows):
    model = three_tasks()
    path = export(model, tmp_path, groups={"ends": ["a", "c"]})
    expected = model.predict(rows, verbose=0)
    with open_session(path) as saved:
        assert set(saved.signatures) == set("abc") | {"serving_default", "ends"}
        outputs = saved.run("ends", {"x": rows})
    assert set(outputs) == {"a", "c"}
    for key, y in outputs.items():
        np.testing.assert_allclose(y, expected[key], rtol=1e-5)
    loaded = tf.saved_model.load(str(path))
    shapes = {tuple(v.shape) for v in loaded.signatures["ends"].variables}
    assert (4, 1) in shapes and (4, 3) in shapes and (4, 2) not in shapes


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": ["b"]}, "must be none of a task or of another.*'a'; rename"),
        ({"serving_default": ["b"]}, "must be none of a task"),
        ({"my group": ["b"]}, "name in `groups` 'my group'; rename the group"),
        ({"g": ["b", "d"]}, r"`groups\['g'\]` must be a list of tasks"),
        ({"g": []}, r"`groups\['g'\]` must be a list of tasks"),
        ({"g": "b"}, r"`groups\['g'\]` must be a list of tasks"),
    ],
)
def test_groups_that_do_not_suit(tmp_path, groups, message):
    with pytest.raises(ValueError, match=message):
        export(three_tasks(), tmp_path, groups=groups)


def test_tf_examples_of_many_dtypes(tmp_path):
    x = keras.Input((2, 2), name="x")
    flag = keras.Input((1,), dtype="bool", name="flag")
    ids = keras.Input((None,), dtype="int32", name="ids")
    word = keras.Input((), dtype="string", name="word")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
    h = keras.layers.Concatenate()(
        [
            keras.layers.Flatten()(x),
            keras.ops.cast(flag, "float32"),
            keras.layers.GlobalAveragePooling1D()(
                keras.layers.Embedding(9, 2)(ids)
            ),
            keras.ops.cast(lookup(word)[:, None], "float32"),
        ]
    )
    model = keras.Model([x, flag, ids, word], {"y": keras.layers.Dense(1)(h)})
    inputs = {
        "x": np.arange(8, dtype="f").reshape(2, 2, 2),
        "flag": np.array([[True], [False]]),
        "ids": np.array([[8, 1, 2], [3, 4, 0]], "int32"),
        "word": np.array([b"b", b"?"], object),
    }
    path = export(model, tmp_path, examples=True)
    with open_session(path) as saved:
        info = saved.signatures["serving_examples"].inputs
        assert info == {"examples": TensorInfo("string", (None,))}
        plain = saved.run("serving_default", inputs)["y"]
        rows = serialized_examples(inputs)
        parsed = saved.run("serving_examples", {"examples": rows})["y"]
    np.testing.assert_allclose(parsed, plain, rtol=1e-6)
    report = check(path)
    assert report.ok, report


def test_short_rows_are_filled_up():
    rows = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "ids": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=values)
                    )
                }
            )
        ).SerializeToString()
        for values in ([1, 2, 3], [4])
    ]
    specs = {"ids": tf.TensorSpec((None, None), tf.int32)}
    ids = parse_examples(tf.constant(rows), specs)["ids"]
    assert ids.dtype == tf.int32
    assert ids.numpy().tolist() == [[1, 2, 3], [4, 0, 0]]


def test_open_sizes_that_a_list_cannot_tell(tmp_path):
    x = keras.Input((None, None, 3), name="image")
    h = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(x, {"a": keras.layers.Dense(1)(h)})
    with pytest.raises(ValueError, match=r"`examples=True` needs.*'image'"):
        export(model, tmp_path, examples=True)


def test_a_task_with_the_name_of_a_signature(tmp_path):
    x = keras.Input((2,), name="x")
    model = keras.Model(x, {"serving_examples": keras.layers.Dense(1)(x)})
    with pytest.raises(ValueError, match="not be called 'serving_examples'"):
        export(model, tmp_path)


def test_raw_strings(text_model, tmp_path):
    path = export(text_model, tmp_path, examples=True)
    texts = np.array([b"a b", b"C!", b""], object)
    expected = text_model.predict(tf.constant(texts), verbose=0)["tone"]
    with open_session(path) as saved:
        raw = saved.run("tone", {"text": texts})["tone"]
        parsed = saved.run(
            "serving_examples",
            {"examples": serialized_examples({"text": texts})},
        )["tone"]
    np.testing.assert_allclose(raw, expected, rtol=1e-5)
    np.testing.assert_allclose(parsed, expected, rtol=1e-5)
