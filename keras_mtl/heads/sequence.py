"""Sequence to sequence: a recurrent decoder that attends to features."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl.heads.base import Head
from keras_mtl.heads.registry import registry

# Added to scores of masked positions: finite, for a row may be masked whole.
_MASKED = -1e9


class Memory(NamedTuple):
    """What a decoder attends to.

    Attributes:
        keys: `(batch, time, hidden)`, compared with the decoder's states.
        values: Features `(batch, time, channels)`.
        bias: `(batch, 1, time)`, 0 or very negative where masked.
    """

    keys: Any
    values: Any
    bias: Any


@registry.register("sequence_head")
class SequenceHead(Head):
    """Probabilities of the next token, at each position of a target sequence.

    A GRU reads the tokens so far and attends to the encoder's features m:

        h_0 = tanh(W_0 mean_t(m_t) + b_0)
        h_i = GRU(embed(y_{i−1}), h_{i−1})
        a_i = softmax_t(h_i · W_k m_t / √hidden),   c_i = Σ_t a_it m_t
        P(y_i | y_<i) = softmax(W_o tanh(W_c [c_i, h_i] + b_c) + b_o)

    While training, the tokens so far are the right ones (teacher forcing):
    the target sequence, one more input of the model. It holds the start token
    and then the labels up to their last but one, with `pad` behind:

        labels  5 7 2 0      (2 = end, 0 = pad)
        target  1 5 7 0      (1 = start)

    Positions whose target is `pad` are masked: they count in no loss and in
    no metric. `SequenceDecoder` writes sequences with the trained head.

    Args:
        units: Number of tokens in the vocabulary, with the three of below.
        target_input: Key of the model's input that holds target tokens
            `(batch, length)`, for builders. By default `{task}_in`.
        hidden: Width of embedding, state and attention.
        pad: The token that fills up short sequences.
        start: The token before the first.
        end: The token after the last.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        inputs: A list of features `(batch, time, channels)` and target tokens
            `(batch, length)`, integers.
        mask: As Keras passes it: a list, whose first mask `(batch, time)` says
            which features are there.

    Returns:
        Probabilities `(batch, length, units)`, in float32.

    Raises:
        ValueError: Special tokens outside of the vocabulary, or equal.

    Example:
        >>> import numpy as np
        >>> head = SequenceHead(units=12, hidden=16)
        >>> features, target = np.ones((2, 5, 8)), np.ones((2, 4), int)
        >>> head([features, target]).shape
        TensorShape([2, 4, 12])

    Reference:
        Luong, Pham & Manning, "Effective Approaches to Attention-based Neural
        Machine Translation", EMNLP 2015, arXiv:1508.04025: global attention,
        score "general", here divided by √hidden; without input feeding.
    """

    def __init__(
        self,
        units: int,
        target_input: str | None = None,
        hidden: int = 128,
        pad: int = 0,
        start: int = 1,
        end: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        special = (pad, start, end)
        if len(set(special)) < 3 or not all(0 <= i < units for i in special):
            raise ValueError(
                "`pad`, `start` and `end` of a SequenceHead must be different "
                f"tokens of the vocabulary, from 0 to {units - 1}. Received: "
                f"units={units}, pad={pad}, start={start}, end={end}"
            )
        self.units = units
        self.target_input = target_input
        self.hidden = hidden
        self.pad, self.start, self.end = special
        layer: dict[str, Any] = {"dtype": self.dtype_policy}
        dense = keras.layers.Dense
        self.embedding = keras.layers.Embedding(
            units, hidden, name="embedding", **layer
        )
        self.gru = keras.layers.GRU(
            hidden, return_sequences=True, name="gru", **layer
        )
        self.first = dense(hidden, activation="tanh", name="first", **layer)
        self.keys = dense(hidden, use_bias=False, name="keys", **layer)
        self.combine = dense(hidden, activation="tanh", name="combine", **layer)
        self.tokens = dense(units, name="tokens", **layer)

    def build(self, input_shape: Sequence[Sequence[Any]]) -> None:
        """Builds the layers within."""
        (batch, time, channels), (_, length) = input_shape
        for part, shape in (
            (self.embedding, (batch, length)),
            (self.gru, (batch, length, self.hidden)),
            (self.first, (batch, channels)),
            (self.keys, (batch, time, channels)),
            (self.combine, (batch, length, channels + self.hidden)),
            (self.tokens, (batch, length, self.hidden)),
        ):
            if not part.built:
                part.build(shape)
        super().build(input_shape)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Probabilities at all positions at once."""
        features, target = inputs
        memory, state = self.begin(features, None if mask is None else mask[0])
        states = self.gru(self.embedding(target), initial_state=state)
        return ops.softmax(self._logits(states, memory), axis=-1)

    def begin(self, features: Any, mask: Any = None) -> tuple[Memory, Any]:
        """What decoding needs of the features.

        Args:
            features: `(batch, time, channels)`.
            mask: None, or booleans `(batch, time)`.

        Returns:
            The memory, and the first state `(batch, hidden)`.
        """
        features = ops.cast(features, self.compute_dtype)
        if mask is None:
            mask = ops.ones_like(features[..., 0], dtype="bool")
        there = self.whole(mask)
        # Sums over long sequences overflow in float16.
        total = ops.sum(self.whole(features) * there[..., None], axis=1)
        count = ops.maximum(ops.sum(there, axis=1, keepdims=True), 1.0)
        mean = ops.cast(total / count, self.compute_dtype)
        bias = (1.0 - there[:, None, :]) * _MASKED
        return Memory(self.keys(features), features, bias), self.first(mean)

    def step(self, tokens: Any, state: Any, memory: Memory) -> tuple[Any, Any]:
        """One position: what `call` computes, token by token.

        Args:
            tokens: The tokens before, `(batch,)`.
            state: The state before, `(batch, hidden)`.
            memory: From `begin`.

        Returns:
            Log-probabilities `(batch, units)`, and the new state.
        """
        embedded = self.embedding(tokens)
        state, _ = self.gru.cell(embedded, [state], training=False)
        logits = self._logits(state[:, None, :], memory)
        return ops.log_softmax(logits[:, 0], axis=-1), state

    def _logits(self, states: Any, memory: Memory) -> Any:
        # b: batch, i: target positions, t: time, h: hidden, c: channels
        scores = ops.einsum("bih,bth->bit", states, memory.keys)
        scores = self.whole(scores) / self.hidden**0.5 + memory.bias
        weights = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        context = ops.einsum("bit,btc->bic", weights, memory.values)
        combined = self.combine(ops.concatenate([context, states], axis=-1))
        return self.whole(self.tokens(combined))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Which target tokens are no padding, `(batch, length)`."""
        return ops.not_equal(inputs[1], self.pad)

    def compute_output_shape(
        self, input_shape: Sequence[Sequence[int | None]]
    ) -> tuple[int | None, ...]:
        """`(batch, length, units)`."""
        return (input_shape[0][0], input_shape[1][1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "target_input": self.target_input,
            "hidden": self.hidden,
            "pad": self.pad,
            "start": self.start,
            "end": self.end,
        }
