import contextlib
import errno
import importlib
import json
import os
import re
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl.serving import export
from keras_mtl.serving.examples import made_inputs
from keras_mtl.serving.session import open_session
from keras_mtl.serving.verification import verify
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training.model import MultiTaskModel

# The package's attribute `export` is the function, not the module.
export_module = importlib.import_module("keras_mtl.serving.export")


def run(path, name, **inputs):
    with open_session(path) as model:
        return model.run(name, inputs)


def stored_variables(path):
    return {
        name
        for name, _ in tf.train.list_variables(
            str(path / "variables/variables")
        )
        if name.endswith("VARIABLE_VALUE")
    }


def shapes_read_by(path, signature):
    """Shapes of the variables that a signature's function takes."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        definition = meta.signature_def[signature]
        (call,) = {
            graph.get_tensor_by_name(t.name).op
            for t in definition.outputs.values()
        }
        return sorted(
            tuple(d.size for d in tensor.op.get_attr("shape").dim)
            for tensor in call.inputs
            if tensor.op.type == "VarHandleOp"
        )


def test_numbers_equal_predict(exported, rows):
    model, path = exported
    expected = model.predict(rows, verbose=0)
    together = run(path, "serving_default", x=rows)
    assert set(together) == {"left", "right"}
    for key, y in expected.items():
        np.testing.assert_allclose(together[key], y, rtol=1e-6)
        alone = run(path, key, x=rows)
        assert list(alone) == [key]
        np.testing.assert_allclose(alone[key], y, rtol=1e-6)


def test_weights_are_stored_once(two_tasks, tmp_path):
    model = two_tasks(width=20_000)
    path = export(model, tmp_path)
    size = sum(w.numpy().nbytes for w in model.weights)
    stored = sum(f.stat().st_size for f in (path / "variables").iterdir())
    assert size < stored < size + 10_000
    assert len(stored_variables(path)) == len(model.weights) == 6


def test_signature_of_a_task_reads_no_other_head(exported):
    _, path = exported
    trunk, left, right = [(4, 5), (5,)], [(5, 3), (3,)], [(5, 1), (1,)]
    assert shapes_read_by(path, "left") == sorted(trunk + left)
    assert shapes_read_by(path, "right") == sorted(trunk + right)
    assert shapes_read_by(path, "serving_default") == sorted(
        trunk + left + right
    )


class Balanced(keras.Model):
    """A model that owns more than its layers do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.balancer = keras.layers.Dense(7)
        self.balancer.build((None, 7))
        self.balancer.trainable = False
        self.state = self.add_weight(shape=(11,), name="state", trainable=False)
        self.tasks = TaskSet(
            [
                Task("left", "multiclass", units=3, class_names=list("abc")),
                Task("right", "regression", unit="years"),
            ]
        )


def test_balancer_and_optimizer_stay_out(two_tasks, tmp_path, rows):
    plain = two_tasks()
    model = Balanced(plain.input, plain.output)
    model.compile(
        "adam", loss={"left": "sparse_categorical_crossentropy", "right": "mse"}
    )
    model.fit(rows, {"left": np.zeros(6), "right": np.ones((6, 1))}, verbose=0)
    assert len(model.optimizer.variables) > 6
    path = export(model, tmp_path)
    assert len(stored_variables(path)) == 6
    for key, y in model.predict(rows, verbose=0).items():
        np.testing.assert_allclose(run(path, key, x=rows)[key], y, rtol=1e-6)
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert card == {
        "keras_mtl_version": keras_mtl._version.__version__,
        "tasks": [
            {
                "name": "left",
                "kind": "multiclass",
                "unit": None,
                "class_names": ["a", "b", "c"],
                "shape": [None, 3],
                "dtype": "float32",
            },
            {
                "name": "right",
                "kind": "regression",
                "unit": "years",
                "class_names": None,
                "shape": [None, 1],
                "dtype": "float32",
            },
        ],
        "inputs": [{"name": "x", "shape": [None, 4], "dtype": "float32"}],
    }


