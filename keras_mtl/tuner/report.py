"""A search as one HTML file that stands alone."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

from keras_mtl import _files
from keras_mtl.analysis.pages import render_page
from keras_mtl.analysis.verdict import signed
from keras_mtl.tuner.plots import draw_front

if TYPE_CHECKING:
    from keras_mtl.tuner.finish import SearchResult

REPORT = "report.html"


def write_report(result: "SearchResult", path: Path) -> None:
    """Writes the report of a search."""
    html = render_page(
        Path(__file__).with_name(REPORT),
        {"signed": signed, "short": short},
        result=result,
        config=result.config,
        names=list(dict.fromkeys(n for t in result.trials for n in t.values)),
        settings=_settings(result.config),
        picture=_picture(result),
    )
    _files.write_text(path, html)


def short(value: Any) -> str:
    """A hyperparameter in four figures, if it is a fraction."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(config: dict[str, Any]) -> dict[str, str]:
    rows = {
        "Command": config.get("command"),
        "Recipe": config.get("file"),
        "Data": config["source"],
        "Objective": "mean gain of " + ", ".join(config["objective"]),
        "Oracle": f"{config['oracle']}, at most {config['trials']} trials",
        "Budget of a trial": f"{config['epochs']} epochs, batches of "
        f"{config['batch_size']}",
        "Seed": config["seed"],
        "Started": config["started"],
        "Versions": ", ".join(
            f"{k} {v}" for k, v in config["versions"].items()
        ),
        "Machine": config["machine"],
    }
    return {k: str(v) for k, v in rows.items() if v is not None}


def _picture(result: "SearchResult") -> str:
    """The front as a data URI."""
    out = io.StringIO()
    # Text as outlines: it looks the same wherever the file is opened.
    with matplotlib.rc_context({"svg.fonttype": "path"}):
        draw_front(result).savefig(out, format="svg", metadata={"Date": None})
    data = base64.b64encode(out.getvalue().encode()).decode()
    return f"data:image/svg+xml;base64,{data}"
