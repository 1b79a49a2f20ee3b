"""The front of a search as a picture."""

import io
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from keras_mtl import _files

if TYPE_CHECKING:
    from keras_mtl.tuner.finish import SearchResult

_GREY, _BLUE, _ORANGE = "#9a9a9a", "#0072B2", "#D55E00"
# More pairs than this are too many for one picture.
_MAX_PAIRS = 6


def save_front(result: "SearchResult", path: Path) -> None:
    """Writes `draw_front` as a PNG file."""
    picture = io.BytesIO()
    draw_front(result).savefig(picture, format="png", dpi=150)
    _files.write_bytes(path, picture.getvalue())


def draw_front(result: "SearchResult") -> Figure:
    """Every pair of objectives, and the volume dominated, trial by trial."""
    pairs = list(itertools.combinations(result.tasks, 2))[:_MAX_PAIRS]
    panels = len(pairs) + 1
    columns = min(panels, 2)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(4.6 * columns, 3.8 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    for panel, (x, y) in zip(axes, pairs, strict=False):
        _trade_off(panel, result, x, y)
    _progress(axes[len(pairs)], result)
    figure.suptitle(
        f"{len(result.completed)} trials against single-task models, "
        "validation data"
    )
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _trade_off(axes: Any, result: "SearchResult", x: str, y: str) -> None:
    others = [t for t in result.completed if t not in result.front]
    for trials, style in (
        (others, {"color": _GREY, "label": "trial", "s": 22}),
        (result.front, {"color": _BLUE, "label": "front", "s": 34}),
        (
            [result.chosen],
            {"color": _ORANGE, "label": "chosen", "s": 90, "marker": "*"},
        ),
    ):
        axes.scatter(
            [t.gains[x] for t in trials],
            [t.gains[y] for t in trials],
            zorder=3,
            **style,
        )
    axes.axhline(0, color="black", linewidth=0.7)
    axes.axvline(0, color="black", linewidth=0.7)
    axes.set_xlabel(f"{x}: gain, % (→ better)")
    axes.set_ylabel(f"{y}: gain, % (↑ better)")
    _plain(axes)


def _progress(axes: Any, result: "SearchResult") -> None:
    """How the search went on: the volume, or the best gain of one task."""
    numbers = range(1, len(result.completed) + 1)
    if len(result.tasks) > 1:
        values = result.hypervolumes()
        axes.set_ylabel("hypervolume")
    else:
        scores = [t.score or 0.0 for t in result.completed]
        values = list(itertools.accumulate(scores, max))
        axes.set_ylabel(f"{result.tasks[0]}: best gain, %")
        axes.scatter(numbers, scores, color=_GREY, s=22, label="trial")
    axes.plot(
        numbers, values, color=_BLUE, drawstyle="steps-post", label="so far"
    )
    axes.set_xlabel("completed trials")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