def test_learned_balancer_stays_out(two_tasks, tmp_path, rows):
    plain = two_tasks()
    model = MultiTaskModel.from_model(
        plain,
        tasks=[
            Task("left", "multiclass", units=3),
            Task("right", "regression"),
        ],
    )
    model.compile("adam", balancer="uncertainty")
    model.fit(rows, {"left": np.zeros(6), "right": np.ones((6, 1))}, verbose=0)
    path = export(model, tmp_path)
    assert len(model.trainable_variables) > 6
    assert len(stored_variables(path)) == 6
    for key, y in model.predict(rows, verbose=0).items():
        np.testing.assert_allclose(run(path, key, x=rows)[key], y, rtol=1e-6)


def test_versions_count_up(model, tmp_path):
    path = tmp_path / "deep" / "model"
    assert export(model, path) == path / "1"
    assert export(model, path, version=7).name == "7"
    (path / "notes").mkdir()
    assert export(model, str(path)).name == "8"
    assert sorted(os.listdir(path)) == ["1", "7", "8", "notes"]


def test_version_that_is_taken(model, exported):
    _, path = exported
    with pytest.raises(FileExistsError, match=r"`version` must be free.*=1,"):
        export(model, path.parent, version=1)


@pytest.mark.parametrize("version", [0, -1, "2", True, 1.0])
def test_version_that_is_no_number(model, tmp_path, version):
    with pytest.raises(ValueError, match="`version` must be a positive"):
        export(model, tmp_path, version=version)


def test_concurrent_exports_take_different_numbers(
    model, tmp_path, monkeypatch
):
    # Both look at the directory before either of them has its number.
    barrier = threading.Barrier(2)
    looked = threading.local()
    versions = export_module.versions

    def look(path):
        found = versions(path)
        if not getattr(looked, "once", False):
            looked.once = True
            barrier.wait()
        return found

    monkeypatch.setattr(export_module, "versions", look)
    published = []
    sources = [tmp_path / ".a", tmp_path / ".b"]

    def publish(source):
        source.mkdir()
        (source / "file").write_text(source.name)
        published.append(
            export_module._publish(source, tmp_path / "model", None)
        )

    (tmp_path / "model").mkdir()
    threads = [threading.Thread(target=publish, args=[s]) for s in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.name for p in published) == ["1", "2"]
    assert {(p / "file").read_text() for p in published} == {".a", ".b"}


def test_several_inputs_of_several_dtypes(tmp_path):
    x = keras.Input((3,), name="num.x")
    flag = keras.Input((2,), dtype="bool", name="flag")
    ids = keras.Input((None,), dtype="int32", name="ids")
    word = keras.Input((1,), dtype="string", name="word")
    text = keras.Input((), dtype="string", name="text")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
    vectorize = keras.layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(["a b", "a"])

    def embed(t, n):
        h = keras.layers.Embedding(n, 2)(t)
        return keras.layers.GlobalAveragePooling1D()(h)

    h = keras.layers.Concatenate()(
        [
            x,
            keras.ops.cast(flag, "float32"),
            embed(ids, 9),
            embed(lookup(word), lookup.vocabulary_size()),
            embed(vectorize(text), vectorize.vocabulary_size()),
        ]
    )
    model = keras.Model(
        {"word": word, "num.x": x, "flag": flag, "ids": ids, "text": text},
        {
            "from_all": keras.layers.Dense(1)(h),
            "from_x": keras.layers.Dense(2)(x),
        },
    )
    path = export(model, tmp_path)
    inputs = {
        "num.x": np.ones((2, 3), "float32"),
        "flag": np.array([[True, False]] * 2),
        "ids": np.array([[8, 1, 0], [2, 2, 2]], "int32"),
        "word": np.array([["a"], ["?"]], object),
        "text": np.array(["b a", ""], object),
    }
    fed = {k: tf.constant(v) for k, v in inputs.items()}
    expected = model.predict(fed, verbose=0)
    for name in ("serving_default", "from_all", "from_x"):
        for key, y in run(path, name, **inputs).items():
            np.testing.assert_allclose(y, expected[key], rtol=1e-5)
    with open_session(path) as loaded:
        infos = loaded.signatures["from_x"].inputs
    assert {k: (i.dtype, i.shape) for k, i in infos.items()} == {
        "num.x": ("float32", (None, 3)),
        "flag": ("bool", (None, 2)),
        "ids": ("int32", (None, None)),
        "word": ("string", (None, 1)),
        "text": ("string", (None,)),
    }


