"""What a search found, for terminals of 80 columns and more."""

from typing import TYPE_CHECKING

from rich.console import Console

from keras_mtl.cli.tables import new_table as new_table

if TYPE_CHECKING:
    from keras_mtl.tuner import SearchResult

_SHOWN = 10


def print_search(console: Console, result: "SearchResult") -> None:
    """Prints the best trials and the model that was chosen."""
    from keras_mtl.analysis.verdict import signed
    from keras_mtl.tuner.report import short

    best = sorted(result.completed, key=lambda t: t.score or 0.0, reverse=True)
    shown = best[:_SHOWN]
    shown += [t for t in (result.chosen,) if t not in shown]
    table = new_table(
        "Best trials: gain over single-task models on validation data, %",
        ["trial", ""],
        ["mean", *result.tasks],
    )
    for trial in shown:
        table.add_row(
            trial.trial,
            result.marks(trial),
            signed(trial.score or 0.0),
            *(signed(trial.gains[task]) for task in result.tasks),
        )
    statuses = [t.status for t in result.trials]
    told = ", ".join(
        f"{statuses.count(status)} {status}"
        for status in dict.fromkeys(statuses)
    )
    table.caption = f"★ chosen, ◆ knee, ● on the front; {told}"
    console.print(table)
    for reason in dict.fromkeys(
        t.reason for t in result.trials if t.status == "failed"
    ):
        console.print(f"A trial failed: {reason}")
    values = new_table("The chosen values", ["hyperparameter"], ["value"])
    for name, value in result.chosen.values.items():
        values.add_row(name, short(value))
    console.print(values)
    scores = new_table(
        "The chosen model",
        ["task", "metric"],
        ["validation", "test", "single-task", "gain, %"],
    )
    for task, metric in result.metrics.items():
        gain = result.test_gains.get(task)
        scores.add_row(
            task,
            f"{metric.label} {'↑' if metric.direction == 'max' else '↓'}",
            f"{result.scores['validation'][task]:.4g}",
            f"{result.scores['test'][task]:.4g}",
            f"{result.baselines['test'][task]:.4g}",
            "" if gain is None else signed(gain),
        )
    scores.caption = "single-task and gain: on test data, one seed"
    console.print(scores)
