"""Peak memory of training, over that of plain Keras `fit`.

    python benchmarks/memory.py [--workloads W1-8] [--methods mgda]

Each variant trains in a process of its own, several times. Two figures:

    process  the largest resident size at all, with what tracing the graph and
             compiling the solver took
    steps    how far it rises above its rest while compiled steps run: the
             tensors of a step, activations and Jacobian
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import reporting
from sampling import Spread
from worker import Skipped, Worker
from workloads import WORKLOADS, Workload

VARIANTS = (
    "passes",
    "fixed",
    "mgda@features",
    "mgda",
    "mgda:bfloat16",
    "mgda:layerwise",
    "upgrad",
    "graddrop",
)
MIB = 2**20
# Tensors then come from the system and go back to it as soon as they are
# freed: oneDNN's allocator would keep them in a pool.
ENVIRONMENT = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "MALLOC_MMAP_THRESHOLD_": "65536",
}
BAR = 1.2  # Jacobians in float32
COLUMNS = {
    "variant": "variant",
    "steps": "steps, MiB over plain",
    "steps_verdict": "",
    "process": "process, MiB over plain",
    "process_verdict": "",
    "jacobian": "Jacobian, MiB",
    "bar": "bar, MiB",
}


def peaks(
    workload: str, variant: str, repetitions: int, steps: int
) -> dict[str, np.ndarray]:
    """MiB of so many processes: `process` and `steps`."""
    found = []
    for _ in range(repetitions):
        with Worker(
            "keras", workload, steps, environment=ENVIRONMENT
        ) as worker:
            worker.run(variant)
            found.append(worker.memory(variant))
    return {
        "process": np.array([f["peak"] for f in found]) / MIB,
        "steps": np.array([f["round"] for f in found]) / MIB,
    }


def row(
    variant: str,
    workload: Workload,
    own: dict[str, np.ndarray],
    plain: dict[str, np.ndarray],
) -> dict[str, object]:
    """What one variant's processes say."""
    jacobian = workload.tasks * workload.shared_parameters * 4 / MIB
    bar = BAR * jacobian
    found = {"variant": variant, "jacobian": jacobian, "bar": bar}
    for key in ("steps", "process"):
        over = Spread.of(own[key] - np.median(plain[key]))
        found[key] = over
        found[f"{key}_verdict"] = reporting.verdict(over.median, bar)
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workloads", nargs="*", default=["W1-8", "W1-32", "W2-8", "W3-8"]
    )
    parser.add_argument("--methods", nargs="*", default=list(VARIANTS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    reporting.add_arguments(parser)
    args = parser.parse_args()

    report = reporting.Report("Peak memory", args.markdown, args.json)
    for name in args.workloads:
        plain = peaks(name, "plain", args.repetitions, args.steps)
        rows = []
        notes = [f"plain {k}: {Spread.of(v)} MiB" for k, v in plain.items()]
        for variant in args.methods:
            try:
                own = peaks(name, variant, args.repetitions, args.steps)
            except Skipped as reason:
                notes.append(f"{variant} is left out: {reason}")
                continue
            found = row(variant, WORKLOADS[name], own, plain)
            rows.append({"workload": name, **found})
        report.table(name, rows, COLUMNS, notes)


if __name__ == "__main__":
    main()
