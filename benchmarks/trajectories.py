"""Where every balancer goes on the two-objective toy, and who arrives.

    python benchmarks/trajectories.py DIRECTORY [--only NAME ...]

Every registered method descends from the five starts of the papers by Adam
with a step of 1e-3 for 50,000 steps, in float64: in float32 rounding decides
where some go, for on the front G is singular. Written to DIRECTORY:
`trajectories.png`, `trajectories.md` (who ends within 2 % of the front, each
objective in units of its range over the front) and `trajectories.json`.

Losses are given to the methods as they are above a bound that the objectives
never reach, for some methods want them positive; gradients do not notice.
"""

import argparse
import inspect
import io
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from descent import trajectories
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from toy_problems import TwoObjectiveToy, values

from keras_mtl import balancers
from keras_mtl._files import write_bytes, write_text

STEPS = 50_000
RECORD_EVERY = 500

# For what constructors ask without a default.
NEEDED = {
    "balancer": "mgda",
    "groups": [[0], [1]],
    "preference": [1.0, 10.0],  # evens out the objectives' scales
}

FAMILIES = (
    ("loss weighting", balancers.LossBalancer),
    ("gradient method", balancers.GradientBalancer),
    ("by coordinate", balancers.CoordinateBalancer),
)
# What the authors set for this toy, where that is not the default.
SETTINGS = {"famo": {"weight_decay": 0.0}}

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")


def method(name, **arguments):
    """A new balancer, with what it has to be given."""
    cls = balancers.registry[name]
    needed = {
        argument: NEEDED[argument]
        for argument, parameter in inspect.signature(cls).parameters.items()
        if argument in NEEDED and parameter.default is parameter.empty
    }
    return cls(**needed | SETTINGS.get(name, {}) | arguments)


def measure(name, steps=STEPS):
    """Trajectories of one method, and how far from the front they end."""
    keras.utils.set_random_seed(0)
    balancer = method(name)
    toy = TwoObjectiveToy()
    paths = trajectories(balancer, toy, toy.starts, steps, RECORD_EVERY)
    distances = [toy.distance(path[-1]) for path in paths]
    return {
        "method": name,
        "family": family(balancer),
        "reached": [bool(d <= toy.tolerance) for d in distances],
        "distance": [round(d, 5) for d in distances],
        "ends": [np.round(path[-1], 4).tolist() for path in paths],
        "trajectories": np.round(paths, 2).tolist(),
    }


def family(balancer):
    """What kind of method it is, in words."""
    return next(kind for kind, base in FAMILIES if isinstance(balancer, base))


def table(results):
    """The results as a Markdown table."""
    toy = TwoObjectiveToy()
    starts = [f"from ({x:g}, {y:g})" for x, y in toy.starts]
    lines = [
        f"Two-objective toy, Adam 1e-3, {STEPS:,} steps: the x₁ at which each "
        "start ends on the front, or — where it ends off it.",
        "",
        "| method | kind | reached | " + " | ".join(starts) + " |",
        "|---|---|---|" + "---:|" * len(starts),
    ]
    for row in results:
        cells = [
            f"{end[0]:z.2f}" if reached else "—"
            for end, reached in zip(row["ends"], row["reached"], strict=True)
        ]
        lines.append(
            f"| `{row['method']}` | {row['family']} "
            f"| {sum(row['reached'])} of {len(cells)} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def plot(results, columns=8):
    """One panel a method: its paths over the mean of the objectives."""
    toy = TwoObjectiveToy()
    side = np.linspace(-10, 10, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    mean = values(toy, grid.reshape(-1, 2)).mean(axis=1).reshape(201, 201)

    rows = -(-len(results) // columns)
    figure = Figure(
        figsize=(2.1 * columns, 2.3 * rows + 0.7), layout="constrained"
    )
    panels = figure.subplots(
        rows, columns, squeeze=False, sharex=True, sharey=True
    )
    for axes, row in zip(panels.flat, results, strict=False):
        axes.contour(
            side,
            side,
            mean,
            levels=16,
            colors="#d0d0d0",
            linewidths=0.6,
            linestyles="solid",
        )
        axes.plot(*toy.front.T, color="black", linewidth=3, alpha=0.8)
        for path, reached, colour in zip(
            row["trajectories"], row["reached"], COLOURS, strict=True
        ):
            axes.plot(*np.transpose(path), color=colour, linewidth=1.3)
            axes.plot(*path[0], marker="o", color=colour, markersize=3.5)
            axes.plot(
                *path[-1],
                marker="*" if reached else "x",
                color=colour,
                markersize=9 if reached else 7,
                markeredgecolor="black" if reached else colour,
                markeredgewidth=0.5 if reached else 2,
                linestyle="none",
                zorder=5,
            )
        axes.set_title(row["method"], loc="left", fontsize=8)
        count = f"{sum(row['reached'])} of {len(row['reached'])}"
        axes.set_title(count, loc="right", fontsize=7)
        axes.set(xlim=(-10, 10), ylim=(-10, 10), xticks=(-7, 0, 7))
        axes.set_yticks((-8, 0, 8))
        axes.tick_params(labelsize=7, length=2, labelbottom=True)
        axes.set_aspect("equal")
    for unused in list(panels.flat)[len(results) :]:
        unused.remove()
    figure.supxlabel("x₁", fontsize=9)
    figure.supylabel("x₂", fontsize=9)
    marks = {
        "start": {"marker": "o", "linestyle": "none"},
        "ends on the front": {"marker": "*", "linestyle": "none"},
        "ends off it": {"marker": "x", "linestyle": "none"},
        "Pareto front": {"color": "black", "linewidth": 3},
        "level of the mean objective": {"color": "#c0c0c0"},
    }
    figure.legend(
        [Line2D([], [], **{"color": "#555555"} | m) for m in marks.values()],
        list(marks),
        loc="outside upper center",
        ncols=len(marks),
        frameon=False,
        fontsize=9,
    )
    return figure


def main():
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="where to write")
    parser.add_argument("--only", nargs="*", help="names of methods")
    args = parser.parse_args()

    results = []
    for name in args.only or balancers.registry:
        start = time.perf_counter()
        results.append(measure(name))
        print(
            f"{name}: {sum(results[-1]['reached'])} of 5, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    write(results, args.directory)


def write(results, directory):
    """Writes plot, table and numbers, the methods of a kind together."""
    kinds = [kind for kind, _ in FAMILIES]
    results = sorted(
        results, key=lambda row: (kinds.index(row["family"]), row["method"])
    )
    buffer = io.BytesIO()
    plot(results).savefig(buffer, format="png", dpi=100)
    write_bytes(os.path.join(directory, "trajectories.png"), buffer.getvalue())
    write_text(os.path.join(directory, "trajectories.md"), table(results))
    write_text(
        os.path.join(directory, "trajectories.json"),
        json.dumps(results, separators=(",", ":")) + "\n",
    )


if __name__ == "__main__":
    main()
