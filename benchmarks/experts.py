"""A mixture of experts beside the same network as a list of Dense layers.

    python benchmarks/experts.py --peer-python .venv-bench/bin/python

MMoE 64 → 8 experts (256-128) → T towers (64), batch 512: a training step
(Adam) and inference, both compiled, of `builders.mmoe` over plain Keras with
a layer for each expert, and over PyTorch with a module for each. Then how
long 64 experts and 32 tasks take to build. All models are plain
`keras.Model`s here, trained by the same step: it is layers that differ.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import contextlib
import functools
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import reporting
import tensorflow as tf
from keras import layers, ops
from sampling import Spread, interleave
from worker import Worker

from keras_mtl import Task, builders

INPUTS, EXPERTS, WIDTHS, TOWER, BATCH = 64, 8, (256, 128), 64, 512
SECONDS_TO_BUILD = 5.0
COLUMNS = {
    "what": "what",
    "over_plain": "ours / plain Keras",
    "verdict": "bar 1",
    "ours_ms": "ours, ms",
    "plain_ms": "plain Keras, ms",
    "plain": "plain Keras mixes by",
    "over_torch": "ours / torch",
    "torch_ms": "torch, ms",
}


class Mixture(keras.Layer):
    """Stacked experts and a gate, as one would write it."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by = by

    def call(self, inputs: Any) -> Any:
        """The sum over the experts."""
        gate, stack = inputs
        if self.by == "einsum":
            return ops.einsum("be,bed->bd", gate, stack)
        return ops.sum(ops.expand_dims(gate, -1) * stack, axis=1)


class Stack(keras.Layer):
    """Outputs of experts side by side."""

    def call(self, inputs: Any) -> Any:
        """One tensor."""
        return ops.stack(inputs, axis=1)


def plain_keras(num_tasks: int, by: str) -> Any:
    """The network as a list of Dense layers."""
    x = keras.Input((INPUTS,))
    outputs = []
    for _ in range(EXPERTS):
        h = x
        for width in WIDTHS:
            h = layers.Dense(width, activation="relu")(h)
        outputs.append(h)
    stack = Stack()(outputs)
    heads = {}
    for task in range(num_tasks):
        gate = layers.Dense(EXPERTS, activation="softmax", use_bias=False)(x)
        h = Mixture(by)([gate, stack])
        h = layers.Dense(TOWER, activation="relu")(h)
        heads[f"t{task}"] = layers.Dense(1)(h)
    return keras.Model(x, heads)


def tasks(number: int) -> list[Task]:
    """Regressions."""
    return [Task(f"t{i}", "regression") for i in range(number)]


def blocks() -> list[Any]:
    """What an expert consists of."""
    return [
        layers.Dense(width, activation="relu", name=f"level_{width}")
        for width in WIDTHS
    ]


def ours(num_tasks: int) -> Any:
    """The network by the builder."""
    model = builders.mmoe(
        keras.Input((INPUTS,)),
        tasks(num_tasks),
        blocks(),
        num_experts=EXPERTS,
        tower_units=(TOWER,),
    )
    return keras.Model(model.input, dict(model.output))


def timed(call: Callable[[], Any], steps: int) -> Callable[[], float]:
    """A round: seconds of a call."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            result = call()
        keras.tree.map_structure(ops.convert_to_numpy, result)
        return (time.perf_counter() - start) / steps

    run()  # traces
    return run


def training(model: Any, num_tasks: int, steps: int, jit: bool) -> Any:
    """Rounds of compiled training steps."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(BATCH, INPUTS)).astype("float32")
    y = {
        f"t{i}": draw.normal(size=(BATCH, 1)).astype("float32")
        for i in range(num_tasks)
    }
    model.compile("adam", dict.fromkeys(y, "mse"), jit_compile=jit)
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((x, y)).repeat())
    return timed(lambda: model.train_function(batches), steps)


def inference(model: Any, num_tasks: int, steps: int, jit: bool) -> Any:
    """Rounds of compiled calls."""
    x = np.random.default_rng(0).normal(size=(BATCH, INPUTS))
    x = tf.constant(x, "float32")
    function = tf.function(lambda x: model(x, training=False), jit_compile=jit)
    return timed(lambda: function(x), steps)


class Peer(Worker):
    """The process of PyTorch; see `experts_torch.py`."""

    def __init__(self, python: str, steps: int) -> None:
        script = Path(__file__).with_name("experts_torch.py")
        shape = json.dumps([INPUTS, EXPERTS, WIDTHS, TOWER, BATCH])
        self.process = subprocess.Popen(
            [python, str(script), shape, str(steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def compare(
    what: str,
    num_tasks: int,
    peer: Peer | None,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """One row of the table."""
    runner = training if what == "train" else inference
    made = {
        "ours": ours(num_tasks),
        "sum": plain_keras(num_tasks, "sum"),
        "einsum": plain_keras(num_tasks, "einsum"),
    }
    runs = {
        name: runner(model, num_tasks, args.steps, args.jit)
        for name, model in made.items()
    }
    if peer:
        run = functools.partial(peer.run, f"{what}:{num_tasks}")
        run()  # warm up
        runs["torch"] = run
    seconds = interleave(runs, args.rounds)
    # What is compared with is the better way of writing it.
    best = min(("sum", "einsum"), key=lambda n: Spread.of(seconds[n]).median)
    ratio = Spread.of(seconds["ours"] / seconds[best])
    row = {
        "what": f"{what}, T = {num_tasks}",
        "over_plain": ratio,
        "verdict": reporting.verdict(ratio.median, 1.0),
        "ours_ms": Spread.of(seconds["ours"] * 1e3).median,
        "plain_ms": Spread.of(seconds[best] * 1e3).median,
        "plain": best,
    }
    if peer:
        row["over_torch"] = Spread.of(seconds["ours"] / seconds["torch"])
        row["torch_ms"] = Spread.of(seconds["torch"] * 1e3).median
    return row


def building(rounds: int) -> dict[str, Any]:
    """How long 64 experts and 32 tasks take."""

    def build() -> float:
        start = time.perf_counter()
        builders.mmoe(
            keras.Input((INPUTS,)), tasks(32), blocks(), num_experts=64
        )
        return time.perf_counter() - start

    seconds = Spread.of(interleave({"build": build}, rounds)["build"])
    return {
        "what": "64 experts, 32 tasks",
        "seconds": seconds,
        "verdict": reporting.verdict(seconds.median, SECONDS_TO_BUILD),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="of an environment with torch")
    parser.add_argument("--tasks", nargs="*", type=int, default=[2, 8])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--steps", type=int, default=10, help="in a round")
    parser.add_argument("--jit", action="store_true", help="compile by XLA")
    reporting.add_arguments(parser)
    args = parser.parse_args()

    report = reporting.Report("Experts", args.markdown, args.json)
    with contextlib.ExitStack() as stack:
        peer = None
        if args.peer_python:
            peer = stack.enter_context(Peer(args.peer_python, args.steps))
        rows = [
            compare(what, num_tasks, peer, args)
            for num_tasks in args.tasks
            for what in ("train", "infer")
        ]
    title = "MMoE" + (", XLA" if args.jit else "")
    columns = {k: v for k, v in COLUMNS.items() if any(k in r for r in rows)}
    report.table(title, rows, columns)
    report.table(
        "Building",
        [building(5)],
        {
            "what": "model",
            "seconds": "seconds",
            "verdict": f"bar {SECONDS_TO_BUILD:.0f} s",
        },
    )


if __name__ == "__main__":
    main()
