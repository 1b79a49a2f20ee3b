"""Chains of events on sequences: pooled they work, place by place not."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders

each_chain = pytest.mark.parametrize("name", ["esmm", "aitm"])


@each_chain
def test_events_follow_from_whole_sequences_without_their_padding(name):
    keras.utils.set_random_seed(0)
    model = builders.registry[name](
        keras.Input((None,), dtype="int32"),
        [Task("click", "binary"), Task("buy", "binary")],
        [
            layers.Embedding(9, 4, mask_zero=True, name="tokens"),
            layers.Dense(5, activation="tanh", name="each"),
            layers.GlobalAveragePooling1D(name="mean"),
        ],
        depth=1,
    )
    x = np.array([[3, 1, 4], [1, 5, 0]])
    padded = np.pad(x, ((0, 0), (0, 2)))
    found = model(padded)
    for key, expected in model(x).items():
        assert expected.shape == (2, 1)
        np.testing.assert_allclose(found[key], expected, rtol=1e-5)


def per_example():
    return keras.Sequential(
        [
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


NO_EVENTS = {
    "tagging": (
        Task("tags", "tagging", units=3),
        "Received: task 'tags' of kind 'tagging', units=3",
    ),
    "sequence": (
        Task("words", "sequence", units=9),
        "Received: task 'words' of kind 'sequence', units=9",
    ),
    "head_of_each_place": (
        Task("buy", "binary", head=layers.Dense(1, activation="sigmoid")),
        r"head of task 'buy' must give one probability.*\(None, 7, 1\)",
    ),
    "features_of_each_place": (
        Task("buy", "binary"),
        r"default head of task 'buy'.*\(None, 7, 5\).*a pooling",
    ),
    "two_values": (
        Task(
            "buy",
            "binary",
            head=keras.Sequential([layers.Flatten(), layers.Dense(2)]),
        ),
        r"head of task 'buy' must give one probability.*\(None, 2\)",
    ),
}


@each_chain
@pytest.mark.parametrize(("task", "message"), NO_EVENTS.values(), ids=NO_EVENTS)
def test_an_event_is_of_an_example_not_of_its_places(name, task, message):
    with pytest.raises(ValueError, match=message):
        builders.registry[name](
            keras.Input((7, 3)),
            [Task("click", "binary", head=per_example()), task],
            [layers.Dense(5, name="each")],
        )
