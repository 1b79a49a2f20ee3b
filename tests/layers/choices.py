"""What tests of learned choices share: noise that stays."""

import keras
import numpy as np
import tensorflow as tf


def gumbel(uniform):
    return [-np.log(-np.log(u)) for u in uniform]


def softmax(values):
    exponents = [np.exp(v - max(values)) for v in values]
    return [e / sum(exponents) for e in exponents]


def fix_noise(monkeypatch, uniform):
    """Makes every draw give these numbers in (0, 1)."""

    def draw(shape, minval, dtype, seed):
        assert shape == (len(uniform),)
        assert 0 < minval < 1e-30
        return tf.constant(uniform, dtype)

    monkeypatch.setattr(keras.random, "uniform", draw)