def test_normalization_and_dropout_infer(tmp_path):
    x = keras.Input((8, 8, 1), name="image")
    h = keras.layers.Conv2D(3, 3)(x)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.GaussianNoise(1.0)(h)
    h = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.5)(h))
    model = keras.Model(x, {"a": keras.layers.Dense(1)(h)})
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("f")
    model.compile("sgd", "mse")
    model.fit(images, {"a": np.ones((5, 1))}, verbose=0)
    path = export(model, tmp_path)
    np.testing.assert_allclose(
        run(path, "a", image=images)["a"],
        model.predict(images, verbose=0)["a"],
        rtol=1e-5,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_float32_outside(tmp_path, policy):
    dtype = policy.removeprefix("mixed_")
    x = keras.Input((4,), name="x", dtype=dtype)
    h = keras.layers.Dense(8, dtype=policy)(x)
    model = keras.Model(
        x,
        {
            "half": keras.layers.Dense(2, dtype=policy)(h),
            "full": keras.layers.Dense(2, dtype="float32")(h),
        },
    )
    path = export(model, tmp_path)
    rows = np.ones((2, 4), "float32")
    expected = model.predict(rows, verbose=0)
    assert expected["half"].dtype.name == dtype
    for key, y in run(path, "serving_default", x=rows).items():
        assert y.dtype == np.float32
        np.testing.assert_allclose(
            y, expected[key].astype("float32"), rtol=2e-2
        )
    with open_session(path) as loaded:
        assert loaded.signatures["half"].inputs["x"].dtype == "float32"


@keras.saving.register_keras_serializable("tests")
class Sampling(keras.layers.Layer):
    """Draws at inference too."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1)
        self.scale = scale

    def call(self, x):
        noise = keras.random.normal(
            keras.ops.shape(x), seed=self.seed_generator
        )
        return x + self.scale * noise


def sampling_model(scale):
    x = keras.Input((4,), name="x")
    return keras.Model(x, {"a": Sampling(scale)(x)})


def test_seed_generator_is_exported(tmp_path):
    path = export(sampling_model(1e-9), tmp_path)
    assert len(stored_variables(path)) == 1


def test_different_numbers_fail_and_leave_nothing(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"computes something else.*output 'a' of signature .* batch of 1",
    ):
        export(sampling_model(1.0), tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["_verify", "_write_extras", "_publish"])
def test_failure_in_the_middle_leaves_nothing(
    model, tmp_path, monkeypatch, step
):
    def fail(*args):
        assert [n[0] for n in os.listdir(tmp_path)] == ["."]
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, step, fail)
    with pytest.raises(KeyboardInterrupt):
        export(model, tmp_path)
    assert os.listdir(tmp_path) == []


def test_full_disk(model, tmp_path, monkeypatch):
    def save(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(
            None, None, "x; No space left on device"
        )

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(OSError, match="Cannot write to `path`: No space"):
        export(model, tmp_path)

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Cannot write to `path`: No space"):
        export(model, tmp_path)
    assert os.listdir(tmp_path) == []


def test_path_that_is_a_file(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Cannot write to `path`.*choose a dir"):
        export(model, tmp_path / "file")


FRESH = """
import sys
import numpy as np
import tensorflow as tf
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], sys.argv[1])
    d = meta.signature_def["right"]
    y = session.run(
        d.outputs["right"].name, {d.inputs["x"].name: np.ones((2, 4))}
    )
