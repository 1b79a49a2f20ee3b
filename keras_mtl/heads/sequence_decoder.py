"""Writing sequences with a trained `SequenceHead`: greedily or by beam."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.sequence import Memory, SequenceHead

# The log-probability of what must not be: finite, for −∞ times 0 is NaN.
_NEVER = -1e9


class _Beams(NamedTuple):
    """Hypotheses of all examples; b: batch, k: beams.

    Attributes:
        position: How many tokens were written, a scalar.
        tokens: Written so far, `(b, k, max_length)`.
        last: The last token, `(b, k)`.
        log_probs: Of all tokens so far, `(b, k)`.
        lengths: Number of tokens, with the end, `(b, k)`.
        finished: Whether the end was written, `(b, k)`.
        state: States of the head, `(b, k, hidden)`.
    """

    position: Any
    tokens: Any
    last: Any
    log_probs: Any
    lengths: Any
    finished: Any
    state: Any


@keras.saving.register_keras_serializable(package=PACKAGE)
class SequenceDecoder(keras.Layer):
    """Sequences of high probability, written token by token.

    Keeps the `beams` best beginnings of each example and extends each by every
    token. They are ranked by

        score = log P(tokens) / ((5 + length) / 6)^length_penalty

    where the length counts the end token. With one beam this is greedy: the
    most likely token at each step. More beams mostly find a better score, not
    always. `pad` and `start` are never written. A sequence that did not end
    within `max_length` is cut there.

    One loop of a fixed number of steps, that ends early once all is written:
    it runs under XLA and in an export.

    Args:
        head: A `SequenceHead`, whose weights are used as they are.
        max_length: The most tokens, with the end.
        beams: How many beginnings are kept.
        length_penalty: The exponent above: 0 ranks by probability, which
            favours short sequences; the paper takes 0.2 to 0.6 or more.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        features: As for the head, `(batch, time, channels)`.
        mask: None, or booleans `(batch, time)`; passed on by Keras.

    Returns:
        A dict of `"tokens"` `(batch, max_length)`, int32, with the end token
        and `pad` behind it; `"lengths"` `(batch,)`, int32, with the end; and
        `"scores"` `(batch,)`, float32.

    Raises:
        ValueError: No head, or numbers that are not positive.

    Example:
        >>> import numpy as np
        >>> head = SequenceHead(units=12, hidden=16)
        >>> written = SequenceDecoder(head, max_length=6, beams=3)(
        ...     np.ones((2, 5, 8), "float32")
        ... )
        >>> written["tokens"].shape
        TensorShape([2, 6])

    Reference:
        Wu et al., "Google's Neural Machine Translation System", 2016,
        arXiv:1609.08144, section 7: the length normalization.
    """

    def __init__(
        self,
        head: SequenceHead,
        max_length: int,
        beams: int = 1,
        length_penalty: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        if not isinstance(head, SequenceHead):
            raise ValueError(
                "`head` must be a keras_mtl.heads.SequenceHead. Received: "
                f"{head!r}"
            )
        for argument, value in (("max_length", max_length), ("beams", beams)):
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"`{argument}` must be a positive integer. Received: "
                    f"{value!r}"
                )
        if not length_penalty >= 0:
            raise ValueError(
                "`length_penalty` must be a number that is not negative. "
                f"Received: {length_penalty!r}"
            )
        self.head = head
        self.max_length = max_length
        self.beams = beams
        self.length_penalty = float(length_penalty)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the head, if it is not."""
        if not self.head.built:
            self.head.build([input_shape, (input_shape[0], self.max_length)])
        super().build(input_shape)

    def call(self, features: Any, mask: Any = None) -> dict[str, Any]:
        """The best sequence of each example."""
        memory, state = self.head.begin(features, mask)
        # (b, …) to (b · k, …): each hypothesis of an example reads the same.
        memory = Memory(*(ops.repeat(x, self.beams, axis=0) for x in memory))
        end = ops.while_loop(
            lambda *beams: self._unfinished(_Beams(*beams)),
            lambda *beams: self._extend(_Beams(*beams), memory),
            self._first(state),
            maximum_iterations=self.max_length,
        )
        beams = _Beams(*end)
        scores = self._score(beams.log_probs, beams.lengths)
        best = ops.argmax(scores, axis=-1)[:, None]
        return {
            "tokens": _pick(beams.tokens, best)[:, 0],
            "lengths": _pick(beams.lengths, best)[:, 0],
            "scores": _pick(scores, best)[:, 0],
        }

    def _first(self, state: Any) -> _Beams:
        per_example = ops.zeros_like(state[:, :1], dtype="int32")
        zeros = ops.repeat(per_example, self.beams, axis=1)
        # One beginning is there; the others must not be copies of it.
        nowhere = ops.arange(self.beams) > 0
        return _Beams(
            position=ops.convert_to_tensor(0, dtype="int32"),
            tokens=ops.repeat(zeros[..., None], self.max_length, axis=-1)
            + self.head.pad,
            last=zeros + self.head.start,
            log_probs=ops.cast(zeros, "float32")
            + ops.where(nowhere, _NEVER, 0.0),
            lengths=zeros,
            finished=ops.cast(zeros, "bool"),
            state=ops.repeat(state[:, None], self.beams, axis=1),
        )

    def _unfinished(self, beams: _Beams) -> Any:
        return ops.logical_and(
            beams.position < self.max_length,
            ops.logical_not(ops.all(beams.finished)),
        )

    def _extend(self, beams: _Beams, memory: Memory) -> _Beams:
        """All hypotheses, one token longer; v: tokens of the vocabulary."""
        head, vocabulary = self.head, self.head.units
        log_probs, state = head.step(
            ops.reshape(beams.last, (-1,)),
            ops.reshape(beams.state, (-1, head.hidden)),
            memory,
        )
        shape = (-1, self.beams, vocabulary)
        log_probs = ops.cast(ops.reshape(log_probs, shape), "float32")
        token = ops.arange(vocabulary)
        never = ops.logical_or(token == head.pad, token == head.start)
        log_probs = ops.where(never, _NEVER, log_probs)
        # What is finished is carried on by a pad that costs nothing.
        only_pad = ops.where(token == head.pad, 0.0, _NEVER)
        log_probs = ops.where(beams.finished[..., None], only_pad, log_probs)

        total = beams.log_probs[..., None] + log_probs  # (b, k, v)
        lengths = beams.lengths + ops.cast(
            ops.logical_not(beams.finished), "int32"
        )
        scores = self._score(total, lengths[..., None])
        flat = (-1, self.beams * vocabulary)
        _, chosen = ops.top_k(ops.reshape(scores, flat), self.beams)
        beam, token = chosen // vocabulary, chosen % vocabulary
        here = ops.arange(self.max_length) == beams.position
        finished = _pick(beams.finished, beam)
        return _Beams(
            position=beams.position + 1,
            tokens=ops.where(here, token[..., None], _pick(beams.tokens, beam)),
            last=token,
            log_probs=_pick(ops.reshape(total, flat), chosen),
            lengths=_pick(lengths, beam),
            finished=ops.logical_or(finished, token == head.end),
            state=_pick(
                ops.reshape(state, (-1, self.beams, head.hidden)), beam
            ),
        )

    def _score(self, log_probs: Any, lengths: Any) -> Any:
        lengths = ops.cast(lengths, "float32")
        return log_probs / ((5.0 + lengths) / 6.0) ** self.length_penalty

    def compute_output_spec(self, features: Any, mask: Any = None) -> Any:
        """Tokens, lengths and scores."""
        batch = features.shape[0]
        return {
            "tokens": keras.KerasTensor((batch, self.max_length), "int32"),
            "lengths": keras.KerasTensor((batch,), "int32"),
            "scores": keras.KerasTensor((batch,), "float32"),
        }

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: what is written ends at its end token."""

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "max_length": self.max_length,
            "beams": self.beams,
            "length_penalty": self.length_penalty,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SequenceDecoder":
        """The layer that `get_config` described."""
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})


def decoding_model(
    model: Any, max_length: int, beams: int = 1, length_penalty: float = 0.0
) -> Any:
    """A model that writes sequences where `model` scores given ones.

    Each `SequenceHead` of the model gives way to a `SequenceDecoder` on the
    same weights, and its target input falls away: what is left is what can be
    served. Other outputs stay as they are.

    Args:
        model: A Functional model with a dict of outputs, such as a
            `MultiTaskModel`.
        max_length: As of `SequenceDecoder`.
        beams: As of `SequenceDecoder`.
        length_penalty: As of `SequenceDecoder`.

    Returns:
        A `keras.Model` that shares the layers. Its outputs are, per task with
        such a head, the tokens under the task's name and their scores under
        `{task}_score`.

    Raises:
        ValueError: No output comes from a `SequenceHead`.
    """
    outputs: dict[str, Any] = {}
    targets: list[str] = []
    for name, output in model.output.items():
        head = output._keras_history.operation
        if not isinstance(head, SequenceHead):
            outputs[name] = output
            continue
        features, target = head.input
        targets.append(target.name)
        decoder = SequenceDecoder(
            head,
            max_length,
            beams,
            length_penalty,
            dtype=head.dtype_policy,
            name=f"{name}_decoder",
        )
        written = decoder(features)
        outputs[name] = written["tokens"]
        outputs[f"{name}_score"] = written["scores"]
    if not targets:
        raise ValueError(
            "`model` must have an output from a SequenceHead. Received: "
            f"outputs {list(model.output)}, none of them from one."
        )
    inputs: Any = [x for x in model.inputs if x.name not in targets]
    if isinstance(model.input, dict):
        inputs = {k: x for k, x in model.input.items() if x.name not in targets}
    elif len(inputs) == 1:
        inputs = inputs[0]
    return keras.Model(inputs, outputs, name=f"{model.name}_decoding")


def _pick(x: Any, index: Any) -> Any:
    """Entries `(b, j, …)` of `(b, k, …)`, by an index `(b, j)`."""
    for _ in x.shape[2:]:
        index = index[..., None]
    return ops.take_along_axis(x, index, axis=1)
