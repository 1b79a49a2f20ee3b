"""Every contract of a builder, run over every row of the case table."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import MultiTaskModel, Task, builders
from keras_mtl.graph import unroll

from .cases import CASES

# The first row of each builder; the others are slow, for they compile a step.
_FIRST = {case.name: case for case in reversed(CASES)}
each_case = pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.test_id,
            marks=() if _FIRST[case.name] is case else pytest.mark.slow,
        )
        for case in CASES
    ],
)
# What every change is tried on; the others are slow.
_FAST = ("none", "gradient")
# One method of each contract.
BALANCERS = {
    "none": None,
    "loss": "uncertainty",
    "gradient": "mgda",
    "features": {
        "class_name": "keras_mtl>MGDA",
        "config": {"wrt": "features"},
    },
    "coordinate": "graddrop",
    "tracking": "moco",
}


def data(model, batch=8, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(batch, *model.input_shape[1:])).astype("float32")
    y = {}
    for name, task in model.given_tasks.items():
        if task.kind == "regression":
            y[name] = draw.normal(size=batch).astype("float32")
        else:
            y[name] = draw.integers(0, task.units or 2, size=batch)
    return x, y


def test_registry_exports_and_rows_name_the_same_builders():
    exported = {
        entry
        for name, entry in vars(builders).items()
        if name in builders.__all__ and name in builders.registry
    }
    assert exported == {builders.registry[name] for name in builders.registry}
    assert {case.name for case in CASES} == set(builders.registry)


@pytest.mark.parametrize("name", list(builders.registry))
def test_all_builders_begin_with_the_same_arguments(name):
    parameters = inspect.signature(builders.registry[name]).parameters
    assert list(parameters)[:4] == ["inputs", "tasks", "blocks", "depth"]
    assert list(parameters)[-1] == "name"
    for parameter in list(parameters.values())[3:]:
        assert parameter.default is not inspect.Parameter.empty


@each_case
def test_outputs_are_the_tasks_in_float32(case):
    model = case.build(name="tried")
    assert isinstance(model, MultiTaskModel)
    assert model.name == "tried"
    assert list(model.output) == [task.name for task in case.tasks()]
    x, _ = data(model)
    for name, y in model.predict(x, verbose=0).items():
        assert y.shape == (len(x), *model.output[name].shape[1:])
        assert y.dtype == "float32"
        assert np.isfinite(y).all()


@pytest.mark.slow
@each_case
def test_a_single_task_can_be_built_and_trained(case):
    task = case.tasks()[0]
    arguments = {
        key: {task.name: value[task.name]} if isinstance(value, dict) else value
        for key, value in case.arguments.items()
        if key != "tree"
    }
    model = builders.registry[case.name](
        **{
            "inputs": keras.Input(case.shape),
            "blocks": case.blocks(),
            **arguments,
            "tasks": [task],
        }
    )
    model.compile("adam")
    assert np.isfinite(model.fit(*data(model), verbose=0).history["loss"][0])


@pytest.mark.slow
@each_case
def test_saved_loaded_and_trained_on(case, tmp_path):
    model = case.build()
    model.compile("adam", balancer="pcgrad" if case.shares else None)
    x, y = data(model)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, expected in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0)[name], expected, rtol=1e-6
        )
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    loaded.fit(x, y, verbose=0)


@each_case
def test_variables_by_task_is_what_the_tape_says(case):
    model = case.build()
    x, _ = data(model, batch=16)
    declared = model.variables_by_task()
    assert list(declared) == list(model.output)
    trainable = model.trainable_variables
    # At one point a gate or a ReLU may be shut: gradients at several.
    reached = {name: set() for name in declared}
    for seed in range(3):
        draw = np.random.default_rng(seed)
        for v in trainable:
            noise = draw.normal(size=v.shape) * 0.3
            v.assign_add(noise.astype("float32"))
        with tf.GradientTape(persistent=True) as tape:
            outputs = model(x, training=True)
            sums = {k: tf.reduce_sum(tf.sin(3 * y)) for k, y in outputs.items()}
        for name, total in sums.items():
            gradients = tape.gradient(total, [v.value for v in trainable])
            reached[name] |= {
                v.path
                for v, g in zip(trainable, gradients, strict=True)
                if g is not None and np.any(tf.convert_to_tensor(g) != 0)
            }
    assert {k: {v.path for v in vs} for k, vs in declared.items()} == reached
    several = [
        path
        for path in {p for paths in reached.values() for p in paths}
        if sum(path in paths for paths in reached.values()) > 1
    ]
    assert bool(several) == case.shares


@each_case
@pytest.mark.parametrize(
    "balancer",
    [
        pytest.param(
            balancer,
            id=kind,
            marks=() if kind in _FAST else pytest.mark.slow,
        )
        for kind, balancer in BALANCERS.items()
    ],
)
def test_trains_with_a_method_of_each_contract(case, balancer):
    if balancer is not None and not case.shares:
        pytest.skip("the tasks share no variable to balance")
    model = case.build()
    model.compile(keras.optimizers.Adam(0.03), balancer=balancer)
    x, y = data(model, batch=32)
    before = {v.path: np.array(v) for v in model.trainable_variables}
    history = model.fit(x, y, batch_size=32, epochs=8, verbose=0).history
    names = [task.name for task in case.tasks()]
    first, last = (
        sum(history[f"{name}_loss"][i] for name in names) for i in (0, -1)
    )
    assert np.isfinite(last)
    # Eight steps are too few for a method that first has to learn to track.
    assert last < first or balancer == "moco"
    for v in model.trainable_variables:
        if v.path in before:
            assert not np.array_equal(before[v.path], np.array(v)), v.path


@pytest.mark.slow
@each_case
def test_trains_under_xla(case):
    model = case.build()
    model.compile("adam", jit_compile=True)
    assert np.isfinite(model.fit(*data(model), verbose=0).history["loss"][0])


@pytest.mark.slow
@each_case
def test_trains_in_mixed_precision(case):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = case.build()
        model.compile("adam", balancer="mgda" if case.shares else None)
        history = model.fit(*data(model), verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"][0])
    assert {y.dtype for y in model.output.values()} == {"float32"}


@pytest.mark.slow
@each_case
def test_exported_it_gives_what_predict_gives(case, tmp_path):
    model = case.build()
    path = keras_mtl.export(model, tmp_path / "exported")
    x, _ = data(model, batch=3)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    for name, expected in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(
            served(tf.constant(x))[name], expected, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    "name", sorted({*builders.registry} - {"esmm", "aitm"})
)
def test_masks_reach_every_head_and_padding_changes_nothing(name):
    keras.utils.set_random_seed(0)
    model = builders.registry[name](
        keras.Input((None,), dtype="int32"),
        [Task("a", "tagging", units=3), Task("b", "tagging", units=2)],
        [
            keras.layers.Embedding(9, 4, mask_zero=True, name="tokens"),
            keras.layers.Dense(4, activation="tanh", name="low"),
            keras.layers.Dense(4, activation="tanh", name="high"),
        ],
        depth=1,
    )
    x = np.array([[3, 1, 4], [1, 5, 0]])
    padded = np.pad(x, ((0, 0), (0, 2)))
    found, there = model(padded), x != 0
    for key, expected in model(x).items():
        mask = np.asarray(found[key]._keras_mask)
        np.testing.assert_array_equal(mask, padded != 0)
        np.testing.assert_allclose(
            np.asarray(found[key])[:, :3][there],
            np.asarray(expected)[there],
            rtol=1e-5,
        )


@each_case
def test_layers_have_names_that_say_what_they_are(case):
    model = case.build()
    given = {layer.name for layer in case.blocks()} | {"x"}
    names = [task.name for task in case.tasks()]
    for layer in model.layers:
        assert (
            layer.name in given
            or any(layer.name.startswith(name) for name in names)
            or layer.name.startswith(("shared", "expert", "branch"))
        ), layer.name
    printed: list[str] = []
    model.summary(line_length=100, print_fn=printed.append)
    for layer in model.layers:
        assert f" {layer.name} " in "".join(printed)


@pytest.mark.parametrize("name", list(builders.registry))
def test_keras_plots_every_layer_by_its_name(name):
    pytest.importorskip("pydot", reason="needs pydot")
    model = _FIRST[name].build()
    dot = keras.utils.model_to_dot(model, show_layer_names=True)
    labels = {n.get_name(): n.get("label") for n in dot.get_nodes()}
    for layer in model.layers:
        kind = type(layer).__name__
        assert f"<b>{layer.name}</b> ({kind})" in labels[str(id(layer))]
    graph = unroll(model, nested=False)
    source = dict.fromkeys(graph.inputs, model.get_layer("x"))
    for step in graph.steps:
        source.update(dict.fromkeys(step.outputs, step.operation))
    drawn = {(e.get_source(), e.get_destination()) for e in dot.get_edges()}
    assert drawn == {
        (str(id(source[slot])), str(id(step.operation)))
        for step in graph.steps
        for slot in step.inputs.values()
    }


@pytest.mark.parametrize("name", list(builders.registry))
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tasks": []}, "`tasks` must hold at least one"),
        ({"tasks": ["a"]}, "`tasks` must hold keras_mtl.Task objects"),
        ({"blocks": 3}, "`blocks` must be a list"),
        ({"blocks": [3]}, "`blocks` must hold Keras layers"),
        ({"depth": 17}, "`depth`.*Received: 17"),
        ({"depth": -1}, "`depth`.*Received: -1"),
        ({"depth": True}, "`depth`.*Received: True"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused(name, changed, message):
    case = next(case for case in CASES if case.name == name)
    with pytest.raises(ValueError, match=message):
        case.build(**changed)


@pytest.mark.parametrize("name", list(builders.registry))
def test_two_blocks_of_one_name_and_a_block_named_as_a_task(name):
    case = next(case for case in CASES if case.name == name)
    twice = [keras.layers.Dense(8, name="same") for _ in range(2)]
    with pytest.raises(ValueError, match="'same' twice"):
        case.build(blocks=twice)
    task = case.tasks()[0].name
    with pytest.raises(ValueError, match="must not be named as a task"):
        case.build(blocks=[keras.layers.Dense(8, name=task)])
