"""What replicas send each other in a step, counted, and what that costs.

    python benchmarks/communication.py [--workload W1-8] [--shared 25e6]

Two logical CPU devices train a small network; every number that one of them
gives into a sum over both is counted while the steps run. What the counts say
of T tasks, P shared and H other parameters is then put in for a large model.

Simulated, not measured, is the time: a ring of R devices moves 2 (R − 1) / R
times the bytes of a sum past each of them, and each sum waits once around it.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import reporting
import tensorflow as tf
from keras_variants import network
from workloads import WORKLOADS, Workload

from keras_mtl import MultiTaskModel, balancers

STEPS = 20  # a multiple of `update_every`
EVERY = 10
MODES: dict[str, dict[str, Any] | None] = {
    "plain Keras": None,
    "fixed": {"identifier": "fixed"},
    "mgda, wrt='features'": {"identifier": "mgda", "wrt": "features"},
    "mgda": {"identifier": "mgda"},
    "mgda, jacobian='bfloat16'": {
        "identifier": "mgda",
        "jacobian": "bfloat16",
    },
    "mgda, jacobian='layerwise'": {
        "identifier": "mgda",
        "jacobian": "layerwise",
    },
    f"mgda, update_every={EVERY}": {
        "identifier": "mgda",
        "update_every": EVERY,
    },
    "graddrop": {"identifier": "graddrop"},
}
# Devices, bytes a second past each of them, seconds that a sum waits.
LINKS = {
    "8 devices, one machine": (8, 200e9, 20e-6),
    "256 devices, 32 machines": (256, 20e9, 300e-6),
}
COUNTED = {
    "mode": "mode",
    "sums": "sums a step",
    "numbers": "numbers a step",
    "formula": "which is",
    "bytes": "kB a step",
}


@dataclass(frozen=True)
class Counts:
    """What one replica gave into sums, on average over the steps."""

    sums: float
    numbers: float
    bytes: float


class Counter:
    """Counts, in the graph, what goes through `ReplicaContext.all_reduce`."""

    def __init__(self) -> None:
        self.totals = [tf.Variable(0, dtype="int64") for _ in range(3)]
        self._all_reduce = tf.distribute.ReplicaContext.all_reduce

    def __enter__(self) -> "Counter":
        counter = self

        def counted(context: Any, op: Any, value: Any, *rest: Any) -> Any:
            for tensor in tf.nest.flatten(value):
                size = tf.size(tensor, "int64")
                own = (1, size, size * tensor.dtype.size)
                for total, more in zip(counter.totals, own, strict=True):
                    total.assign_add(more)
            return counter._all_reduce(context, op, value, *rest)

        tf.distribute.ReplicaContext.all_reduce = counted
        return self

    def __exit__(self, *error: object) -> None:
        tf.distribute.ReplicaContext.all_reduce = self._all_reduce

    def read(self, steps: int, replicas: int) -> Counts:
        """The counts of one replica in one step."""
        return Counts(
            *(float(v.numpy()) / steps / replicas for v in self.totals)
        )


def counts(strategy: Any, workload: Workload, mode: str) -> Counts:
    """Trains for some steps and counts."""
    options = MODES[mode]
    with strategy.scope():
        if options is None:
            model = network(workload)
            model.compile("sgd", loss=dict.fromkeys(workload.task_names, "mse"))
        else:
            model = network(workload, MultiTaskModel)
            model.compile(
                "sgd",
                loss=dict.fromkeys(workload.task_names, "mse"),
                balancer=balancers.get(**options),
            )
    x, y = workload.data(1)
    small = slice(0, 2 * STEPS)
    with Counter() as counter:
        model.fit(
            x[small],
            {name: labels[small] for name, labels in y.items()},
            batch_size=2,
            verbose=0,
        )
    return counter.read(STEPS, strategy.num_replicas_in_sync)


def formula(tasks: int, shared: int, own: int, numbers: float) -> str:
    """The count as so many times P, and H; rounded, for a few scalars more."""
    times = (numbers - own) / shared
    return f"{times:.2f} P + H".replace(".00 P", " P").replace(
        f"{tasks} P", "T P"
    )


def seconds(counted: Counts, link: tuple[int, float, float]) -> float:
    """How long the sums of a step take, one after the other."""
    devices, bandwidth, latency = link
    passed = 2 * (devices - 1) / devices * counted.bytes
    return passed / bandwidth + latency


def scaled(
    found: Counts, workload: Workload, own: int, shared: float, heads: float
) -> Counts:
    """The counts of a model with other numbers of parameters."""
    times = shared / workload.shared_parameters
    return Counts(
        found.sums,
        times * (found.numbers - own) + heads,
        times * (found.bytes - 4 * own) + 4 * heads,
    )


def main() -> None:
    """Counts, simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default="W1-8", choices=list(WORKLOADS))
    parser.add_argument("--shared", type=float, default=25e6)
    parser.add_argument("--heads", type=float, default=1e6)
    parser.add_argument("--modes", nargs="*", default=list(MODES))
    reporting.add_arguments(parser)
    args = parser.parse_args()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    workload = WORKLOADS[args.workload]
    shared = workload.shared_parameters
    own = int(np.sum([np.prod(v.shape) for v in _own(workload)]))
    report = reporting.Report("Communication", args.markdown, args.json)

    found = {mode: counts(strategy, workload, mode) for mode in args.modes}
    report.table(
        f"Counted: T = {workload.tasks}, P = {shared:,}, H = {own:,}",
        [
            {
                "mode": mode,
                "sums": f"{one.sums:.0f}",
                "numbers": f"{one.numbers:,.0f}",
                "formula": formula(workload.tasks, shared, own, one.numbers),
                "bytes": f"{one.bytes / 1e3:,.0f}",
            }
            for mode, one in found.items()
        ],
        COUNTED,
        ["a sum is one tensor; TensorFlow sends several at a time"],
    )
    large = {
        mode: scaled(one, workload, own, args.shared, args.heads)
        for mode, one in found.items()
    }
    report.table(
        f"Simulated: T = {workload.tasks}, P = {args.shared:,.0f}, "
        f"H = {args.heads:,.0f}",
        [
            {
                "mode": mode,
                "bytes": f"{one.bytes / 1e6:,.0f}",
                **{
                    name: f"{1e3 * seconds(one, link):,.1f}"
                    for name, link in LINKS.items()
                },
            }
            for mode, one in large.items()
        ],
        {
            "mode": "mode",
            "bytes": "MB a step",
            **{name: f"{name}, ms" for name in LINKS},
        },
        [
            f"{name}: {link[1] / 1e9:.0f} GB/s past each device, "
            f"{1e6 * link[2]:.0f} µs a round"
            for name, link in LINKS.items()
        ],
    )


def _own(workload: Workload) -> list[Any]:
    """The variables of single tasks."""
    keras.utils.set_random_seed(0)
    layers = network(workload).layers
    heads = [x for x in layers if x.name.startswith("task")]
    return [v for layer in heads for v in layer.trainable_variables]


if __name__ == "__main__":
    main()