assert "keras_mtl" not in sys.modules
print(y.ravel().tolist())
"""


def test_loads_in_a_fresh_process(exported):
    model, path = exported
    out = subprocess.run(
        [sys.executable, "-c", FRESH, str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    expected = model.predict(np.ones((2, 4)), verbose=0)["right"].ravel()
    np.testing.assert_allclose(json.loads(out), expected, rtol=1e-6)


def test_made_inputs_fit_unknown_sizes(exported):
    _, path = exported
    with open_session(path) as loaded:
        infos = loaded.signatures["left"].inputs
    once, again = (made_inputs(infos, 3)["x"] for _ in range(2))
    assert once.shape == (3, 4) and once.dtype == np.float32
    np.testing.assert_array_equal(once, again)


def outputs_named(*keys, input_name="x"):
    x = keras.Input((2,), name=input_name)
    return keras.Model(x, {k: keras.layers.Dense(1)(x) for k in keys})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: outputs_named("serving_default"), "not be called 'serving_"),
        (lambda: outputs_named("my task"), "output key 'my task'; rename"),
        (lambda: outputs_named("__a"), "output key '__a'; rename the task"),
        (lambda: outputs_named("é"), "output key 'é'; rename the task"),
        (
            lambda: outputs_named("a", input_name="my x"),
            "input name 'my x'; rename the keras.Input",
        ),
        (
            lambda: keras.Sequential([keras.Input((2,))]),
            "must be a Functional model whose outputs are a dict",
        ),
        (
            lambda: keras.Model(*[keras.Input((2,))] * 2),
            "must be a Functional model whose outputs are a dict",
        ),
        (lambda: 3, r"Received: int with outputs None"),
    ],
)
def test_models_that_do_not_suit(tmp_path, build, message):
    with pytest.raises(ValueError, match=message):
        export(build(), tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_model_that_cannot_run_on_made_inputs(tmp_path):
    x = keras.Input((), dtype="string", name="x")
    layer = keras.layers.Lambda(
        lambda s: tf.strings.to_number(s), output_shape=()
    )
    model = keras.Model(x, {"a": layer(x)})
    with pytest.raises(
        ValueError, match=re.escape("fails on inputs of the shapes {'x': (1,)}")
    ):
        export(model, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_model_around_another_is_told_its_tasks(two_tasks, tmp_path):
    tasks = TaskSet(
        [
            Task("left", "multiclass", units=3, class_names=["a", "b", "c"]),
            Task("right", "regression", unit="m"),
        ]
    )
    inner = two_tasks()
    outputs = {**inner.output, "best": keras.ops.argmax(inner.output["left"])}
    outer = keras.Model(inner.input, outputs)
    path = export(outer, tmp_path, tasks=tasks)
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert [t["name"] for t in card["tasks"]] == ["left", "right", "best"]
    assert [t["unit"] for t in card["tasks"]] == [None, "m", None]
    assert card["tasks"][0]["class_names"] == ["a", "b", "c"]
    assert card["tasks"][2]["kind"] is None


class Tables(keras.layers.Layer):
    """Lookups that TensorFlow does not find: in a list and in a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookups = [keras.layers.StringLookup(vocabulary=["a", "b"])]
        keys = tf.constant(["a", "c"])
        self.tables = {
            "bare": [
                tf.lookup.StaticHashTable(
                    tf.lookup.KeyValueTensorInitializer(
                        keys, tf.constant([5, 7])
                    ),
                    -1,
                )
            ]
        }

    def call(self, x):
        found = keras.ops.cast(self.lookups[0](x), "int32")
        return found + self.tables["bare"][0].lookup(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "int32")


def test_tables_in_lists_are_exported(tmp_path):
    x = keras.Input((1,), dtype="string", name="x")
    path = export(keras.Model(x, {"y": Tables()(x)}), tmp_path)
    y = run(path, "y", x=np.array([["a"], ["c"], ["d"]], object))["y"]
    assert y.tolist() == [[6], [7], [-1]]


@pytest.mark.parametrize("rtol", [1e-5, 1e-4])
def test_indices_must_be_equal_at_full_precision_alone(two_tasks, rows, rtol):
    inner = two_tasks()
    model = keras.Model(
        inner.input, {"best": keras.ops.argmax(inner.output["left"], -1)}
    )
    best = model.predict(rows, verbose=0)["best"]

    def check(answer):
        verify(
            {"it": lambda inputs: {"best": answer}}, model, {"x": rows}, rtol
        )

    check(best)
    for wrong in (best.astype("float32"), best[:-1]):
        with pytest.raises(ValueError, match="something else"):
            check(wrong)
    strict = pytest.raises(ValueError, match="something else")
    with strict if rtol == 1e-5 else contextlib.nullcontext():
        check((best + 1) % 3)
