"""Mixtures of what Python reads: a `PyDataset`, a data set by index."""

import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import Task
from keras_mtl.data.mixing import Mixture
from tests.data.test_mixing import TASKS, drawn, epochs, sources


class Batches(keras.utils.PyDataset):
    """Arrays in batches, the last of them smaller."""

    def __init__(self, arrays, batch_size, broken=None, **kwargs):
        super().__init__(**kwargs)
        self.arrays, self.batch_size = arrays, batch_size
        self.broken = broken

    def __len__(self):
        return -(-len(self.arrays[0]) // self.batch_size)

    def __getitem__(self, index):
        if index == self.broken:
            raise OSError("no such file")
        x, y = self.arrays
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return x[part], {name: labels[part] for name, labels in y.items()}


class Examples:
    """Arrays by index, as `grain.MapDataset` gives them."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        x, y = self.arrays
        return x[index], {name: labels[index] for name, labels in y.items()}


def mixed(wrap, name="large", **arguments):
    given = sources(small=41, large=119)
    given[name] = wrap(given[name])
    return Mixture(
        given, TASKS, **{"batch_size": 8, "rates": "uniform", **arguments}
    )


def unshuffled(shard=(0, 1)):
    return mixed(lambda data: data, shuffle=False, shard=shard)


WRAPS = {
    "PyDataset": lambda data: Batches(data, 7),
    "PyDataset with workers": lambda data: Batches(data, 7, workers=2),
    "PyDataset of one batch": lambda data: Batches(data, 500),
    "by index": Examples,
}
each_wrap = pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)


@each_wrap
@pytest.mark.parametrize("name", ["small", "large"])
def test_it_gives_what_arrays_give(wrap, name):
    one, other = unshuffled(), mixed(wrap, name, shuffle=False)
    for epoch in range(3):
        for expected, found in zip(
            one.dataset(epoch), other.dataset(epoch), strict=True
        ):
            np.testing.assert_array_equal(found[0], expected[0])
            for task in "ab":
                np.testing.assert_array_equal(found[1][task], expected[1][task])


@each_wrap
def test_it_goes_on_at_any_step(wrap):
    mixture = mixed(wrap)
    whole = drawn(mixture.dataset(2))
    for step in (1, 6, 19):
        np.testing.assert_array_equal(
            drawn(mixture.dataset(2, step)), whole[step:]
        )


@each_wrap
def test_workers_together_draw_what_one_draws(wrap):
    (whole,) = epochs(mixed(wrap), 1)
    for i in range(2):
        (part,) = epochs(mixed(wrap, shard=(i, 2)), 1)
        np.testing.assert_array_equal(part, whole[i::2])


def test_examples_by_index_are_shuffled_as_arrays_are():
    np.testing.assert_array_equal(
        drawn(mixed(Examples).dataset(1)),
        drawn(mixed(lambda data: data).dataset(1)),
    )


def test_texts_by_index_stay_texts():
    texts = [(str(i), {"a": i}) for i in range(6)]

    class Texts:
        def __len__(self):
            return len(texts)

        def __getitem__(self, index):
            return texts[index]

    mixture = Mixture(
        {"texts": Texts()},
        [Task("a", "multiclass", units=6)],
        batch_size=3,
    )
    for x, y in mixture.dataset():
        assert [int(text) for text in x.numpy()] == y["a"].numpy().tolist()


class Endless(Batches):
    @property
    def num_batches(self):
        return None


class EndlessExamples(Examples):
    def __len__(self):
        return sys.maxsize


def ragged(data):
    x, y = data
    rows = [
        (np.repeat(x[i], 1 + (i > 60)), {"b": y["b"][i]}) for i in range(len(x))
    ]

    class Ragged(Examples):
        def __getitem__(self, index):
            return rows[index]

    return Ragged(data)


def far(data):
    x, y = data
    labels = {"b": y["b"], "a": np.full(len(x), 3)}
    labels["a"][100] = 10
    return x, labels


BAD = {
    "endless": (lambda d: Endless(d, 7), "must be finite.*'large'"),
    "endless examples": (EndlessExamples, "must be finite.*'large'"),
    "empty": (
        lambda d: Batches((d[0][:0], d[1]), 7),
        "source 'large' is empty",
    ),
    "a list": (lambda d: list(d), r"`sources\['large'\]` must be.*list"),
    "an array": (lambda d: d[0], r"`sources\['large'\]` must be.*ndarray"),
    "an iterator": (
        lambda d: iter(Batches(d, 7)),
        r"must be.*PyDataset of batches.*grain\.MapDataset.*Received",
    ),
    "unknown task": (
        lambda d: Batches((d[0], {"c": d[1]["b"]}), 7),
        "y of the source 'large'` has keys that name no task",
    ),
}


@pytest.mark.parametrize(("wrap", "message"), BAD.values(), ids=BAD)
def test_bad_sources_are_refused(wrap, message):
    with pytest.raises(ValueError, match=message):
        mixed(wrap)


LATE = {
    "broken": (
        lambda d: Batches(d, 7, broken=4),
        "'large' cannot be read at index 4: OSError: no such file",
    ),
    "shapes": (ragged, r"'large' must hold the same columns.*at index \d+"),
    "range, by index": (
        lambda d: Examples(far(d)),
        "'large' has a label out of range: task 'a', example 100.*: 10",
    ),
    "range, in batches": (
        lambda d: Batches(far(d), 7),
        "'large' has a label out of range: task 'a', example 100.*: 10",
    ),
}


@pytest.mark.parametrize(("wrap", "message"), LATE.values(), ids=LATE)
def test_what_is_seen_while_reading_names_source_and_index(wrap, message):
    mixture = mixed(wrap, rates="proportional")
    with pytest.raises(tf.errors.OpError) as caught:
        epochs(mixture, 1)
    assert re.search(message, mixture.explain(caught.value))
