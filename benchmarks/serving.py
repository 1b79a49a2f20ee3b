"""One shared model against T single ones, served.

    python benchmarks/serving.py [--workloads W1-8] [--api grpc]

`shared` answers all T tasks by one request, `single` answers one task, `T
singles` all of them by T requests to T models, one after another. Latencies
are medians over requests of one row, sent by so many clients at once, each of
which sends its next when its last is answered. Rounds are interleaved and
their ratios taken. "no server" is the model by itself, as `keras-mtl check`
times it.

The server is `keras_mtl.serving.Server`, in Python, whose own time is in both
sides of each ratio; TensorFlow Serving's is shorter.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import reporting
import tensorflow as tf
from keras_variants import network
from sampling import Spread, interleave
from workloads import WORKLOADS, Workload

from keras_mtl import MultiTaskModel, export
from keras_mtl.serving import Client, Server, check

MIB = 2**20
BAR = 1.3  # all T tasks over one, by one request
CLIENTS = (1, 8, 64)
COLUMNS = {
    "how": "",
    "shared": "shared, ms",
    "single": "single, ms",
    "ratio": "shared / single",
    "verdict": "",
    "singles": "T singles / shared",
}
SIZES = {"what": "", "disk": "on disk, MiB", "memory": "in memory, MiB"}


def build(workload: Workload) -> dict[str, list[Any]]:
    """The shared model, and one for each task."""
    alone = dataclasses.replace(workload, tasks=1)
    return {
        "shared": [network(workload, MultiTaskModel)],
        "singles": [network(alone, MultiTaskModel)] * workload.tasks,
    }


def multiplications(model: Any) -> int:
    """How many one row takes in layers with a kernel."""
    return sum(
        int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1]))
        for layer in model.layers
        if isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D))
    )


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def serve(paths: Sequence[str], grpc: bool) -> None:
    """Serves models; tells addresses and, when asked, the memory they take."""
    before = resident()
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                Server(path, port=0, grpc_port=0 if grpc else None)
            )
            for path in paths
        ]
        addresses = [s.grpc_address or s.rest_address for s in servers]
        print(json.dumps(addresses), flush=True)
        for _ in sys.stdin:
            print(resident() - before, flush=True)


class Served:
    """A process that serves models.

    Args:
        paths: Their versions' directories.
        api: "grpc" or "http".
    """

    def __init__(self, paths: Sequence[Path], api: str) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, __file__, "--api", api),
                *("--serve", *map(str, paths)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        addresses = json.loads(self.process.stdout.readline())
        self.clients = [
            Client(address, path.parent.name)
            for address, path in zip(addresses, paths, strict=True)
        ]

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients:
            client.close()
        self.process.stdin.close()
        self.process.wait()

    def memory(self) -> int:
        """Bytes that the models and their requests have taken so far."""
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


def median(ask: Callable[[], Any], clients: int, requests: int) -> float:
    """Median seconds of a request, with so many clients at once."""

    def one(_: int) -> float:
        start = time.perf_counter()
        ask()
        return time.perf_counter() - start

    number = max(requests, 4 * clients)
    with ThreadPoolExecutor(clients) as pool:
        return float(np.median(list(pool.map(one, range(number)))))


def row(
    how: str, runs: dict[str, Callable[[], float]], rounds: int
) -> dict[str, Any]:
    """One line of the table."""
    seconds = interleave(runs, rounds)
    ratio = Spread.of(seconds["shared"] / seconds["single"])
    line = {
        "how": how,
        "shared": Spread.of(1e3 * seconds["shared"]),
        "single": Spread.of(1e3 * seconds["single"]),
        "ratio": ratio,
        "verdict": reporting.verdict(ratio.median, BAR),
    }
    if "singles" in seconds:
        line["singles"] = Spread.of(seconds["singles"] / seconds["shared"])
    return line


def unserved(path: Path, batch: str) -> Callable[[], float]:
    """Seconds that all of a model's outputs take by themselves."""

    def run() -> float:
        report = check(path).signatures["serving_default"]
        return getattr(report, f"latency_{batch}_ms") / 1e3

    return run


def size(paths: Sequence[Path]) -> float:
    """MiB on disk."""
    files = [f for path in paths for f in path.rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in files) / MIB


def measure(name: str, report: reporting.Report, args: Any) -> None:
    """One workload."""
    workload = WORKLOADS[name]
    x = np.random.default_rng(0).normal(size=(1, *workload.input_shape))
    models = build(workload)
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            what: [
                export(model, Path(folder, f"{what}{number}"))
                for number, model in enumerate(found)
            ]
            for what, found in models.items()
        }
        lines = [
            row(
                f"no server, {rows}",
                {
                    "shared": unserved(paths["shared"][0], batch),
                    "single": unserved(paths["singles"][0], batch),
                },
                args.rounds,
            )
            for batch, rows in (("single", "1 row"), ("batch", "32 rows"))
        ]
        with (
            Served(paths["shared"], args.api) as shared,
            Served(paths["singles"], args.api) as singles,
        ):
            (together,) = shared.clients
            apart = singles.clients
            asks = {
                "shared": lambda: together.predict(x),
                "single": lambda: apart[0].predict(x),
                "singles": lambda: [one.predict(x) for one in apart],
            }
            for clients in CLIENTS:
                runs = {
                    what: lambda ask=ask, n=clients: median(
                        ask, n, args.requests
                    )
                    for what, ask in asks.items()
                }
                lines.append(row(f"{clients} at once", runs, args.rounds))
            sizes = [
                {
                    "what": what,
                    "disk": size(paths[what]),
                    "memory": process.memory() / MIB,
                }
                for what, process in (("shared", shared), ("singles", singles))
            ]
    floor = multiplications(models["shared"][0]) / multiplications(
        models["singles"][0]
    )
    notes = [f"shared / single in multiplications: {floor:.2f}"]
    report.table(f"{name}, {args.api}", lines, COLUMNS, notes)
    report.table(f"{name}, size", sizes, SIZES)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="*", default=["W1-8", "W2-8"])
    parser.add_argument("--api", choices=["grpc", "http"], default="grpc")
    parser.add_argument("--requests", type=int, default=100, help="a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", nargs="*", help=argparse.SUPPRESS)
    reporting.add_arguments(parser)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.api == "grpc")
        return
    tf.get_logger().setLevel("ERROR")  # on one `predict` for each export
    report = reporting.Report("Serving", args.markdown, args.json)
    for name in args.workloads:
        measure(name, report, args)


if __name__ == "__main__":
    main()
