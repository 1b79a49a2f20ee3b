"""Time of a training step inside `fit`, as ratios to plain Keras `fit`.

    python benchmarks/step_time.py [--workloads W1-8] [--methods mgda] [--all]

Every variant trains the same network on the same batches. Rounds of a few
variants are interleaved with rounds of plain Keras and of the bare T backward
passes; printed are medians and quartiles of the ratios of one round. A round is
the second epoch of a `fit`: its set-up and first steps are left out.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import reporting
from keras_variants import runner
from sampling import Spread, groups, interleave
from workloads import TIMED, WORKLOADS, Workload

from keras_mtl import balancers

LOSSES = ["fixed", "uncertainty", "dynamic_weight_average"]
GRADIENTS = [
    *("mgda", "pcgrad", "cagrad", "imtlg", "graddrop"),
    *("upgrad", "nash_mtl", "aligned_mtl"),
]
COLUMNS = {
    "variant": "variant",
    "to_plain": "× plain fit",
    "to_passes": "× T passes",
    "ms": "ms a step",
    "bar": "bar",
    "verdict": "",
}
KINDS = ("losses", "features", "every 10", "exact")
EXACT_BAR = 1.10  # over the bare T backward passes


def bar_over_plain(kind: str, tasks: int) -> float | None:
    """What a kind of variant may cost, in plain steps."""
    if kind == "losses":
        return 1.03
    if kind == "features":
        return 1.10 if tasks <= 8 else 1.25
    return 1.35 if kind == "every 10" and tasks == 8 else None


def variants(
    tasks: int, methods: list[str] | None, everything: bool
) -> dict[str, str]:
    """The kind of each variant."""
    known = list(balancers.registry)
    chosen = known if everything else [*LOSSES, *GRADIENTS]
    found = {}
    for name in methods or chosen:
        try:
            cls = balancers.registry[name]
        except ValueError:
            print(f"{name}: not in the registry, left out")
            continue
        if issubclass(cls, balancers.LossBalancer):
            found[name] = "losses"
            continue
        found[f"{name}@features"] = "features"
        found[name] = "exact"
    exact = [name for name, kind in found.items() if kind == "exact"]
    if tasks == 8 and "mgda" in exact:
        found["mgda/10"] = "every 10"
    return found


def measure(
    workload: Workload, kinds: dict[str, str], args: argparse.Namespace
) -> tuple[list[dict[str, object]], list[str]]:
    """Rows of one workload's table, and notes."""
    rows, notes = [], []

    def made(variant: str):
        run = runner(workload, variant, args.steps, args.jit)
        run()  # trace, compile, warm up
        return run

    references = {name: made(name) for name in ("plain", "passes")}
    rows.append(
        row("passes", "", workload, interleave(references, args.rounds))
    )
    in_order = sorted(kinds, key=lambda v: KINDS.index(kinds[v]))
    for group in groups(in_order, 4):
        runs = {}
        for variant in group:
            try:
                runs[variant] = made(variant)
            except ValueError as error:
                notes.append(f"{variant} is left out: {error}")
        # The T passes are no reference of what costs a single one.
        needed = dict(references)
        if "exact" not in {kinds[v] for v in group}:
            del needed["passes"]
        seconds = interleave(needed | runs, args.rounds)
        rows += [row(v, kinds[v], workload, seconds) for v in runs]
    return rows, notes


def row(
    variant: str, kind: str, workload: Workload, seconds: dict
) -> dict[str, object]:
    """What one variant's samples say."""
    own = seconds[variant]
    to_plain = Spread.of(own / seconds["plain"])
    bar, held = bar_over_plain(kind, workload.tasks), to_plain
    to_passes = None
    if kind == "exact":
        bar = EXACT_BAR
        held = to_passes = Spread.of(own / seconds["passes"])
    return {
        "variant": variant,
        "kind": kind,
        "tasks": workload.tasks,
        "to_plain": to_plain,
        "to_passes": to_passes,
        "ms": Spread.of(own * 1e3).median,
        "bar": bar,
        "verdict": reporting.verdict(held.median, bar),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="*", default=list(TIMED))
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--all", action="store_true", help="all balancers")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="in a round")
    parser.add_argument("--jit", action="store_true", help="XLA for the step")
    reporting.add_arguments(parser)
    args = parser.parse_args()

    report = reporting.Report("Step time", args.markdown, args.json)
    for name in args.workloads:
        workload = WORKLOADS[name]
        kinds = variants(workload.tasks, args.methods, args.all)
        rows, notes = measure(workload, kinds, args)
        xla = ", XLA" if args.jit else ""
        report.table(
            f"{name}: T = {workload.tasks}, batch {workload.batch}{xla}",
            [{"workload": name, **r} for r in rows],
            COLUMNS,
            notes,
        )


if __name__ == "__main__":
    main()
