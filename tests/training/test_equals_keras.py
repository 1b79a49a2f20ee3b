"""Constant weights of 1 are plain Keras, on every graph, to the last digit."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import MultiTaskModel
from tests.graph import cases
from tests.training.balancers import plain_balancers


class _Rich:
    """Dense with L2 and activity losses, BatchNorm and Dropout, as one."""

    def __init__(self, name, units=3):
        self.layers = [
            layers.Dense(
                units,
                activation="tanh",
                kernel_regularizer=keras.regularizers.L2(0.1),
                activity_regularizer=keras.regularizers.L1(0.1),
                name=name,
            ),
            layers.BatchNormalization(momentum=0.5, name=f"{name}_norm"),
            layers.Dropout(0.3, seed=len(name), name=f"{name}_drop"),
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def __setattr__(self, key, value):
        if key == "trainable":
            for layer in self.layers:
                layer.trainable = value
        super().__setattr__(key, value)


def _graph(make, monkeypatch):
    keras.utils.set_random_seed(1)
    with monkeypatch.context() as patch:
        patch.setattr(cases, "_dense", _Rich)
        return make()


def _train(model, x, **compiled):
    """Two steps by momentum, under loss weights and sample weights."""
    names = list(model.output)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        loss=dict.fromkeys(names, "mse"),
        loss_weights={n: 0.5 + i for i, n in enumerate(names)},
        run_eagerly=True,
        **compiled,
    )
    rng = np.random.default_rng(0)
    y = {n: rng.normal(size=(6, *t.shape[1:])) for n, t in model.output.items()}
    weights = {n: rng.uniform(0.5, 2, 6).astype("float32") for n in names}
    return [
        model.train_on_batch(x, y, sample_weight=weights, return_dict=True)[
            "loss"
        ]
        for _ in range(2)
    ]


@pytest.mark.filterwarnings("ignore:The tasks of this model share no")
@pytest.mark.parametrize("make", cases.GRAPHS, ids=lambda f: f.__name__)
def test_two_steps(make, monkeypatch):
    keras.utils.set_random_seed(1)
    monkeypatch.setattr(cases, "_dense", _Rich)
    plain = keras.Model(*make())
    model = MultiTaskModel(plain.input, plain.output)
    x = cases.make_inputs(model)
    variables = plain.variables  # weights, statistics and random state
    start = [v.numpy() for v in variables]
    losses = _train(plain, x)
    end = [v.numpy() for v in variables]
    for name, balancer in plain_balancers().items():
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        assert _train(model, x, balancer=balancer) == pytest.approx(
            losses, rel=1e-6
        ), name
        for variable, value in zip(variables, end, strict=True):
            np.testing.assert_allclose(
                variable.numpy(),
                value,
                rtol=1e-6,
                atol=1e-6,
                err_msg=f"{name} {variable.path}",
            )
