"""Eager, graph, XLA, several steps a call: the same numbers, traced once."""

import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, balancers
from tests.training import models

METHODS = {
    "uncertainty": lambda: balancers.get("uncertainty"),
    "mgda_every_2": lambda: balancers.get("mgda", update_every=2),
    # Random numbers differ under XLA; with a leak of 1 none of them counts.
    "graddrop_features": lambda: balancers.get(
        "graddrop", leak=1.0, seed=1, wrt="features"
    ),
}
MODES = {
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "two_steps_a_call": {"jit_compile": False, "steps_per_execution": 2},
}


def trained(make, **compiled):
    x, y = models.data(missing=True)
    model = models.model(batch_norm=True, regularizer="l2")
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), balancer=make(), **compiled
    )
    logs = model.fit(
        x, y, batch_size=6, epochs=2, shuffle=False, verbose=0
    ).history
    return logs, [np.array(v) for v in model.variables]


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_modes_agree(make):
    logs, variables = trained(make, run_eagerly=True)
    for name, mode in MODES.items():
        own_logs, own_variables = trained(make, **mode)
        assert set(own_logs) == set(logs)
        for key, value in logs.items():
            np.testing.assert_allclose(
                own_logs[key], value, rtol=1e-4, atol=1e-5, err_msg=name
            )
        for own, variable in zip(own_variables, variables, strict=True):
            np.testing.assert_allclose(
                own, variable, rtol=1e-4, atol=1e-5, err_msg=name
            )


class Counted(MultiTaskModel):
    """Counts how often its steps are traced."""

    train_traces = test_traces = 0

    def train_step(self, data):
        self.train_traces += 1
        return super().train_step(data)

    def test_step(self, data):
        self.test_traces += 1
        return super().test_step(data)


@pytest.mark.parametrize(
    ("balancer", "samples", "traces"), [("mgda", 24, 1), (None, 25, 2)]
)
def test_no_retracing(balancer, samples, traces):
    x, y = models.data(samples)
    model = Counted(*models.graph(), tasks=models.tasks())
    model.compile("adam", balancer=balancer, jit_compile=False)
    options = {"batch_size": 8, "validation_data": (x, y), "verbose": 0}
    model.fit(x, y, epochs=3, **options)
    assert 1 <= model.train_traces <= traces
    assert 1 <= model.test_traces <= traces
    seen = model.train_traces, model.test_traces
    model.fit(x, y, epochs=2, **options)
    assert model.train_traces == seen[0]
