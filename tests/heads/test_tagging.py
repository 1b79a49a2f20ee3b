"""Tags of positions: the kind "tagging", whose head is a plain Dense."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders

VOCABULARY, TAGS = 9, 3


def words(count=64, length=6, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.integers(1, VOCABULARY, size=(count, length))
    for row, size in zip(x, draw.integers(1, length + 1, count), strict=True):
        row[size:] = 0
    return x


def tags(x, *, padding):
    return np.where(x == 0, padding, x % TAGS)


def model(*names, **arguments):
    return builders.hard_sharing(
        keras.Input((None,), dtype="int32"),
        [Task(name, "tagging", units=TAGS, **arguments) for name in names],
        [
            layers.Embedding(VOCABULARY, 8, mask_zero=True, name="embed"),
            layers.Dense(8, activation="relu", name="read"),
        ],
    )


@pytest.mark.parametrize(
    ("balancer", "padding"), [(None, -1), (None, 0), ("mgda", 0)]
)
def test_loss_and_accuracy_equal_a_loop(balancer, padding):
    """Padding counts nowhere: by -1, and by the mask of the features."""
    keras.utils.set_random_seed(0)
    tagger = model("a", "b")
    tagger.compile(keras.optimizers.SGD(0.0), balancer=balancer)
    x = words(16)
    y = {name: tags(x, padding=padding) for name in "ab"}
    y["b"][3] = -1
    y["b"][4, 0] = -1
    logs = tagger.fit(x, y, batch_size=16, verbose=0).history
    predictions = tagger.predict(x, verbose=0)
    for name in "ab":
        losses, right = [], []
        for words_, labels, p in zip(
            x, y[name], predictions[name], strict=True
        ):
            for word, label, q in zip(words_, labels, p, strict=True):
                if word and label >= 0:
                    losses.append(-np.log(q[label]))
                    right.append(q.argmax() == label)
        assert logs[f"{name}_loss"][0] == pytest.approx(
            np.mean(losses), rel=1e-5
        )
        assert logs[f"{name}_accuracy"][0] == pytest.approx(np.mean(right))


def test_features_without_time_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, time, channels\).*axis of"):
        builders.hard_sharing(
            keras.Input((4,)),
            [Task("a", "tagging", units=3)],
            [layers.Dense(3, name="low")],
        )
