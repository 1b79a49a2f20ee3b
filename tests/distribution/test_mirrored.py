"""`fit` on two devices does what it does on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_mtl import balancers
from tests.balancers.cases import CASES
from tests.distribution.training import trained

ROOT = Path(__file__).parents[2]
# Losses, and a Gram matrix; coordinates take the latter's way to their rows.
SOME = [
    ("uncertainty", 0, {}),
    ("imtlg", 0, {}),
]
REFUSED = (
    "steps_per_execution",
    "jit_compile",
    "run_eagerly",
    "gradient_accumulation_steps",
    "balancer",
    "update_every",
    "model",
)


def all_rows():
    rows = [(None, None, {}), *((case.name, 0, {}) for case in CASES)]
    for case in CASES:
        kind = balancers.registry[case.name]
        if issubclass(kind, balancers.LossBalancer) or kind.exact_only:
            continue
        # Replicas draw the same noise for the features of other examples.
        if case.name != "graddrop":
            rows.append((case.name, 0, {"wrt": "features"}))
    more = (
        {"update_every": 3},
        {"update_every": 3, "wrt": "features"},
        {"jacobian": "layerwise"},
    )
    return [*rows, *(("upgrad", None, options) for options in more)]


def on_two_devices(rows, folder, *options):
    (folder / "rows.json").write_text(json.dumps(rows))
    subprocess.run(
        [
            sys.executable,
            ROOT / "tests/distribution/mirrored_script.py",
            folder / "rows.json",
            folder / "results.json",
            *options,
        ],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=3600,
    )
    return json.loads((folder / "results.json").read_text())


def assert_same(own, expected, label):
    for kind in ("weights", "state"):
        for a, b in zip(own[kind], expected[kind], strict=True):
            np.testing.assert_allclose(
                a, b, rtol=1e-4, atol=5e-6, err_msg=f"{label}: {kind}"
            )
    assert own["logs"].keys() == expected["logs"].keys(), label
    for key, values in expected["logs"].items():
        np.testing.assert_allclose(
            own["logs"][key],
            values,
            rtol=1e-4,
            atol=1e-5,
            err_msg=f"{label}: {key}",
        )


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    return on_two_devices(SOME, tmp_path_factory.mktemp("mirrored"), "small")


@pytest.mark.parametrize("place", range(len(SOME)))
def test_one_of_each_contract(place, some):
    expected = trained(SOME[place], small=True)
    assert_same(some["found"][place], expected, SOME[place])


@pytest.mark.parametrize("argument", REFUSED)
def test_what_cannot_work_is_refused_before_training(argument, some):
    said = some["refusals"][argument]
    assert f"`{argument}`" in said or argument == "model"
    assert "Received:" in said


@pytest.mark.slow
def test_every_balancer(tmp_path):
    rows = all_rows()
    found = on_two_devices(rows, tmp_path)["found"]
    for row, own in zip(rows, found, strict=True):
        assert_same(own, trained(row), row)
