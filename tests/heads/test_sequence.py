import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.heads import SequenceHead, decoding_model

from .numeric import differences, gradient
from .strings import PAD, VOCABULARY, backwards, strings, targets


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop(head, features, tokens, mask):
    """The formula for one example, token by token."""
    embedding, kernel, recurrent, bias, *rest = head.get_weights()
    first, first_bias, keys, combine, combine_bias, out, out_bias = rest
    h = np.tanh(features[mask].mean(axis=0) @ first + first_bias)
    result = []
    for token in tokens:
        z_x, r_x, n_x = np.split(embedding[token] @ kernel + bias[0], 3)
        z_h, r_h, n_h = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(z_x + z_h), sigmoid(r_x + r_h)
        h = z * h + (1 - z) * np.tanh(n_x + r * n_h)
        scores = [h @ (m @ keys) / np.sqrt(len(h)) for m in features[mask]]
        weights = softmax(np.array(scores))
        context = sum(
            w * m for w, m in zip(weights, features[mask], strict=True)
        )
        both = np.tanh(np.concatenate([context, h]) @ combine + combine_bias)
        result.append(softmax(both @ out + out_bias))
    return result


def random_head(seed=0, units=7, hidden=5, channels=4, scale=1.0, **arguments):
    """A head whose weights are all random, and which is sure of itself."""
    head = SequenceHead(units, hidden=hidden, **arguments)
    head.build([(None, 6, channels), (None, 3)])
    draw = np.random.default_rng(seed)
    head.set_weights(
        [draw.normal(size=w.shape) * scale for w in head.get_weights()]
    )
    return head


def inputs(seed=0, batch=3, time=6, channels=4, length=5, units=7):
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(batch, time, channels))
    return features, draw.integers(units, size=(batch, length))


def test_head_equals_a_loop_with_and_without_a_mask():
    head = random_head(dtype="float64")
    features, tokens = inputs()
    mask = np.arange(6) < np.array([[6], [2], [4]])
    for given in (None, mask):
        received = head(
            [features, tokens], mask=None if given is None else [given, None]
        )
        for i in range(3):
            there = np.ones(6, bool) if given is None else given[i]
            np.testing.assert_allclose(
                received[i],
                loop(head, features[i], tokens[i], there),
                rtol=1e-6,
            )


def test_no_position_sees_the_tokens_behind_it():
    head = random_head(dtype="float64")
    features, tokens = inputs()
    before = np.asarray(head([features, tokens]))
    for position in range(5):
        changed = tokens.copy()
        changed[:, position] = (changed[:, position] + 1) % 7
        after = np.asarray(head([features, changed]))
        same = np.isclose(before, after, atol=1e-12).all(axis=(0, 2))
        np.testing.assert_array_equal(same, np.arange(5) < position)


def test_one_step_after_another_gives_the_same():
    head = random_head(dtype="float64")
    features, tokens = inputs()
    mask = np.arange(6) < np.array([[6], [2], [4]])
    expected = np.asarray(head([features, tokens], mask=[mask, None]))
    memory, state = head.begin(features, mask)
    for i in range(5):
        log_probs, state = head.step(tokens[:, i], state, memory)
        np.testing.assert_allclose(np.exp(log_probs), expected[:, i], rtol=1e-6)


def test_a_row_that_is_masked_whole_is_finite():
    head = random_head()
    features, tokens = inputs()
    mask = np.arange(6) < np.array([[6], [0], [4]])
    assert np.isfinite(head([features, tokens], mask=[mask, None])).all()


def test_gradients_by_differences():
    """Along one random direction per variable, and for all features."""
    head = random_head(dtype="float64", scale=0.5)
    features, tokens = inputs(batch=2, time=2, length=3)

    @tf.function
    def total(features):
        return tf.reduce_sum(tf.sin(7 * head([features, tokens])))

    np.testing.assert_allclose(
        gradient(total, features), differences(total, features), atol=1e-7
    )
    with tf.GradientTape() as tape:
        value = total(features)
    gradients = tape.gradient(
        value, [v.value for v in head.trainable_variables]
    )
    draw = np.random.default_rng(0)
    for variable, received in zip(
        head.trainable_variables, gradients, strict=True
    ):
        start, step = variable.numpy(), draw.normal(size=variable.shape)
        values = []
        for sign in (1e-5, -1e-5):
            variable.assign(start + sign * step)
            values.append(float(total(features)))
        variable.assign(start)
        slope = (values[0] - values[1]) / 2e-5
        assert np.sum(tf.convert_to_tensor(received) * step) == pytest.approx(
            slope, rel=1e-6, abs=1e-7
        ), variable.path


@pytest.mark.parametrize("special", [{"end": 7}, {"pad": 1}, {"start": -1}])
def test_special_tokens_must_be_in_the_vocabulary(special):
    with pytest.raises(ValueError, match=r"different tokens.*from 0 to 6"):
        SequenceHead(7, **special)


# ------------------------------------------------------- in a model


