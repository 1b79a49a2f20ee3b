import keras
import pytest
import tensorflow as tf

from keras_mtl.data import SubwordDetokenizer, SubwordTokenizer

PIECES = [" pad", "�", "▁Two", "▁", "▁dog", "dog", "do", "g", "s", "."]


def indices(texts, length=6, **kwargs):
    tokenizer = SubwordTokenizer(PIECES, length, **kwargs)
    return tokenizer(tf.constant(texts)).numpy().tolist()


def strings(tokens):
    detokenizer = SubwordDetokenizer(PIECES)
    return [text.decode() for text in detokenizer(tokens).numpy()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two dogs.", [2, 4, 8, 9, 0, 0]),
        (" Two \t\n dogs.\u00a0", [2, 4, 8, 9, 0, 0]),  # white space
        ("Twodog", [2, 5, 0, 0, 0, 0]),  # a word goes on
        ("dodo", [3, 6, 6, 0, 0, 0]),  # the longest that fits
        ("gdo", [3, 7, 6, 0, 0, 0]),
        ("ß x", [3, 1, 3, 1, 0, 0]),  # unknown characters
        ("s.s.s.s.", [3, 8, 9, 8, 9, 8]),  # cut
        ("pad pad", [3, 1, 1, 1, 3, 1]),  # no special tokens from texts
        ("", [0] * 6),
        ("  ", [0] * 6),
    ],
)
def test_tokens(text, expected):
    # Alone, and beside a longer one.
    assert indices([text]) == [expected]
    assert indices([text, "dog " * 20])[0] == expected


def test_invalid_utf8_is_unknown():
    assert indices([b"s\xff."])[0][:4] == [3, 8, 1, 9]


def test_indices_of_pad_and_unknown():
    assert indices(["?"], length=4, pad=3, unknown=4) == [[3, 4, 3, 3]]


def test_there_and_back():
    texts = ["Two dogs.", "dog.", "Two . dog", ""]
    assert strings(tf.constant(indices(texts, length=9))) == texts


def test_special_tokens_are_not_written():
    tokens = tf.constant([[2, 4, 0, 0], [0, 4, 0, 1]])
    assert strings(tokens) == ["Two dog", "dog�"]


def test_shapes_and_configs_in_a_model():
    text = keras.Input((), dtype="string", name="text")
    tokens = SubwordTokenizer(PIECES, 6, name="cut")(text)
    assert (tokens.shape, tokens.dtype) == ((None, 6), "int32")
    back = SubwordDetokenizer(PIECES, name="join")(tokens)
    assert (back.shape, back.dtype) == ((None,), "string")
    model = keras.Model(text, {"text": back})
    revived = keras.Model.from_config(model.get_config())
    found = revived.predict(tf.constant([" Two  dogs. "]), verbose=0)
    assert found["text"].tolist() == [b"Two dogs."]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"length": 0}, "`length` must be a positive integer.*length=0"),
        ({"length": 2.0}, "`length` must be a positive integer.*length=2.0"),
        ({"length": 3, "pad": 10}, "`pad` must be an index.*from 0 to 9.*10"),
        ({"length": 3, "unknown": -1}, "`unknown` must be an index.*-1"),
    ],
)
def test_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SubwordTokenizer(PIECES, **kwargs)
