import keras
import numpy as np
import pytest

from keras_mtl.analysis.batches import Batches


class Recorder(keras.Model):
    """Keeps what it is given instead of learning."""

    def train_step(self, data):
        x, y = data
        np.testing.assert_array_equal(x[:, 0], y["a"])
        self.seen.append([int(value) for value in y["a"]])
        return {"loss": keras.ops.sum(x)}


def seen(seed, initial_epoch, epochs):
    inputs = keras.Input((1,))
    model = Recorder(inputs, {"a": keras.layers.Dense(1)(inputs)})
    model.seen = []
    model.compile(loss={"a": "mse"}, run_eagerly=True)
    rows = np.arange(10.0)
    batches = Batches(rows[:, None], {"a": rows}, batch_size=4, seed=seed)
    model.fit(
        batches,
        initial_epoch=initial_epoch,
        epochs=epochs,
        callbacks=[batches.callback],
        shuffle=False,
        verbose=0,
    )
    return list(model.seen)


def test_epochs_differ_and_each_sees_every_example_once():
    batches = seen(seed=1, initial_epoch=0, epochs=3)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [
        [row for batch in batches[i : i + 3] for row in batch]
        for i in (0, 3, 6)
    ]
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_depends_on_seed_and_epoch_alone():
    whole = seen(seed=1, initial_epoch=0, epochs=3)
    assert seen(seed=1, initial_epoch=2, epochs=3) == whole[6:]
    assert seen(seed=2, initial_epoch=0, epochs=3) != whole


def test_dict_inputs_stay_together():
    rows = np.arange(6)
    x, y = Batches({"p": rows, "q": -rows}, {"a": rows}, 4, seed=0)[1]
    np.testing.assert_array_equal(x["p"], -x["q"])
    np.testing.assert_array_equal(x["p"], y["a"])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"as many examples.*\[2, 3\]"):
        Batches(np.zeros((3, 1)), {"a": np.zeros(2)}, 2, seed=0)
