"""What comes of the experiment on correlation: picture, table and words.

Curves are `[correlation][way]`, each of test errors `(epochs, seeds)`.
"""

import io
import json
import os

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from keras_mtl._files import write_bytes, write_text

SINGLE, BOTTOM, MMOE = "single-task", "hard_sharing", "mmoe"

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = {
    BOTTOM: "#0072B2",
    MMOE: "#D55E00",
    "ple": "#009E73",
    "cross_stitch": "#CC79A7",
    "soft_sharing": "#E69F00",
    SINGLE: "#7f7f7f",
}


def interval(values):
    """The mean over seeds, last axis, and half its 95 % interval."""
    values = np.asarray(values)
    count = values.shape[-1]
    error = values.std(axis=-1, ddof=1) / np.sqrt(count)
    return values.mean(axis=-1), student.ppf(0.975, count - 1) * error


def advantage(curves, way, correlation, relative=False):
    """How much less the final error is than the shared bottom's, by seed.

    Relative to the shared bottom's, in percent, problems of all difficulties
    count alike; else the hard ones prevail.
    """
    at = curves[correlation]
    gain = at[BOTTOM][-1] - at[way][-1]
    return 100 * gain / at[BOTTOM][-1] if relative else gain


def plot(curves):
    """Curves as in the paper, and advantages over the shared bottom."""
    correlations = sorted(curves, reverse=True)
    ways = list(curves[correlations[0]])
    figure = Figure(figsize=(4 * len(correlations), 7.5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    panels = upper.subplots(1, len(correlations), sharey=True, squeeze=False)
    for axes, correlation in zip(panels[0], correlations, strict=True):
        for way, curve in curves[correlation].items():
            mean, half = interval(curve)
            epochs = np.arange(1, len(mean) + 1)
            axes.plot(epochs, mean, color=COLOURS[way], label=way)
            axes.fill_between(
                epochs,
                mean - half,
                mean + half,
                color=COLOURS[way],
                alpha=0.15,
                linewidth=0,
            )
        axes.set_title(f"correlation {correlation}", loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_yscale("log")
    panels[0][0].set_ylabel("test error (MSE), noise alone: 0.01")
    others = [way for way in ways if way != BOTTOM]
    lower_panels = lower.subplots(1, 2)
    for axes, relative, shown in zip(
        lower_panels, (False, True), ([MMOE], others), strict=True
    ):
        for place, way in enumerate(shown):
            summary = [
                interval(advantage(curves, way, correlation, relative))
                for correlation in correlations
            ]
            # Side by side, so that intervals can be told apart.
            shift = 0.04 * (place - (len(shown) - 1) / 2)
            axes.errorbar(
                np.arange(len(correlations)) + shift,
                [mean for mean, _ in summary],
                yerr=[half for _, half in summary],
                color=COLOURS[way],
                marker="o",
                capsize=3,
            )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(correlations)), map(str, correlations))
        axes.set_xlabel("correlation of the tasks")
        axes.set_ylabel(
            f"less final error than {BOTTOM}" + (", %" if relative else ", MSE")
        )
        axes.set_title(
            "Advantage of each way" if relative else "Advantage of MMoE",
            loc="left",
            fontsize=10,
        )
    for axes in (*panels[0], *lower_panels):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
    )
    return figure


def finding(curves):
    """Whether MMoE gains as the correlation falls, in words."""
    most, least = max(curves), min(curves)
    sentences = []
    for relative, unit in ((False, ""), (True, " %")):
        digits = 1 if relative else 4
        high, low = (
            advantage(curves, MMOE, c, relative) for c in (most, least)
        )
        parts = [
            "{:+.{d}f} ± {:.{d}f}{}".format(*interval(gain), unit, d=digits)
            for gain in (high, low, low - high)
        ]
        mean, half = interval(low - high)
        change = "grows" if mean > 0 else "shrinks"
        if abs(mean) <= half:
            change = "does not change beyond chance"
        sentences.append(
            f"{parts[0]} at {most} and {parts[1]} at {least}, and {change} "
            f"({parts[2]}, seed by seed)"
        )
    return (
        "The advantage of MMoE over the shared bottom in final error is "
        f"{sentences[0]}; relative to the shared bottom's error it is "
        f"{sentences[1]}."
    )


def table(curves, rates, parameters):
    """Final and best errors in Markdown."""
    correlations = sorted(curves, reverse=True)
    lines = [
        "| way | parameters | learning rate | "
        + " | ".join(f"final, {c} | best, {c}" for c in correlations)
        + " |",
        "|---|---:|---:|" + "---:|" * (2 * len(correlations)),
    ]
    for way in curves[correlations[0]]:
        cells = []
        for correlation in correlations:
            curve = curves[correlation][way]
            for values in (curve[-1], curve.min(axis=0)):
                mean, half = interval(values)
                cells.append(f"{mean:.4f} ± {half:.4f}")
        lines.append(
            f"| `{way}` | {parameters[way]:,} | {rates[way]:g} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)


def write(record, curves, directory):
    """Writes picture, table and numbers."""
    buffer = io.BytesIO()
    plot(curves).savefig(buffer, format="png", dpi=120)
    write_bytes(os.path.join(directory, "correlation.png"), buffer.getvalue())
    found = finding(curves)
    text = (
        "# Ways of sharing against the correlation of two tasks\n\n"
        f"    {record['command']}\n\n"
        "Mean squared error on test data, mean of both tasks, ± half the 95 % "
        f"interval of the mean\nover {len(record['seeds'])} seeds. Final: "
        f"after {record['epochs']} epochs; best: of all epochs. Noise alone is "
        "0.01.\n\n"
        f"{table(curves, record['learning_rates'], record['parameters'])}\n\n"
        f"{found}\n\n"
        + ", ".join(f"{k} {v}" for k, v in record["versions"].items())
        + f"; {record['machine']}; {record['seconds']} s.\n"
    )
    write_text(os.path.join(directory, "correlation.md"), text)
    errors = {
        str(correlation): {
            way: np.round(curve, 6).tolist() for way, curve in ways.items()
        }
        for correlation, ways in curves.items()
    }
    record = {**record, "finding": found, "test_errors": errors}
    write_text(
        os.path.join(directory, "correlation.json"),
        json.dumps(record, separators=(",", ":")) + "\n",
    )
