"""Graphs in which sharing is not plain: one function a row.

Each returns (inputs, outputs); outputs are a dict by task.
"""

import keras
from keras import layers, ops


def _dense(name, units=3):
    return layers.Dense(units, activation="tanh", name=name)


def plain():
    x = keras.Input((4,))
    h = _dense("trunk")(x)
    return x, {"a": _dense("a", 1)(h), "b": _dense("b", 1)(h)}


def tree():
    x = keras.Input((4,))
    low = _dense("low")(x)
    high = _dense("high")(low)
    return x, {
        "a": _dense("a", 1)(high),
        "b": _dense("b", 1)(high),
        "c": _dense("c", 1)(low),
    }


def layer_called_in_two_heads():
    x = keras.Input((4,))
    h = _dense("trunk")(x)
    both = _dense("both")
    return x, {
        "a": _dense("a", 1)(both(_dense("a1")(h))),
        "b": _dense("b", 1)(both(_dense("b1")(h))),
        "c": _dense("c", 1)(h),
    }


def layer_called_twice_in_trunk():
    x = keras.Input((3,))
    twice = _dense("twice")
    h = twice(twice(x))
    return x, {"a": _dense("a", 1)(h), "b": _dense("b", 1)(h)}


def layer_in_trunk_and_in_a_head():
    x = keras.Input((3,))
    again = _dense("again")
    h = _dense("trunk")(again(x))
    return x, {"a": _dense("a", 1)(again(h)), "b": _dense("b", 1)(h)}


def nested_backbone():
    x = keras.Input((4,))
    inner = keras.Input((4,))
    backbone = keras.Model(inner, _dense("n2")(_dense("n1")(inner)))
    h = backbone(x)
    return x, {"a": _dense("a", 1)(h), "b": _dense("b", 1)(h)}


def nested_with_an_output_per_task():
    x = keras.Input((4,))
    inner = keras.Input((4,))
    low = _dense("low")(inner)
    nested = keras.Model(inner, [_dense("for_a")(low), _dense("for_b")(low)])
    for_a, for_b = nested(_dense("first", 4)(x))
    return x, {"a": _dense("a", 1)(for_a), "b": _dense("b", 1)(for_b)}


def everything_nested():
    inner = keras.Input((4,))
    low = _dense("low")(inner)
    nested = keras.Model(
        inner, {"a": _dense("a", 1)(low), "b": _dense("b")(low)}
    )
    x = keras.Input((4,))
    return x, nested(x)


def nested_called_twice():
    x, y = keras.Input((4,)), keras.Input((4,))
    inner = keras.Input((4,))
    tower = keras.Model(inner, _dense("tower")(inner))
    left, right = tower(x), tower(y)
    return [x, y], {
        "a": _dense("a", 1)(left),
        "b": _dense("b", 1)(right),
        "both": _dense("both", 1)(layers.Concatenate()([left, right])),
    }


def skip_from_input_to_head():
    x = keras.Input((4,))
    h = _dense("trunk")(x)
    return x, {
        "a": _dense("a", 1)(layers.Concatenate()([h, x])),
        "b": _dense("b", 1)(h),
    }


def skip_past_a_shared_block():
    x = keras.Input((4,))
    low = _dense("low")(x)
    high = _dense("high")(low)
    return x, {
        "a": _dense("a", 1)(layers.Concatenate()([high, low])),
        "b": _dense("b", 1)(high),
    }


def output_feeds_an_output():
    x = keras.Input((4,))
    h = _dense("trunk")(x)
    a = _dense("a", 1)(h)
    return x, {"a": a, "b": _dense("b", 1)(layers.Concatenate()([h, a]))}


def output_is_the_trunk():
    x = keras.Input((4,))
    h = _dense("trunk")(x)
    return x, {"a": h, "b": _dense("b", 1)(h)}


def two_inputs_one_private():
    x, y = keras.Input((4,)), keras.Input((2,))
    h = _dense("trunk")(x)
    return [x, y], {
        "a": _dense("a", 1)(layers.Concatenate()([h, _dense("only_a")(y)])),
        "b": _dense("b", 1)(h),
    }


def layer_with_two_outputs():
    x = keras.Input((5, 4))
    sequence, state = layers.GRU(
        3, return_sequences=True, return_state=True, name="gru"
    )(x)
    pooled = layers.GlobalAveragePooling1D()(sequence)
    return x, {"a": _dense("a", 1)(pooled), "b": _dense("b", 1)(state)}


def plain_operations():
    x = keras.Input((4,))
    h = ops.tanh(_dense("trunk")(x)) * 2.0
    return x, {
        "a": _dense("a", 1)(h + 1.0),
        "b": _dense("b", 1)(ops.concatenate([h, -h], axis=-1)),
    }


def nothing_shared():
    x = keras.Input((4,))
    return x, {"a": _dense("a", 1)(x), "b": _dense("b", 1)(x)}


def one_task():
    x = keras.Input((4,))
    return x, {"a": _dense("a", 1)(_dense("trunk")(x))}


def frozen_trunk_block():
    x = keras.Input((4,))
    frozen = _dense("frozen")
    h = _dense("trunk")(frozen(x))
    frozen.trainable = False
    return x, {"a": _dense("a", 1)(h), "b": _dense("b", 1)(h)}


def masked_sequence():
    x = keras.Input((5,), dtype="int32")
    h = layers.Embedding(7, 4, mask_zero=True, name="embedding")(x)
    a = layers.LSTM(3, name="lstm_a")(h)
    b = layers.GlobalAveragePooling1D()(h)
    return x, {"a": _dense("a", 1)(a), "b": _dense("b", 1)(b)}


GRAPHS = [
    plain,
    tree,
    layer_called_in_two_heads,
    layer_called_twice_in_trunk,
    layer_in_trunk_and_in_a_head,
    nested_backbone,
    nested_with_an_output_per_task,
    everything_nested,
    nested_called_twice,
    skip_from_input_to_head,
    skip_past_a_shared_block,
    output_feeds_an_output,
    output_is_the_trunk,
    two_inputs_one_private,
    layer_with_two_outputs,
    plain_operations,
    nothing_shared,
    one_task,
    frozen_trunk_block,
    masked_sequence,
]


def make_inputs(model, batch=6, seed=0):
    """Random inputs for a model, integers from 0 to 6 where it wants them."""
    generator = keras.random.SeedGenerator(seed)
    arrays = []
    for x in model.inputs:
        shape = (batch, *x.shape[1:])
        if "int" in x.dtype:
            arrays.append(
                keras.random.randint(shape, 0, 7, dtype="int32", seed=generator)
            )
        else:
            arrays.append(keras.random.normal(shape, seed=generator))
    return arrays if len(arrays) > 1 else arrays[0]
