"""The pictures of a comparison."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_mtl.analysis.results import SINGLE, Comparison, Metric
from keras_mtl.analysis.verdict import signed

# Okabe and Ito's colours, told apart by colour-blind readers too; grey is for
# single-task models everywhere.
_GREY = "#7f7f7f"
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)


def bars(comparison: Comparison) -> Figure:
    """Test metric of every task and method, and Δm, with error bars."""
    summaries = comparison.summaries()
    methods = [s.method for s in summaries]
    colours = _colours(methods)
    seeds = len(comparison.seeds)
    tasks = [*comparison.metrics, None]
    figure, panels = _grid(len(tasks), height=0.35 * len(methods) + 1.2)
    figure.suptitle(
        f"{comparison.recipe}: test data, mean and standard deviation over "
        f"{seeds} seed{'s' if seeds > 1 else ''}",
        fontsize=12,
    )
    for axes, task in zip(panels, tasks, strict=True):
        if task is None:
            spreads = [s.delta_m for s in summaries]
            axes.set_title("Δm, mean over the tasks", loc="left", fontsize=10)
            axes.set_xlabel("change against single-task models, % (→ better)")
            texts = [signed(s.mean) + " %" for s in spreads]
            axes.axvline(0, color="black", linewidth=0.8)
        else:
            spreads = [s.test[task] for s in summaries]
            metric = comparison.metrics[task]
            better = "→" if metric.direction == "max" else "←"
            axes.set_title(task, loc="left", fontsize=10)
            axes.set_xlabel(f"{metric.label} ({better} better)")
            texts = [f"{s.mean:.4g}" for s in spreads]
        means = [s.mean for s in spreads]
        spread = [0.0 if math.isnan(s.sd) else s.sd for s in spreads]
        axes.barh(
            methods,
            means,
            xerr=spread,
            color=[colours[m] for m in methods],
            height=0.66,
            error_kw={"capsize": 3, "elinewidth": 1.2},
        )
        _annotate(axes, means, spread, texts)
        axes.invert_yaxis()
        _plain_axes(axes, "x")
    return figure


def learning_curves(comparison: Comparison) -> Figure:
    """The judging metric on validation data over the epochs, by task."""
    colours = _colours(comparison.methods)
    figure, panels = _grid(len(comparison.metrics))
    for axes, (task, metric) in zip(
        panels, comparison.metrics.items(), strict=True
    ):
        if not any(
            f"val_{task}_{metric.name}" in t.history
            for t in comparison.trainings
        ):
            # A score that is taken after training alone.
            metric = Metric("loss", "min")
        for method in comparison.methods:
            _band(
                axes,
                [
                    t.history.get(f"val_{task}_{metric.name}", [])
                    for t in comparison.trainings
                    if t.method == method and task in t.tasks
                ],
                label=method,
                color=colours[method],
                linestyle="--" if method == SINGLE else "-",
            )
        better = "higher" if metric.direction == "max" else "lower"
        axes.set_title(task, loc="left", fontsize=10)
        axes.set_ylabel(f"{metric.label} ({better} is better)")
        axes.set_xlabel("epoch")
        _plain_axes(axes, "y")
    _legend(figure, panels)
    return figure


def task_weights(comparison: Comparison) -> Figure | None:
    """Each task's weight over the epochs, one panel a balancer."""
    key = "{}_weight"
    methods = [
        method
        for method in comparison.methods
        if any(
            key.format(task) in t.history
            for t in comparison.trainings
            for task in t.tasks
            if t.method == method != SINGLE
        )
    ]
    if not methods:
        return None
    colours = _colours(list(comparison.metrics), start=0)
    figure, panels = _grid(len(methods))
    for axes, method in zip(panels, methods, strict=True):
        for task in comparison.metrics:
            _band(
                axes,
                _histories(comparison, method, key.format(task)),
                label=task,
                color=colours[task],
            )
        axes.set_title(method, loc="left", fontsize=10)
        axes.set_ylabel("weight of the task's loss")
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        _plain_axes(axes, "y")
    _legend(figure, panels)
    return figure


def smallest_cosine(comparison: Comparison) -> Figure | None:
    """The smallest cosine between two tasks' gradients, over the epochs."""
    colours = _colours(comparison.methods)
    figure, (axes,) = _grid(1)
    for method in comparison.methods:
        _band(
            axes,
            _histories(comparison, method, "min_cosine"),
            label=method,
            color=colours[method],
        )
    if not axes.lines:
        return None
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(-1.05, 1.05)
    axes.set_ylabel("smallest cosine of two tasks")
    axes.set_xlabel("epoch")
    _plain_axes(axes, "y")
    _legend(figure, [axes])
    return figure


def _histories(
    comparison: Comparison, method: str, key: str
) -> list[list[float]]:
    return [
        training.history[key]
        for training in comparison.trainings
        if training.method == method != SINGLE and key in training.history
    ]


def _band(axes: Any, curves: list[list[float]], **style: Any) -> None:
    """Mean over the seeds, with one standard deviation to each side."""
    length = min((len(c) for c in curves), default=0)
    if not length:
        return
    values = np.array([c[:length] for c in curves])
    epochs = np.arange(1, length + 1)
    mean = values.mean(axis=0)
    # A line through one point cannot be seen.
    mark = "o" if length < 3 else None
    axes.plot(epochs, mean, linewidth=1.8, marker=mark, **style)
    if len(values) > 1:
        sd = values.std(axis=0, ddof=1)
        axes.fill_between(
            epochs,
            mean - sd,
            mean + sd,
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )
    axes.xaxis.get_major_locator().set_params(integer=True)


def _grid(panels: int, height: float = 3.1) -> tuple[Figure, list[Any]]:
    columns = min(panels, 2)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(9, height * rows + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def _annotate(
    axes: Any, means: list[float], spread: list[float], texts: list[str]
) -> None:
    """Writes values beyond the ends of bars and error bars."""
    for row, (mean, sd, text) in enumerate(
        zip(means, spread, texts, strict=True)
    ):
        left = mean < -1e-9  # not for the rounding of a 0
        axes.annotate(
            text,
            (mean - sd if left else mean + sd, row),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
        )
    axes.margins(x=0.2)
    if min(means) >= 0:
        axes.set_xlim(left=0)
    ends = [m - sd for m, sd in zip(means, spread, strict=True) if m < 0]
    if ends:
        # Else the leftmost text would lie on the names.
        low, high = axes.get_xlim()
        axes.set_xlim(left=min(low, min(ends) - 0.25 * (high - low)))


def _legend(figure: Figure, panels: list[Any]) -> None:
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(
            *axes.get_legend_handles_labels(), strict=True
        ):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=min(len(handles), 5),
        frameon=False,
    )


def _plain_axes(axes: Any, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def _colours(names: list[str], start: int = 1) -> dict[str, str]:
    """Colours by name; the first of methods is single-task, in grey."""
    palette = [_GREY] * start + [
        _COLOURS[i % len(_COLOURS)] for i in range(len(names))
    ]
    return dict(zip(names, palette, strict=False))
