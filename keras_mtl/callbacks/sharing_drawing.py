"""A drawing of who shares what in a multi-task model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import keras
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle

from keras_mtl.graph import readers_of, unroll
from keras_mtl.training import MultiTaskModel

# Pastel, so that names stand out on them; told apart by colour-blind readers.
_COLOURS = (
    "#9ecae9",
    "#fdc086",
    "#a6dba0",
    "#e7a6c8",
    "#f6e58d",
    "#c5b0d5",
    "#c49c94",
    "#b8e0e6",
    "#d9d9d9",
    "#ff9896",
)
_BOX_WIDTH, _BOX_HEIGHT = 1.9, 0.56  # inches
_COLUMN, _ROW = 2.15, 0.95  # inches from box to box
# Beyond this, connected layers of the same tasks are drawn as one box.
_MAX_BOXES = 60


@dataclass(eq=False)
class _Box:
    """One call of a layer, or several that are drawn as one."""

    names: list[str]
    layers: list[Any]
    readers: frozenset[str]  # of what it gives
    tasks: frozenset[str] = frozenset()  # that share its variables
    sources: list["_Box"] = field(default_factory=list)
    row: int = 0
    column: float = 0.0

    @property
    def parameters(self) -> int:
        return sum(_count(layer) for layer in self.layers)


def draw_sharing(model: MultiTaskModel) -> Figure:
    """Which layers serve which tasks, as a matplotlib figure.

    Args:
        model: A multi-task model; it need not be compiled.
    """
    tasks = list(model.variables_by_task())
    boxes = _boxes(model, tasks)
    if len(boxes) > _MAX_BOXES:
        boxes = _merged(boxes)
    rows = _rows(boxes)
    _order(rows, tasks)
    return _draw(model, tasks, rows)


def _count(layer: Any) -> int:
    return int(layer.count_params()) if isinstance(layer, keras.Layer) else 0


def _reach(model: MultiTaskModel) -> list[tuple[Any, frozenset[str]]]:
    """Each trainable variable with the tasks that depend on it."""
    by_task = model.variables_by_task()
    variables = {id(v): v for vs in by_task.values() for v in vs}
    return [
        (
            variable,
            frozenset(
                task
                for task, vs in by_task.items()
                if any(v is variable for v in vs)
            ),
        )
        for variable in variables.values()
    ]


def _boxes(model: MultiTaskModel, tasks: list[str]) -> list[_Box]:
    graph = unroll(model, nested=False)
    readers = readers_of(graph, tasks)
    reach = {id(v): tasks for v, tasks in _reach(model)}
    made_by: dict[int, _Box] = {}
    boxes = []
    for slot, symbol in zip(graph.inputs, model.inputs, strict=True):
        box = _Box([f"input {symbol.name}"], [], frozenset())
        made_by[slot] = box
        boxes.append(box)
    for step in graph.steps:
        box = _Box([step.operation.name], [step.operation], readers[id(step)])
        variables = getattr(step.operation, "trainable_variables", [])
        # A layer called in several heads is shared though each call is not.
        box.tasks = box.readers.union(
            *(reach.get(id(v), frozenset()) for v in variables)
        )
        for slot in step.inputs.values():
            if made_by[slot] not in box.sources:
                box.sources.append(made_by[slot])
        made_by.update(dict.fromkeys(step.outputs, box))
        boxes.append(box)
    return boxes


def _merged(boxes: list[_Box]) -> list[_Box]:
    """One box for all connected ones whose results serve the same tasks.

    Data only ever goes on to fewer tasks, so that no path leaves such a box
    and comes back to it.
    """
    into: dict[int, _Box] = {}

    def home(box: _Box) -> _Box:
        while id(box) in into:
            box = into[id(box)]
        return box

    for box in boxes:
        for source in [home(s) for s in box.sources]:
            target = home(box)
            if source is target or source.readers != box.readers:
                continue
            into[id(target)] = source
            source.names += target.names
            source.layers += target.layers
            source.sources += target.sources
            source.tasks |= target.tasks
    kept = [box for box in boxes if id(box) not in into]
    for box in kept:
        sources = dict.fromkeys(home(s) for s in box.sources)
        box.sources = [s for s in sources if s is not box]
    return kept


def _rows(boxes: list[_Box]) -> list[list[_Box]]:
    """Boxes by the longest path that leads to them."""
    rows: dict[int, int] = {}

    def row(box: _Box) -> int:
        if id(box) not in rows:
            rows[id(box)] = max((row(s) + 1 for s in box.sources), default=0)
        return rows[id(box)]

    for box in boxes:
        box.row = row(box)
    readers = _readers(boxes)
    last = max(box.row for box in boxes)
    # Inputs stay on top; outputs go to the bottom; what nothing else holds
    # back stands right above its first reader.
    for box in sorted(boxes, key=lambda b: -b.row):
        if box.sources:
            below = [r.row for r in readers.get(id(box), [])]
            box.row = min(below) - 1 if below else last
    return [[b for b in boxes if b.row == row] for row in range(last + 1)]


def _readers(boxes: Iterable[_Box]) -> dict[int, list[_Box]]:
    readers: dict[int, list[_Box]] = {}
    for box in boxes:
        for source in box.sources:
            readers.setdefault(id(source), []).append(box)
    return readers


def _order(rows: list[list[_Box]], tasks: list[str]) -> None:
    """Columns by which boxes stand over those that read them."""
    place = {task: i for i, task in enumerate(tasks)}
    readers = _readers(box for row in rows for box in row)

    def by_tasks(box: _Box) -> float:
        return _mean(place[t] for t in box.readers) if box.readers else 0.0

    for row in reversed(rows):
        for box in row:
            box.column = by_tasks(box)
    for _ in range(3):
        for row in reversed(rows):
            _settle(row, readers, by_tasks)
        for row in rows:
            _settle(row, {id(b): b.sources for b in row}, by_tasks)


def _settle(
    row: list[_Box], near: dict[int, list[_Box]], by_tasks: Any
) -> None:
    wanted = {
        id(b): _mean(n.column for n in near[id(b)])
        if near.get(id(b))
        else b.column
        for b in row
    }
    row.sort(key=lambda b: (wanted[id(b)], by_tasks(b), b.names[0]))
    for i, box in enumerate(row):
        box.column = i - (len(row) - 1) / 2


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def _draw(
    model: MultiTaskModel, tasks: list[str], rows: list[list[_Box]]
) -> Figure:
    colours = {t: _COLOURS[i % len(_COLOURS)] for i, t in enumerate(tasks)}
    handles, lines = _legend(model, tasks, colours)
    width = max(len(row) for row in rows) * _COLUMN + 0.4
    width = max(width, 5.2)
    top, bottom = 0.55, 0.3 + 0.24 * len(lines)
    height = len(rows) * _ROW + top + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-height, 0)
    axes.axis("off")
    axes.text(
        0,
        -0.25,
        f"{model.name}: {model.count_params():,} parameters",
        ha="center",
        va="center",
        fontsize=12,
    )

    def centre(box: _Box) -> tuple[float, float]:
        return box.column * _COLUMN, -(top + (box.row + 0.5) * _ROW)

    for row in rows:
        for box in row:
            x, y = centre(box)
            for source in box.sources:
                from_x, from_y = centre(source)
                axes.annotate(
                    "",
                    xy=(x, y + _BOX_HEIGHT / 2),
                    xytext=(from_x, from_y - _BOX_HEIGHT / 2),
                    arrowprops={
                        "arrowstyle": "-|>",
                        "color": "#606060",
                        "linewidth": 0.8,
                        "shrinkA": 0,
                        "shrinkB": 0,
                    },
                    zorder=1,
                )
    for row in rows:
        for box in row:
            _draw_box(axes, box, *centre(box), tasks, colours)
    axes.legend(
        handles,
        lines,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        loc="lower center",
        frameon=False,
        fontsize=9,
        handlelength=2.2,
        bbox_to_anchor=(0.5, 0.0),
    )
    return figure


def _draw_box(
    axes: Any,
    box: _Box,
    x: float,
    y: float,
    tasks: list[str],
    colours: dict[str, str],
) -> None:
    outline = FancyBboxPatch(
        (x - _BOX_WIDTH / 2, y - _BOX_HEIGHT / 2),
        _BOX_WIDTH,
        _BOX_HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor="white",
        edgecolor="#404040" if box.parameters else "#a0a0a0",
        linewidth=1.0 if box.parameters else 0.7,
        zorder=2,
    )
    axes.add_patch(outline)
    mine = [t for t in tasks if t in box.tasks]
    for i, task in enumerate(mine):
        strip = Rectangle(
            (x + (i / len(mine) - 0.5) * _BOX_WIDTH, y - _BOX_HEIGHT / 2),
            _BOX_WIDTH / len(mine),
            _BOX_HEIGHT,
            facecolor=colours[task],
            alpha=1.0 if box.parameters else 0.3,
            linewidth=0,
            zorder=2.5,
        )
        axes.add_patch(strip)
        strip.set_clip_path(outline)
    name = box.names[0]
    if len(box.names) > 1:
        name = f"{box.names[0]} … {box.names[-1]}"
    lines = [_short(name)]
    if len(box.names) > 1:
        lines.append(f"{len(box.names)} layers, {box.parameters:,}")
    elif box.parameters:
        lines.append(f"{box.parameters:,}")
    axes.text(
        x, y, "\n".join(lines), ha="center", va="center", fontsize=8, zorder=3
    )


def _short(name: str, limit: int = 27) -> str:
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[:half]}…{name[-half:]}"


def _legend(
    model: MultiTaskModel, tasks: list[str], colours: dict[str, str]
) -> tuple[list[Any], list[str]]:
    """A handle and a line for each set of tasks that shares parameters."""
    counts: dict[frozenset[str], int] = {}
    for variable, group in _reach(model):
        counts[group] = counts.get(group, 0) + math.prod(variable.shape)
    total = sum(counts.values()) or 1
    handles, lines = [], []
    for group in sorted(
        counts,
        key=lambda g: (-len(g), [tasks.index(t) for t in tasks if t in g]),
    ):
        members = [t for t in tasks if t in group]
        if len(members) == 1:
            text = f"{members[0]} alone"
        elif len(members) == len(tasks):
            text = "shared by all tasks"
        else:
            text = f"shared by {', '.join(members)}"
        share = counts[group] / total
        lines.append(f"{text}: {counts[group]:,} trainable ({share:.0%})")
        handles.append(tuple(Patch(facecolor=colours[t]) for t in members))
    return handles, lines
