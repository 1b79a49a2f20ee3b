"""`fit` on two devices does what it does on one.

One case of the slow ones: `-k "test_every_balancer and mgda-features"`.
"""

import multiprocessing

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import balancers
from keras_mtl.training.backends.tensorflow import explain
from tests.balancers.cases import CASES
from tests.distribution.mirrored import (
    board_and_export,
    refusals,
    text_on_two,
    trained_on_two,
)
from tests.distribution.training import trained

# Losses, and a Gram matrix; coordinates take the latter's way to their rows.
SOME = {
    "uncertainty": ("uncertainty", 0, {}),
    "imtlg": ("imtlg", 0, {}),
}
REFUSED = (
    "steps_per_execution",
    "jit_compile",
    "run_eagerly",
    "gradient_accumulation_steps",
    "balancer",
    "update_every",
    "model",
)
SECONDS = 600


def all_rows():
    rows = {"none": (None, None, {})}
    for case in CASES:
        rows[case.name] = (case.name, 0, {})
        kind = balancers.registry[case.name]
        if issubclass(kind, balancers.LossBalancer) or kind.exact_only:
            continue
        # Replicas draw the same noise for the features of other examples.
        if case.name != "graddrop":
            features = {"wrt": "features"}
            rows[f"{case.name}-features"] = (case.name, 0, features)
    for name, options in (
        ("seldom", {"update_every": 3}),
        ("seldom-features", {"update_every": 3, "wrt": "features"}),
        ("layerwise", {"jacobian": "layerwise"}),
    ):
        rows[f"upgrad-{name}"] = ("upgrad", None, options)
    return rows


def params(rows):
    return [pytest.param(row, id=name) for name, row in rows.items()]


@pytest.fixture(scope="module")
def other():
    """A process with two devices, kept for all cases."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def assert_same_on_two(other, row, small=False):
    on_two = other.apply_async(trained_on_two, (row, small))
    expected = trained(row, small)  # meanwhile
    own = on_two.get(SECONDS)
    for kind in ("weights", "state"):
        for a, b in zip(own[kind], expected[kind], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6, err_msg=kind)
    assert own["logs"].keys() == expected["logs"].keys()
    for key, values in expected["logs"].items():
        np.testing.assert_allclose(
            own["logs"][key], values, rtol=1e-4, atol=1e-5, err_msg=key
        )


@pytest.mark.parametrize("row", params(SOME))
def test_one_of_each_contract(row, other):
    assert_same_on_two(other, row, small=True)


@pytest.fixture(scope="module")
def said(other):
    return other.apply_async(refusals).get(SECONDS)


@pytest.mark.parametrize("argument", REFUSED)
def test_what_cannot_work_is_refused_before_training(argument, said):
    assert f"`{argument}`" in said[argument] or argument == "model"
    assert "Received:" in said[argument]


def test_a_second_strategy_is_told_of():
    # As TensorFlow 2.21 says it of devices 0 and 1, then 1 and 2.
    error = tf.errors.InternalError(
        None,
        None,
        "Graph execution error:\n\nCollective ops is aborted by: Device CPU:2 "
        "is joining a group that is already full (group_key=1)\nThe error "
        "could be from a previous operation.",
    )
    said = explain(error)
    assert "they have: Device CPU:2 is joining a group" in said
    assert "(group_key=1). Most often there is a second MirroredStr" in said


@pytest.mark.slow
def test_a_model_of_two_devices_is_watched_and_exported(other, tmp_path):
    mine, served, tags = other.apply_async(board_and_export, (tmp_path,)).get(
        SECONDS
    )
    assert {"gradient cosine/kind and age", "loss by step/age"} <= set(tags)
    for name, outputs in mine.items():
        np.testing.assert_allclose(served[name], outputs, atol=1e-5)


@pytest.mark.slow
def test_strings_are_shared_out(other):
    assert np.isfinite(other.apply_async(text_on_two).get(SECONDS)).all()


@pytest.mark.slow
@pytest.mark.parametrize("row", params(all_rows()))
def test_every_balancer(row, other):
    assert_same_on_two(other, row)
