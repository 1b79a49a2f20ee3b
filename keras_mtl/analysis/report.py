"""A comparison as one HTML file that stands alone, and one picture."""

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from keras_mtl import _files
from keras_mtl.analysis import plots
from keras_mtl.analysis.pages import render_page
from keras_mtl.analysis.results import SINGLE, Comparison, Spread
from keras_mtl.analysis.verdict import RULE, percent, signed, verdict

REPORT = "report.html"
PICTURE = "report.png"


def write_report(
    comparison: Comparison,
    directory: Path,
    pictures: Mapping[str, Figure] | None = None,
) -> None:
    """Writes `report.html` and `report.png` into a directory."""
    picture = io.BytesIO()
    plots.bars(comparison).savefig(picture, format="png", dpi=150)
    _files.write_bytes(directory / PICTURE, picture.getvalue())
    _files.write_text(directory / REPORT, render(comparison, pictures))


def render(
    comparison: Comparison, pictures: Mapping[str, Figure] | None = None
) -> str:
    """The HTML of the report."""
    return render_page(
        Path(__file__).with_name(REPORT),
        {
            "spread": format_spread,
            "percent": percent,
            "milliseconds": _milliseconds,
            "interval": format_interval,
            "p_value": format_p,
            "operations": format_operations,
            "bytes": format_bytes,
        },
        comparison=comparison,
        summaries=comparison.summaries(),
        single=SINGLE,
        chosen=comparison.chosen,
        verdict=verdict(comparison),
        rule=RULE,
        config=comparison.config,
        settings=_settings(comparison),
        bars=_image(plots.bars(comparison)),
        curves=_image(plots.learning_curves(comparison)),
        weights=_image(plots.task_weights(comparison)),
        cosine=_image(plots.smallest_cosine(comparison)),
        pictures={
            title: _photo(each) for title, each in (pictures or {}).items()
        },
    )


def format_spread(spread: Spread, digits: int = 4) -> str:
    """Such as "0.9512 ± 0.0031"; the mean alone where there is no spread."""
    if math.isnan(spread.mean):
        return "undefined"
    # As many decimals as show `digits` figures of the mean.
    size = max(abs(spread.mean), 1e-9)
    decimals = max(0, digits - 1 - max(math.floor(math.log10(size)), -1))
    text = f"{spread.mean:.{decimals}f}"
    if math.isnan(spread.sd):
        return text
    return f"{text} ± {spread.sd:.{decimals}f}"


def format_interval(ends: tuple[float, float]) -> str:
    """Such as "−0.3 to +1.2 %"."""
    if math.isnan(ends[0]):
        return "unknown"
    return f"{signed(ends[0])} to {signed(ends[1])} %"


def format_p(value: float) -> str:
    """With two digits; nothing where there is no test."""
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def format_operations(count: int | None) -> str:
    """Such as "1.25 M"."""
    if count is None:
        return "unknown"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def format_bytes(count: int | None) -> str:
    """Such as "1.25 MB"."""
    if count is None:
        return "unknown"
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _milliseconds(quartiles: tuple[float, float, float]) -> str:
    low, middle, high = (1e3 * q for q in quartiles)
    return f"{middle:.2f} ms ({low:.2f} to {high:.2f})"


def _settings(comparison: Comparison) -> dict[str, str]:
    """What was run, by the words of the report."""
    config = comparison.config
    seeds = ", ".join(map(str, comparison.seeds))
    rows = {
        "Command": config.get("command"),
        "Recipe": config.get("file"),
        "Data": comparison.source,
        "Budget of each training": f"{comparison.epochs} epochs, batches of "
        f"{comparison.batch_size}, optimizer {_optimizer(config)}",
        "Seeds": seeds,
        "Sharing": ", ".join(config.get("sharings", [])),
        "Started": config.get("started"),
        "Versions": ", ".join(
            f"{k} {v}" for k, v in config.get("versions", {}).items()
        ),
        "Machine": config.get("machine"),
    }
    return {k: str(v) for k, v in rows.items() if v}


def _optimizer(config: dict[str, Any]) -> str:
    optimizer = config.get("optimizer") or {}
    rate = optimizer.get("config", {}).get("learning_rate")
    name = str(optimizer.get("class_name", "unknown"))
    if isinstance(rate, (int, float)):
        return f"{name} with learning rate {rate:.3g}"
    return name


def _photo(figure: Figure) -> str:
    """A picture of pixels as a data URI."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, bbox_inches="tight")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _image(figure: Figure | None) -> str | None:
    """A picture as a data URI."""
    if figure is None:
        return None
    out = io.StringIO()
    # Text as outlines: it looks the same wherever the file is opened.
    with matplotlib.rc_context({"svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    data = base64.b64encode(out.getvalue().encode()).decode()
    return f"data:image/svg+xml;base64,{data}"
