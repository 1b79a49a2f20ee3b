"""Exact methods side by side with TorchJD, each over its own plain step.

    python benchmarks/peers.py --peer-python .venv-bench/bin/python

TorchJD runs at its best: every engine is tried, and those far from the
fastest are dropped before the rounds begin. Both frameworks work in processes
of their own, which take turns, so that one rests while the other is timed.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import functools
import sys

import reporting
from sampling import Spread, interleave
from worker import Skipped, Worker
from workloads import TIMED

# TorchJD's name, and our variant for it. The mean has nothing to solve: what
# is compared is the T backward passes.
METHODS = {
    "Mean": "passes",
    "MGDA": "mgda",
    "PCGrad": "pcgrad",
    "CAGrad": "cagrad",
    "IMTLG": "imtlg",
    "UPGrad": "upgrad",
    "NashMTL": "nash_mtl",
    "AlignedMTL": "aligned_mtl",
    "GradDrop": "graddrop",
}
ENGINES = ("sequential", "parallel", "autogram")
# An engine slower than that over the fastest has no chance in the rounds.
FAR = 1.5
COLUMNS = {
    "method": "method",
    "ours_over_peer": "ours / TorchJD",
    "verdict": "bar 1",
    "ours_ms": "ours, ms",
    "peer_ms": "TorchJD, ms",
    "ours_to_plain": "ours × Keras",
    "peer_to_plain": "TorchJD × torch",
    "engine": "engine",
}
LIBMTL = (
    "LibMTL over its own plain step, measured elsewhere, not in this run: "
    "5 to 8 (W1-8), 14 to 27 (W1-32), 5.4 (W2-8)"
)


def compare(
    method: str, ours: Worker, peer: Worker, rounds: int
) -> tuple[dict[str, object] | None, list[str]]:
    """One row of the table, and notes."""
    variant, notes = METHODS[method], []
    try:
        ours.run(variant)
    except Skipped as reason:
        return None, [f"{method} is left out: {reason}"]
    tried = {}
    for engine in ENGINES:
        name = f"{method}:{engine}"
        try:
            peer.run(name)  # warm up
            tried[name] = peer.run(name)
        except Skipped as reason:
            notes.append(f"{engine}: {reason}")
    best = min(tried.values())
    kept = [name for name, taken in tried.items() if taken <= FAR * best]
    seconds = interleave(
        {
            "plain": functools.partial(ours.run, "plain"),
            "ours": functools.partial(ours.run, variant),
            "peer plain": functools.partial(peer.run, "plain"),
            **{name: functools.partial(peer.run, name) for name in kept},
        },
        rounds,
    )
    ours.release(variant)
    for name in tried:
        peer.release(name)
    fastest = min(kept, key=lambda name: Spread.of(seconds[name]).median)
    ratio = Spread.of(seconds["ours"] / seconds[fastest])
    row = {
        "method": method,
        "ours_over_peer": ratio,
        "verdict": reporting.verdict(ratio.median, 1.0),
        "ours_ms": Spread.of(seconds["ours"] * 1e3).median,
        "peer_ms": Spread.of(seconds[fastest] * 1e3).median,
        "ours_to_plain": Spread.of(seconds["ours"] / seconds["plain"]),
        "peer_to_plain": Spread.of(seconds[fastest] / seconds["peer plain"]),
        "engine": fastest.split(":")[1],
        "plain_ms": Spread.of(seconds["plain"] * 1e3),
        "peer_plain_ms": Spread.of(seconds["peer plain"] * 1e3),
        "engines_tried_ms": {n: s * 1e3 for n, s in tried.items()},
    }
    return row, notes


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--workloads", nargs="*", default=list(TIMED))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=10, help="in a round")
    reporting.add_arguments(parser)
    args = parser.parse_args()

    report = reporting.Report("Beside TorchJD", args.markdown, args.json)
    for name in args.workloads:
        rows, notes = [], []
        with (
            Worker("keras", name, args.steps) as ours,
            Worker("torch", name, args.steps, args.peer_python) as peer,
        ):
            for worker in (ours, peer):
                worker.run("plain")  # warm up
            for method in args.methods:
                row, found = compare(method, ours, peer, args.rounds)
                notes += found
                if row:
                    rows.append({"workload": name, **row})
        plain = (
            f"plain step: Keras fit {rows[-1]['plain_ms']} ms, "
            f"torch {rows[-1]['peer_plain_ms']} ms"
            if rows
            else "nothing was measured"
        )
        report.table(name, rows, COLUMNS, [plain, LIBMTL, *notes])


if __name__ == "__main__":
    main()
