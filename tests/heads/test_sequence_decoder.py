import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.heads import SequenceDecoder, SequenceHead

from .test_sequence import inputs, random_head

PAD, START, END = 0, 1, 2


def scored(head, features, sequences, penalty=0.0):
    """Scores of sequences for one example, by teacher forcing."""
    length = max(map(len, sequences))
    tokens = np.full((len(sequences), length), PAD)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = sequence
    start = np.full((len(sequences), 1), START)
    p = np.asarray(
        head(
            [
                np.repeat(features[None], len(sequences), axis=0),
                np.concatenate([start, tokens[:, :-1]], axis=1),
            ]
        )
    )
    return [
        sum(np.log(q[token]) for q, token in zip(row, s, strict=False))
        / ((5 + len(s)) / 6) ** penalty
        for row, s in zip(p, sequences, strict=True)
    ]


def greedy(head, features, max_length):
    """The most likely token at each step, by teacher forcing on prefixes."""
    written = [START]
    while len(written) <= max_length and written[-1] != END:
        p = np.array(head([features[None], np.array([written])]))[0, -1]
        p[[PAD, START]] = 0
        written.append(int(p.argmax()))
    return written[1:]


def all_sequences(units, max_length):
    words = [t for t in range(units) if t not in (PAD, START, END)]
    for length in range(max_length + 1):
        for body in itertools.product(words, repeat=length):
            if length < max_length:
                yield [*body, END]
            else:
                yield list(body)


def written(decoder, features):
    result = {k: np.asarray(v) for k, v in decoder(features).items()}
    for tokens, length in zip(result["tokens"], result["lengths"], strict=True):
        assert (tokens[:length] != PAD).all()
        assert (tokens[length:] == PAD).all()
    return result


@pytest.mark.parametrize("seed", range(4))
def test_one_beam_is_greedy(seed):
    head = random_head(seed, scale=1.5)
    features, _ = inputs(seed, batch=6)
    features = features.astype("float32")
    result = written(SequenceDecoder(head, 6), features)
    for i, example in enumerate(features):
        expected = greedy(head, example, 6)
        length = result["lengths"][i]
        assert list(result["tokens"][i][:length]) == expected
        assert result["scores"][i] == pytest.approx(
            scored(head, example, [expected])[0], rel=1e-4
        )


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_wide_beams_search_everything(seed, penalty):
    units, length = 5, 3
    head = random_head(seed, units=units, scale=1.5)
    features, _ = inputs(seed, batch=4)
    features = features.astype("float32")
    decoder = SequenceDecoder(head, length, 30, penalty)
    result = written(decoder, features)
    sequences = list(all_sequences(units, length))
    for i, example in enumerate(features):
        scores = scored(head, example, sequences, penalty)
        assert result["scores"][i] == pytest.approx(max(scores), rel=1e-4)
        best = sequences[int(np.argmax(scores))]
        assert list(result["tokens"][i][: len(best)]) == best


def test_more_beams_find_better_scores():
    """Not for every example, but on the whole; and mostly not worse."""
    means, worse = [], []
    scores = {}
    for beams in (1, 2, 8):
        found = []
        for seed in range(5):
            head = random_head(seed, units=9, scale=1.2)
            features, _ = inputs(seed, batch=16)
            decoder = SequenceDecoder(head, 6, beams)
            found.append(np.asarray(decoder(features)["scores"]))
        scores[beams] = np.concatenate(found)
        means.append(scores[beams].mean())
        worse.append((scores[beams] < scores[1] - 1e-4).mean())
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.1
    assert max(worse) < 0.05


def test_a_length_penalty_makes_sequences_longer():
    lengths = []
    for penalty in (0.0, 1.0, 3.0):
        found = []
        for seed in range(2):
            head = random_head(seed, scale=0.7)
            features, _ = inputs(seed, batch=16)
            decoder = SequenceDecoder(head, 6, 8, penalty)
            found.append(np.asarray(decoder(features)["lengths"]).mean())
        lengths.append(np.mean(found))
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("beams", [1, 3])
def test_compiled_by_xla_it_writes_the_same(beams):
    head = random_head(scale=1.5)
    features, _ = inputs(batch=4)
    decoder = SequenceDecoder(head, 5, beams, 0.5)
    expected = decoder(features)
    received = tf.function(lambda x: decoder(x), jit_compile=True)(
        features.astype("float32")
    )
    np.testing.assert_array_equal(received["tokens"], expected["tokens"])
    np.testing.assert_allclose(
        received["scores"], expected["scores"], rtol=1e-5
    )


def test_masked_features_are_not_read():
    head = random_head(scale=1.5)
    features, _ = inputs(batch=4)
    mask = np.arange(6) < np.array([[6], [2], [4], [1]])
    noise = np.where(mask[..., None], features, 99.0)
    decoder = SequenceDecoder(head, 5, 3)
    expected = decoder(features, mask=mask)
    for key, value in decoder(noise, mask=mask).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-5)


def test_config_and_file(tmp_path):
    head = random_head(scale=1.5)
    features, _ = inputs(batch=4)
    decoder = SequenceDecoder(head, 5, 3, 0.5, name="writer")
    config = json.loads(
        json.dumps(keras.saving.serialize_keras_object(decoder))
    )
    again = keras.saving.deserialize_keras_object(config)
    own, other = decoder.get_config(), again.get_config()
    assert own.pop("head")["config"] == other.pop("head")["config"]
    assert own == other
    x = keras.Input((6, 4))
    model = keras.Model(x, decoder(x))
    model.save(tmp_path / "writer.keras")
    loaded = keras.saving.load_model(tmp_path / "writer.keras")
    expected = model.predict(features, verbose=0)
    for key, value in loaded.predict(features, verbose=0).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": 3}, "`head` must be a keras_mtl.heads.SequenceHead.*3"),
        ({"max_length": 0}, "`max_length` must be a positive integer.*0"),
        ({"beams": 1.5}, "`beams` must be a positive integer.*1.5"),
        ({"length_penalty": -1}, "`length_penalty`.*not negative.*-1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceDecoder(
            **{"head": SequenceHead(7), "max_length": 3, **arguments}
        )
