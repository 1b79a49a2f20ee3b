"""Results as tables for terminals of 80 columns and more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from keras_mtl.analysis import Comparison
    from keras_mtl.analysis.training_run import TrainingRun
    from keras_mtl.recipe import Recipe


def print_comparison(console: Console, comparison: "Comparison") -> None:
    """Prints what a comparison found, and the verdict."""
    from keras_mtl.analysis.verdict import RULE, verdict

    console.print(_metrics(comparison))
    console.print(_costs(comparison))
    judged = verdict(comparison)
    console.print(judged.sentence, style="bold")
    for sentence in judged.tasks.values():
        console.print(f"  {sentence}")
    for failure in comparison.failures:
        console.print(
            f"Failed, and left out: {failure.label}, seed {failure.seed}: "
            f"{failure.reason}"
        )
    console.print(judged.cost)
    console.print(RULE, style="dim")


def _metrics(comparison: "Comparison") -> Table:
    from keras_mtl.analysis.report import format_spread
    from keras_mtl.analysis.results import SINGLE
    from keras_mtl.analysis.verdict import percent

    seeds = len(comparison.seeds)
    table = new_table(
        f"{comparison.recipe}: test data, mean ± standard deviation over "
        f"{seeds} seed{'s' if seeds > 1 else ''}",
        ["task", "method"],
        ["metric", "against single-task"],
    )
    summaries = comparison.summaries()
    for task, metric in comparison.metrics.items():
        arrow = "↑" if metric.direction == "max" else "↓"
        heads = [task, f"{metric.label} {arrow}"]
        for row, summary in enumerate(summaries):
            table.add_row(
                heads[row] if row < len(heads) else "",
                _starred(summary.method, comparison),
                format_spread(summary.test[task]),
                ""
                if summary.method == SINGLE
                else percent(summary.deltas[task]),
                end_section=row == len(summaries) - 1,
            )
    for row, summary in enumerate(summaries):
        table.add_row(
            ("Δm", "mean of tasks ↑")[row] if row < 2 else "",
            _starred(summary.method, comparison),
            "",
            percent(summary.delta_m),
        )
    return table


def _costs(comparison: "Comparison") -> Table:
    from keras_mtl.analysis.report import (
        format_bytes,
        format_operations,
        format_spread,
    )
    from keras_mtl.analysis.results import SINGLE

    inference = comparison.inference
    batch = f" of {inference.batch_size}" if inference else ""
    table = new_table(
        "Cost of all tasks",
        ["method"],
        [
            "parameters",
            "operations",
            "memory",
            "training, s",
            f"batch{batch}, ms",
        ],
    )
    for summary in comparison.summaries():
        times = None
        if inference and summary.method == SINGLE:
            times = inference.separate
        elif inference and summary.method == comparison.chosen:
            times = inference.shared
        table.add_row(
            f"{len(comparison.metrics)} single-task models"
            if summary.method == SINGLE
            else _starred(summary.method, comparison),
            f"{summary.parameters:,}",
            format_operations(summary.operations),
            format_bytes(summary.memory),
            format_spread(summary.seconds, 3),
            "" if times is None else _milliseconds(times),
        )
    table.caption = "★ chosen by Δm on validation data"
    if way := comparison.balancers_share_by:
        table.caption += f"; balancers with {way}"
    return table


def _milliseconds(quartiles: tuple[float, float, float]) -> str:
    low, middle, high = (1e3 * q for q in quartiles)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def scores(recipe: "Recipe", run: "TrainingRun") -> Table:
    """The metrics of one trained model."""
    how = ", ".join(filter(None, [run.sharing, run.balancer]))
    table = new_table(
        f"{recipe.name}: {how}, {run.epochs} epochs",
        ["task", "metric"],
        ["validation", "test"],
    )
    for name, judging in run.metrics.items():
        for metric in (judging, *run.others[name]):
            table.add_row(
                name if metric is judging else "",
                metric.label,
                *(
                    f"{run.measures[split][f'{name}_{metric.name}']:.4g}"
                    for split in ("validation", "test")
                ),
            )
    return table


def print_check(console: Console, report: Any) -> None:
    """Prints what became of each signature of an export."""
    table = new_table(
        f"Export {report.path}",
        ["signature", "runs"],
        ["batch of 1", "batch of 32"],
    )
    for name, signature in report.signatures.items():
        table.add_row(
            name,
            "yes" if signature.ran else f"no: {signature.error}",
            _ms(signature.latency_single_ms),
            _ms(signature.latency_batch_ms),
        )
    console.print(table)
    if report.warmup_requests:
        console.print(f"Warm-up requests that ran: {report.warmup_requests}")
    if report.warmup_error:
        console.print(f"The warm-up file fails: {report.warmup_error}")
    if report.ok:
        console.print("TF Serving's loader takes it, and every signature runs.")
    elif all(s.ran for s in report.signatures.values()):
        console.print("The check failed: the warm-up file does not run.")
    else:
        console.print("The check failed: not every signature runs.")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ms"


def _starred(method: str, comparison: "Comparison") -> str:
    return f"{method} ★" if method == comparison.chosen else method


def new_table(
    title: str, texts: Sequence[str], numbers: Sequence[str]
) -> Table:
    """An empty table, with columns of text and then columns of numbers."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in texts:
        table.add_column(column)
    for column in numbers:
        table.add_column(column, justify="right")
    return table
