"""PLE by loops; whose its experts are; how blocks become levels."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task
from keras_mtl.builders import ple

TASKS = [Task("a", "binary"), Task("b", "regression")]


def blocks(*names):
    return [
        layers.Dense(4 + i, activation="tanh", name=name)
        for i, name in enumerate(names or ("low", "middle", "high"))
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    return ple(
        **{
            "inputs": keras.Input((6,)),
            "tasks": TASKS,
            "blocks": blocks(),
            "num_shared_experts": 3,
            "num_task_experts": 2,
            **arguments,
        }
    )


def of_experts(model, name, x):
    """(batch, experts, channels)."""
    layer = model.get_layer(name)
    outputs = []
    for e in range(layer.num_experts):
        h = x
        for kernel, bias in zip(layer.kernels, layer.biases, strict=True):
            h = np.tanh(h @ np.array(kernel)[e] + np.array(bias)[e])
        outputs.append(h)
    return outputs


def mixed(model, name, x, experts):
    logits = x @ np.array(model.get_layer(f"{name}_gate").kernel)
    gate = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert gate.shape[1] == len(experts)
    return sum(gate[:, e, None] * h for e, h in enumerate(experts))


@pytest.mark.parametrize("levels", [None, 1])
def test_outputs_by_loops(levels):
    model = build(levels=levels)
    x = np.random.default_rng(0).normal(size=(9, 6))
    shared, own = x, {"a": x, "b": x}
    names = ["low", "middle", "high"] if levels is None else ["low"]
    for name in names:
        of_shared = of_experts(model, f"shared_{name}_experts", shared)
        of_own = {
            k: of_experts(model, f"{k}_{name}_experts", own[k]) for k in "ab"
        }
        own = {
            k: mixed(model, f"{k}_{name}", own[k], of_own[k] + of_shared)
            for k in "ab"
        }
        if name != names[-1]:
            shared = mixed(
                model,
                f"shared_{name}",
                shared,
                of_own["a"] + of_own["b"] + of_shared,
            )
    outputs = model.predict(x.astype("float32"), verbose=0)
    for key in "ab":
        kernel, bias = model.get_layer(key).get_weights()
        logits = own[key] @ kernel + bias
        expected = 1 / (1 + np.exp(-logits)) if key == "a" else logits
        np.testing.assert_allclose(outputs[key], expected, rtol=1e-4, atol=1e-6)


def test_own_experts_are_private_only_at_the_last_level():
    model = build(depth=1)
    names = {
        key: {v.path.split("/")[0] for v in variables}
        for key, variables in model.variables_by_task().items()
    }
    # Below, the shared gate hands each task's experts to all.
    shared = {
        "low",
        "a_middle_experts",
        "b_middle_experts",
        "shared_middle_experts",
        "shared_middle_gate",
        "shared_high_experts",
    }
    assert names == {
        k: shared
        | {f"{k}_middle_gate", f"{k}_high_experts", f"{k}_high_gate", k}
        for k in "ab"
    }
    with pytest.raises(ValueError, match="No such layer"):
        model.get_layer("shared_high_gate")


@pytest.mark.parametrize(
    ("levels", "widths"),
    [
        (None, {"low": [4], "next": [5], "high": [6], "top": [7]}),
        (4, {"low": [4], "next": [5], "high": [6], "top": [7]}),
        (2, {"low": [4, 5], "high": [6, 7]}),
        (1, {"low": [4, 5, 6, 7]}),
    ],
)
def test_levels_are_runs_of_blocks(levels, widths):
    model = build(blocks=blocks("low", "next", "high", "top"), levels=levels)
    experts = {
        v.name: v.units for v in model.layers if v.name.endswith("_experts")
    }
    assert experts == {
        f"{owner}_{name}_experts": units
        for owner in ("a", "b", "shared")
        for name, units in widths.items()
    }


def test_copies_are_named_by_their_owner():
    model = build(
        blocks=[layers.Dense(4, name="low"), layers.ReLU(name="relu")],
        levels=1,
        num_shared_experts=1,
    )
    names = {v.name for v in model.layers if v.name.endswith("_low")}
    assert names == {
        "shared_expert_0_low",
        *(f"{k}_expert_{e}_low" for k in "ab" for e in range(2)),
    }


BAD = {
    "no_shared": (
        {"num_shared_experts": 0},
        "'shared_low_experts' must have.*Received: 0",
    ),
    "none_of_a_task": (
        {"num_task_experts": 0},
        "'a_low_experts' must have.*Received: 0",
    ),
    "no_level": ({"levels": 0}, "`levels`.*Received: levels=0"),
    "unequal_levels": (
        {"levels": 2},
        r"equal runs.*levels=2 for 3 blocks, \['low', 'middle', 'high'\]",
    ),
    "unequal_levels_after_depth": (
        {"levels": 3, "depth": 1},
        r"levels=3 for 2 blocks",
    ),
    "tower": ({"tower_units": (0,)}, r"`tower_units`.*\(0,\)"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
