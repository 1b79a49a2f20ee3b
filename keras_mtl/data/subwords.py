"""Strings to subwords and back, in the graph of a model."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_mtl._registry import PACKAGE

# Stands for the space before a word, as in SentencePiece.
_SPACE = "▁"
# Fills up short strings; no text has it once its white space is replaced.
_NOTHING = "\n"


@keras.saving.register_keras_serializable(package=PACKAGE)
class SubwordTokenizer(keras.Layer):
    """Strings as indices of subwords, so that a served model takes text.

    White space becomes "▁", one before each word, and the string is cut from
    left to right, each time at the end of the longest piece that fits:

        "Two dogs."  →  ▁Two ▁dog s .

    This is what WordPiece does, without its sign of continuation. A vocabulary
    that a library such as `tokenizers` trained serves if all pieces lie within
    the words that the library made.

    Args:
        vocabulary: The pieces, in the order of their indices. Special tokens
            are safe from being written in a text if they hold a space.
        length: Indices for each string; what is longer is cut.
        pad: The index that fills up short strings.
        unknown: The index of a character that no piece begins with.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        texts: Strings `(batch,)`, in UTF-8.

    Returns:
        Indices `(batch, length)`, int32.

    Raises:
        ValueError: Numbers out of range.

    Example:
        >>> pieces = [" pad", " unknown", "▁Two", "▁dog", "s", "."]
        >>> tokenizer = SubwordTokenizer(pieces, length=6)
        >>> tokenizer(tf.constant(["Two  dogs.", "dog!"])).numpy().tolist()
        [[2, 3, 4, 5, 0, 0], [3, 1, 0, 0, 0, 0]]

    Reference:
        Wu et al., "Google's Neural Machine Translation System", 2016,
        arXiv:1609.08144, section 4.1.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        length: int,
        pad: int = 0,
        unknown: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if type(length) is not int or length < 1:
            raise ValueError(
                "`length` must be a positive integer. Received: "
                f"length={length!r}"
            )
        for argument, value in (("pad", pad), ("unknown", unknown)):
            if not 0 <= value < len(vocabulary):
                raise ValueError(
                    f"`{argument}` must be an index of the vocabulary, from 0 "
                    f"to {len(vocabulary) - 1}. Received: {argument}={value!r}"
                )
        self.vocabulary = list(vocabulary)
        self.length = length
        self.pad = pad
        self.unknown = unknown
        self._longest = max(map(len, self.vocabulary))
        # Gives 0 for what is no piece, and indices that are higher by 1.
        self._lookup = keras.layers.StringLookup(
            vocabulary=self.vocabulary, mask_token=None, num_oov_indices=1
        )

    def build(self, input_shape: Any) -> None:
        """Builds the table of pieces."""
        self._lookup.build(input_shape)
        super().build(input_shape)

    def call(self, texts: Any) -> Any:
        """The indices; b: batch, c: characters."""
        words = tf.strings.regex_replace(texts, r"[\t\n\r\pZ]+", " ")
        words = tf.strings.strip(words)
        marked = tf.strings.regex_replace(words, " ", _SPACE)
        marked = tf.where(words == "", words, _SPACE + marked)
        characters = tf.strings.unicode_split(marked, "UTF-8")
        # One place more, to stay at once the string is over; and no more
        # characters than the pieces can have.
        characters = tf.pad(
            characters.to_tensor(_NOTHING)[:, : self.length * self._longest],
            [[0, 0], [0, self._longest]],
            constant_values=_NOTHING,
        )
        count = tf.shape(characters)[1] - self._longest + 1
        index, size = self._longest_pieces(characters, count)

        def on(position: Any, _: Any) -> Any:
            return position + tf.gather(size, position, batch_dims=1)

        first = tf.zeros_like(index[:, 0])
        later = tf.scan(on, tf.range(self.length - 1), first)
        positions = tf.transpose(tf.concat([first[None], later], axis=0))
        return tf.gather(index, positions, batch_dims=1)

    def _longest_pieces(self, characters: Any, count: Any) -> tuple[Any, Any]:
        """Index and size of the longest piece from each of `count` places on.

        Returns:
            Two int32 tensors `(b, count)`; the size is 0 where nothing is.
        """
        over = characters[:, :count] == _NOTHING
        index = tf.where(over, self.pad, self.unknown)
        size = tf.where(over, 0, 1)
        piece = tf.zeros_like(characters[:, :count])
        for end in range(1, self._longest + 1):
            last = characters[:, end - 1 : end - 1 + count]
            piece = tf.strings.join([piece, last])
            found = tf.cast(self._lookup(piece), "int32") - 1
            index = tf.where(found >= 0, found, index)
            size = tf.where(found >= 0, end, size)
        return index, size

    def compute_output_spec(self, texts: Any) -> Any:
        """`(batch, length)`, int32."""
        return keras.KerasTensor((texts.shape[0], self.length), "int32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "length": self.length,
            "pad": self.pad,
            "unknown": self.unknown,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class SubwordDetokenizer(keras.Layer):
    """Indices of subwords as strings, so that a served model gives text.

    Undoes `SubwordTokenizer`: pieces are joined, "▁" becomes a space.

    Args:
        vocabulary: The pieces, in the order of their indices.
        special: How many of the first of them are special tokens, which are
            not written.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        tokens: Indices `(batch, length)`.

    Returns:
        Strings `(batch,)`.

    Example:
        >>> pieces = [" pad", " unknown", "▁Two", "▁dog", "s", "."]
        >>> detokenizer = SubwordDetokenizer(pieces, special=1)
        >>> detokenizer(tf.constant([[2, 3, 4, 5, 0]])).numpy()[0].decode()
        'Two dogs.'
    """

    def __init__(
        self, vocabulary: Sequence[str], special: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary = list(vocabulary)
        self.special = special

    def call(self, tokens: Any) -> Any:
        """The strings."""
        pieces = [""] * self.special + self.vocabulary[self.special :]
        joined = tf.strings.reduce_join(tf.gather(pieces, tokens), axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(joined, _SPACE, " "))

    def compute_output_spec(self, tokens: Any) -> Any:
        """`(batch,)`, strings."""
        return keras.KerasTensor(tokens.shape[:1], "string")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "special": self.special,
        }
