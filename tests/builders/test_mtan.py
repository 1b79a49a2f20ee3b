"""MTAN: modules by hand, resolutions that follow, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders

TASKS = [Task("a", "binary"), Task("b", "regression")]


def dense_blocks():
    return [
        layers.Dense(4, activation="tanh", name="low"),
        layers.Dense(5, activation="tanh", name="high"),
    ]


def build(shape=(3,), **arguments):
    keras.utils.set_random_seed(0)
    model = builders.mtan(
        **{
            "inputs": keras.Input(shape),
            "tasks": TASKS,
            "blocks": dense_blocks(),
            **arguments,
        }
    )
    draw = np.random.default_rng(1)
    for v in model.variables:
        # Away from ones and zeros, so that every weight counts.
        v.assign_add(draw.uniform(0.1, 0.4, size=v.shape))
    return model


def arrays(layer):
    return [np.array(w) for w in layer.weights]


def normalized(x, norm):
    gamma, beta, mean, variance = arrays(norm)
    return gamma * (x - mean) / np.sqrt(variance + norm.epsilon) + beta


def mask(layer, x):
    inner = normalized(x @ np.array(layer.inner_kernel), layer.inner_norm)
    outer = np.maximum(inner, 0) @ np.array(layer.outer_kernel)
    return 1 / (1 + np.exp(-normalized(outer, layer.outer_norm)))


def test_outputs_by_hand():
    model = build()
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")

    def dense(name, h):
        kernel, bias = arrays(model.get_layer(name))
        return h @ kernel + bias

    low = np.tanh(dense("low", x))
    high = np.tanh(dense("high", low))
    outputs = model.predict(x, verbose=0)
    for key in "ab":
        attended = mask(model.get_layer(f"{key}_low_mask"), low) * low
        kernel = model.get_layer("shared_high_carry_dense").kernel
        norm = model.get_layer("shared_high_carry_norm")
        carried = np.maximum(normalized(attended @ np.array(kernel), norm), 0)
        both = np.concatenate([high, carried], axis=1)
        attended = mask(model.get_layer(f"{key}_high_mask"), both) * high
        logits = dense(key, attended)
        expected = 1 / (1 + np.exp(-logits)) if key == "a" else logits
        np.testing.assert_allclose(outputs[key], expected, rtol=1e-4)


def test_masks_are_outputs_of_layers():
    model = build()
    masks = keras.Model(
        model.input,
        {key: model.get_layer(f"{key}_high_mask").output for key in "ab"},
    )
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    values = masks.predict(x, verbose=0)
    for value in values.values():
        assert value.shape == (6, 5)
        assert (value > 0).all() and (value < 1).all()
    assert np.abs(values["a"] - values["b"]).max() > 1e-3


def test_backbone_and_carry_are_shared_and_masks_are_not():
    split = build().variables_by_task()
    layers_of = {
        key: {v.path.split("/")[0] for v in variables}
        for key, variables in split.items()
    }
    carry = "shared_high_carry"
    common = {"low", "high", f"{carry}_dense", f"{carry}_norm"}
    for key in "ab":
        assert layers_of[key] == common | {
            f"{key}_low_mask",
            f"{key}_high_mask",
            key,
        }


def conv(filters, name, **arguments):
    return layers.Conv2D(
        filters, 3, name=name, **{"padding": "same", **arguments}
    )


RESOLUTIONS = {
    "halved": (
        (8, 8, 2),
        [conv(3, "one"), conv(4, "two", strides=2)],
        ["conv", "norm", "relu", "pooling"],
    ),
    "odd": (
        (7, 5, 2),
        [conv(3, "one"), conv(4, "two", strides=2)],
        ["conv", "norm", "relu", "pooling"],
    ),
    "one_axis": (
        (8, 8, 2),
        [conv(3, "one"), conv(4, "two", strides=(1, 4))],
        ["conv", "norm", "relu", "pooling"],
    ),
    "enlarged": (
        (4, 4, 2),
        [
            conv(3, "one"),
            layers.Conv2DTranspose(2, 3, 2, padding="same", name="two"),
        ],
        ["enlarge", "conv", "norm", "relu"],
    ),
    "pooled_between": (
        (8, 8, 2),
        [conv(3, "one"), layers.MaxPooling2D(name="pool"), conv(4, "two")],
        ["conv", "norm", "relu"],
    ),
    "of_any_size": (
        (None, None, 2),
        [conv(3, "one"), conv(4, "two")],
        ["conv", "norm", "relu"],
    ),
    "to_vectors": (
        (4, 4, 2),
        [
            conv(3, "one"),
            keras.Sequential([layers.Flatten(), layers.Dense(6)], name="two"),
        ],
        ["mean", "dense", "norm", "relu"],
    ),
    "sequences": (
        (8, 2),
        [
            layers.Conv1D(3, 3, padding="same", name="one"),
            layers.Conv1D(3, 3, strides=2, padding="same", name="two"),
        ],
        ["conv", "norm", "relu", "pooling"],
    ),
    "volumes": (
        (4, 4, 2, 2),
        [
            layers.Conv3D(3, 3, padding="same", name="one"),
            layers.Conv3D(3, 3, strides=(2, 2, 1), padding="same", name="two"),
        ],
        ["conv", "norm", "relu", "pooling"],
    ),
}


@pytest.mark.parametrize(
    ("shape", "blocks", "carry"), RESOLUTIONS.values(), ids=RESOLUTIONS
)
def test_the_carry_follows_the_resolution(shape, blocks, carry):
    ending = []
    if blocks[-1].name == "two" and not isinstance(
        blocks[-1], keras.Sequential
    ):
        pool = (
            layers.GlobalAveragePooling1D,
            layers.GlobalAveragePooling2D,
            layers.GlobalAveragePooling3D,
        )[len(shape) - 2]
        ending = [pool(name="ending")]
    blocks = [type(b).from_config(b.get_config()) for b in [*blocks, *ending]]
    model = build(shape, blocks=blocks)
    names = [layer.name for layer in model.layers]
    start = "shared_two_carry_"
    assert [n[len(start) :] for n in names if n.startswith(start)] == carry
    x = np.ones((2, *(4 if d is None else d for d in shape)), "float32")
    for y in model.predict(x, verbose=0).values():
        assert y.shape == (2, 1) and np.isfinite(y).all()


def test_blocks_without_weights_have_no_mask():
    blocks = [
        conv(3, "one"),
        layers.Dropout(0.5, name="drop"),
        layers.Flatten(name="flat"),
    ]
    names = [layer.name for layer in build((4, 4, 2), blocks=blocks).layers]
    assert [n for n in names if n.endswith("_mask")] == [
        "a_one_mask",
        "b_one_mask",
    ]


def test_depth_comes_before_the_first_mask():
    model = build(depth=1)
    names = [layer.name for layer in model.layers]
    assert "a_low_mask" not in names
    assert not any("carry" in name for name in names)
    # Without features from before, the mask is of the block's own alone.
    assert model.get_layer("a_high_mask").inner_kernel.shape == (5, 5)


def test_without_batch_norm_there_are_biases_and_no_state():
    model = build(batch_norm=False)
    assert not model.non_trainable_variables
    assert model.get_layer("shared_high_carry_dense").use_bias


class Twice(layers.Layer):
    def call(self, x):
        return x, x


BAD = {
    "does_not_divide": (
        {
            "shape": (8, 8, 2),
            "blocks": [conv(3, "one"), conv(3, "two", padding="valid")],
        },
        r"attend to before 'two'.*do not divide.*padding=\"same\".*8.*6",
    ),
    "another_rank": (
        {
            "shape": (4, 4, 2),
            "blocks": [
                conv(3, "one"),
                keras.Sequential(
                    [layers.Reshape((16, 3)), layers.Dense(2)], name="two"
                ),
            ],
        },
        "attend to before 'two'.*do not divide",
    ),
    "no_weights": (
        {"blocks": [layers.ReLU(name="relu")]},
        r"`blocks` must hold a layer with weights.*\['relu'\]",
    ),
    "several_outputs": (
        {"blocks": [Twice(name="twice")]},
        "`blocks` must have one output each.*'twice'",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_blocks(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