def translator(*names, heads=None):
    heads = heads or {}
    return builders.hard_sharing(
        {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ["text", *(f"{name}_in" for name in names)]
        },
        [
            Task(name, "sequence", units=VOCABULARY, head=heads.get(name))
            for name in names
        ],
        [
            layers.Embedding(VOCABULARY, 16, mask_zero=True, name="embed"),
            layers.GRU(32, return_sequences=True, name="read"),
        ],
    )


def batch(count, seed=0):
    x = strings(count, seed)
    copied, copies = targets(x)
    turned, turns = targets(x, backwards)
    return (
        {"text": x, "copy_in": copied, "back_in": turned},
        {"copy": copies, "back": turns},
    )


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    small = {
        name: SequenceHead(VOCABULARY, hidden=32) for name in ("copy", "back")
    }
    model = translator("copy", "back", heads=small)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(*batch(2000), batch_size=64, epochs=6, verbose=0)
    return model


def test_loss_equals_a_loop_and_padding_counts_nowhere():
    keras.utils.set_random_seed(1)
    model = translator("copy", "back")
    model.compile(keras.optimizers.SGD(0.0))
    x, y = batch(12)
    y["back"][2] = -1
    y["back"][5, 0] = -1
    logs = model.fit(x, y, batch_size=12, verbose=0).history
    p = model.predict(x, verbose=0)
    for name in ("copy", "back"):
        losses, right = [], []
        for place, target in np.ndenumerate(x[f"{name}_in"]):
            label, q = y[name][place], p[name][place]
            if target != PAD and label >= 0:
                losses.append(-np.log(q[label]))
                right.append(q.argmax() == label)
        assert logs[f"{name}_loss"][0] == pytest.approx(
            np.mean(losses), rel=1e-5
        )
        assert logs[f"{name}_accuracy"][0] == pytest.approx(np.mean(right))


def test_two_languages_are_learned_and_written(trained):
    x, y = batch(200, seed=1)
    for beams in (1, 3):
        writer = decoding_model(trained, max_length=5, beams=beams)
        assert list(writer.input) == ["text"]
        written = writer.predict({"text": x["text"]}, verbose=0)
        for name in ("copy", "back"):
            right = (written[name] == y[name]).all(axis=1)
            assert right.mean() > 0.95
    # The score is the log-probability that teacher forcing gives.
    p = trained.predict(x, verbose=0)["copy"]
    there = (y["copy"] != PAD)[..., None]
    chosen = np.take_along_axis(p, y["copy"][..., None], 2)
    expected = np.where(there, np.log(chosen), 0).sum(axis=(1, 2))
    right = (written["copy"] == y["copy"]).all(axis=1)
    np.testing.assert_allclose(
        written["copy_score"][right], expected[right], rtol=1e-3, atol=1e-5
    )


def test_what_writes_can_be_saved_and_exported(trained, tmp_path):
    x, _ = batch(7, seed=2)
    text = {"text": x["text"].astype("int32")}
    writer = decoding_model(trained, max_length=5, beams=2)
    expected = writer.predict(text, verbose=0)
    writer.save(tmp_path / "writer.keras")
    loaded = keras.saving.load_model(tmp_path / "writer.keras")
    writer.export(tmp_path / "writer", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "writer"))
    for received in (loaded.predict(text, verbose=0), served.serve(text)):
        for key, value in expected.items():
            np.testing.assert_allclose(received[key], value, rtol=1e-5)


def test_the_encoder_alone_is_shared(trained):
    declared = trained.variables_by_task()
    shared = {v.path for v in declared["copy"]} & {
        v.path for v in declared["back"]
    }
    assert {path.split("/")[0] for path in shared} == {"embed", "read"}
    assert len(declared["copy"]) == len(shared) + 11


def test_saved_and_loaded(trained, tmp_path):
    x, _ = batch(5, seed=3)
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = trained.predict(x, verbose=0)
    for name, y in loaded.predict(x, verbose=0).items():
        np.testing.assert_allclose(y, expected[name], rtol=1e-6)


def test_target_inputs_are_found_by_name():
    task = Task("de", "sequence", units=9)
    assert task.target_input == "de_in"
    named = SequenceHead(9, target_input="german")
    task = Task("de", "sequence", units=9, head=named)
    assert task.target_input == "german"
    assert Task("de", "binary").target_input is None
    blocks = [layers.Embedding(9, 4, name="embed")]
    text = keras.Input((None,), dtype="int32", name="text")
    with pytest.raises(ValueError, match=r"key 'german'.*Received: \['text'\]"):
        builders.hard_sharing({"text": text}, [task], blocks)
    with pytest.raises(ValueError, match="`inputs` must be a dict"):
        builders.hard_sharing(text, [task], blocks)
    with pytest.raises(ValueError, match="for the first block beside"):
        builders.hard_sharing({"german": text}, [task], blocks)


def test_models_without_a_decoder_cannot_write():
    model = builders.hard_sharing(
        keras.Input((3,)),
        [Task("a", "binary")],
        [layers.Dense(2, name="low")],
    )
    with pytest.raises(ValueError, match="output from a SequenceHead"):
        decoding_model(model, 5)
