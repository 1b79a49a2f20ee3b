"""What is read out of models: which arrays, under which names."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import builders
from tests.builders.cases import dense_blocks, tasks

X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")


def build(name, **options):
    keras.utils.set_random_seed(0)
    return builders.registry[name](
        keras.Input((6,)), tasks(), dense_blocks()[:2], **options
    )


ROWS = {
    # builder: (array of task "b", its shape, whether it needs data)
    "cross_stitch": ("b_low_stitch", (3,), False),
    "sluice": ("b_mixture", (2,), False),
    "mmoe": ("b_gate", (5, 8), True),
    "dselect_k": ("b_gate", (5, 8), True),
    "mtan": ("b_low_mask", (5, 8), True),
    "conditioned": ("b_low_film/gamma", (8,), False),
    "branching": ("b_choice", (3,), False),
    "adashare": ("b_middle_choice", (2,), False),
}


@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=ROWS)
def test_arrays_have_the_names_of_their_layers(name, row):
    key, shape, needs_data = row
    model = build(name, depth=1 if name == "adashare" else 0)
    without, arrays = (keras_mtl.inspect_sharing(model, x) for x in (None, X))
    assert (key in without) is not needs_data, list(without)
    assert key in arrays, list(arrays)
    assert arrays[key].shape == shape
    for values in arrays.values():
        assert isinstance(values, np.ndarray)
        assert np.isfinite(values).all()


def test_gates_are_what_the_gate_gives():
    model = build("mmoe")
    arrays = keras_mtl.inspect_sharing(model, X)
    assert list(arrays) == ["a_gate", "b_gate", "c_gate"]
    logits = X @ np.array(model.get_layer("b_gate").kernel)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(arrays["b_gate"], expected, rtol=1e-5)


def test_a_plain_trunk_has_nothing_to_show():
    assert keras_mtl.inspect_sharing(build("hard_sharing"), X) == {}


def test_only_a_multi_task_model_can_be_inspected():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`model` must be a keras_mtl\.Multi"):
        keras_mtl.inspect_sharing(model)
