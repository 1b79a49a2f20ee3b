"""What becomes one batched layer and what becomes copies; both are equal."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task
from keras_mtl.builders import mmoe
from keras_mtl.layers import Experts, StackExperts

TASKS = [Task("a", "binary"), Task("b", "regression")]


def dense(name="low", units=4, **options):
    return layers.Dense(units, name=name, **options)


def built_before():
    block = dense()
    block(np.zeros((1, 9), "float32"))
    return block


BATCHED = {
    "dense": lambda: [dense()],
    "several": lambda: [
        dense(activation="tanh", kernel_regularizer="l2"),
        dense("high", 3, use_bias=False, kernel_initializer="he_normal"),
    ],
    "dropout_and_activation": lambda: [
        dense(),
        layers.Activation("tanh", name="tanh"),
        layers.Dropout(0.5, seed=7, name="drop"),
        dense("high", 3, bias_initializer="ones"),
    ],
    "built_before": lambda: [built_before()],
}
COPIED = {
    "another_layer": lambda: [dense(), layers.LayerNormalization(name="norm")],
    "a_model": lambda: [keras.Sequential([dense()], name="stack")],
    "dropout_first": lambda: [layers.Dropout(0.5, name="drop"), dense()],
    "dropout_of_all_channels": lambda: [
        dense(),
        layers.Dropout(0.5, noise_shape=(None, 1), name="drop"),
    ],
    "dropout_twice": lambda: [
        dense(),
        layers.Dropout(0.5, name="one"),
        layers.Dropout(0.5, name="two"),
    ],
    "activation_twice": lambda: [
        dense(activation="relu"),
        layers.Activation("tanh", name="tanh"),
    ],
    "dropout_before_activation": lambda: [
        dense(),
        layers.Dropout(0.5, name="drop"),
        layers.Activation("tanh", name="tanh"),
    ],
    "a_constraint": lambda: [dense(kernel_constraint="max_norm")],
    "a_regularizer_of_matrices": lambda: [
        dense(kernel_regularizer=keras.regularizers.OrthogonalRegularizer())
    ],
    "an_activity_regularizer": lambda: [dense(activity_regularizer="l2")],
    "frozen": lambda: [dense(trainable=False)],
    "two_precisions": lambda: [dense(dtype="mixed_bfloat16"), dense("high")],
}


def built(blocks, num_experts=3, depth=0):
    keras.utils.set_random_seed(0)
    return mmoe(keras.Input((6,)), TASKS, blocks, depth, num_experts)


@pytest.mark.parametrize("make", BATCHED.values(), ids=BATCHED)
def test_dense_blocks_become_one_layer(make):
    model = built(make())
    assert isinstance(model.get_layer("experts"), Experts)
    assert [v.name for v in model.layers if "expert" in v.name] == ["experts"]


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_other_blocks_become_copies(make):
    model = built(make())
    assert isinstance(model.get_layer("experts"), StackExperts)
    names = [v.name for v in model.layers if v.name.startswith("expert_")]
    assert sorted(names) == sorted(
        f"expert_{e}_{block.name}" for e in range(3) for block in make()
    )


@pytest.mark.parametrize("name", ["dense", "several", "dropout_and_activation"])
def test_batched_experts_are_those_that_copies_would_be(name):
    batched = built(BATCHED[name]())
    # A layer that passes all on keeps the blocks from being batched.
    copied = built([*BATCHED[name](), layers.Identity(name="identity")])
    experts = batched.get_layer("experts")
    for e in range(3):
        level = 0
        for block in BATCHED[name]():
            if not isinstance(block, layers.Dense):
                continue
            weights = [experts.kernels[level][e]]
            if experts.biases[level] is not None:
                weights.append(experts.biases[level][e])
            copied.get_layer(f"expert_{e}_{block.name}").set_weights(weights)
            level += 1
    for key in ("a_gate", "b_gate", "a", "b"):
        copied.get_layer(key).set_weights(batched.get_layer(key).get_weights())
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    expected = copied.predict(x, verbose=0)
    for key, y in batched.predict(x, verbose=0).items():
        np.testing.assert_allclose(y, expected[key], rtol=1e-5, atol=1e-6)
    assert [float(v) for v in batched.losses] == pytest.approx(
        [sum(map(float, copied.losses))] if copied.losses else []
    )
    dropped = any(isinstance(b, layers.Dropout) for b in BATCHED[name]())
    assert dropped == (
        not np.array_equal(batched(x, training=True)["b"], batched(x)["b"])
    )


def test_copies_begin_with_weights_of_their_own():
    stack = keras.Sequential([dense(units=5)], name="stack")
    stack(np.zeros((1, 6), "float32"))
    model = built([stack])
    kernels = [
        np.array(model.get_layer(f"expert_{e}_stack").weights[0])
        for e in range(3)
    ]
    for kernel in kernels:
        assert not np.array_equal(kernel, stack.weights[0])
    assert not np.array_equal(kernels[0], kernels[1])


def test_a_seed_of_the_dropout_is_kept():
    blocks = BATCHED["dropout_and_activation"]()
    assert built(blocks).get_layer("experts").seed == 7


def test_the_precision_of_the_blocks_is_that_of_the_experts():
    model = built([dense(dtype="mixed_bfloat16")])
    experts = model.get_layer("experts")
    assert experts.dtype_policy.name == "mixed_bfloat16"
    assert experts.output.dtype == "bfloat16"


def test_what_a_gate_cannot_read_is_refused():
    def build(inputs, blocks, depth):
        return mmoe(inputs, TASKS, blocks, depth)

    def tokens():
        return [
            layers.Embedding(10, 4, name="embedding"),
            layers.GlobalAveragePooling1D(name="pool"),
        ]

    words = keras.Input((7,), dtype="int32")
    with pytest.raises(ValueError, match=r"Gates read.*larger `depth`"):
        build(words, tokens(), 0)
    assert build(words, tokens(), 1).get_layer("a_gate").kernel.shape == (4, 8)
    two = [keras.Input((2,)), keras.Input((3,))]
    with pytest.raises(ValueError, match="Gates read one tensor of floats"):
        build(two, [layers.Concatenate(name="join"), dense()], 0)
    build(two, [layers.Concatenate(name="join"), dense()], 1)
    scalar = [layers.Reshape((), name="scalar"), dense()]
    with pytest.raises(ValueError, match="Gates read one tensor of floats"):
        build(keras.Input((1,)), scalar, 1)


def test_experts_that_give_several_tensors_are_refused():
    x = keras.Input((6,))
    split = keras.Model(x, [dense()(x), dense("high")(x)], name="split")
    with pytest.raises(ValueError, match="`blocks` must end with one tensor"):
        built([split])
