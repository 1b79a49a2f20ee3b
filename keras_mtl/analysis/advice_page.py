"""Advice as one HTML file that stands alone, and as JSON."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import _files
from keras_mtl.analysis.advice import MATTERS, MATTERS_PERCENT, Advice
from keras_mtl.analysis.effects import Effect
from keras_mtl.analysis.evidence import Evidence
from keras_mtl.analysis.pages import render_page
from keras_mtl.analysis.results import to_json
from keras_mtl.recipe import Recipe

PAGE = "advice.html"
RECORD = "advice.json"
TABLE = "effects.csv"

# Lines in the chart of cosines; those that differ most from 0 are drawn.
LINES = 6


def write_advice(
    advice: Advice,
    evidence: Evidence,
    recipe: Recipe,
    config: Mapping[str, Any],
    directory: Path,
) -> None:
    """Writes `advice.html`, `advice.json` and `effects.csv`."""
    page = render(advice, evidence, recipe, config)
    _files.write_text(directory / PAGE, page)
    _files.write_text(directory / RECORD, to_json(record(advice, evidence)))
    _files.write_text(directory / TABLE, to_csv(advice))


def to_csv(advice: Advice) -> str:
    """One line for each task and each other one that it acts on."""
    out = io.StringIO()
    names = [field.name for field in fields(Effect)]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(effect) for effect in advice.effects)
    return out.getvalue()


def record(advice: Advice, evidence: Evidence) -> dict[str, Any]:
    """All that was found, for other programs."""
    return {
        "kind": advice.kind,
        "expected": advice.expected,
        "headline": advice.headline,
        "because": advice.because,
        "sureness": advice.sureness,
        "networks": [asdict(n) for n in advice.grouping.networks],
        "by_budget": [
            {
                "networks": [asdict(n) for n in grouping.networks],
                "scores": grouping.scores,
                "exact": grouping.exact,
            }
            for grouping in advice.by_budget
        ],
        "balancer": asdict(advice.balancer),
        "remarks": advice.remarks,
        "effects": [asdict(effect) for effect in advice.effects],
        "tasks": evidence.tasks,
        "losses_before_training": evidence.losses,
        "weights": evidence.weights,
        "affinity": evidence.affinity.tolist(),
        "relative_affinity": evidence.relative.tolist(),
        "transfer_percent": None
        if evidence.transfer is None
        else evidence.transfer.tolist(),
        "mean_cosines": evidence.mean_cosines.tolist(),
        "conflict_shares": evidence.conflict_shares.tolist(),
        "layer_cosines": {
            layer: matrix.tolist()
            for layer, matrix in evidence.layer_cosines.items()
        },
        "gradient_lengths": evidence.lengths.tolist(),
        "labels": {k: v._asdict() for k, v in evidence.labels.items()},
        "losses_by_epoch": {
            task: [asdict(gap) for gap in gaps]
            for task, gaps in evidence.gaps.items()
        },
    }


def render(
    advice: Advice,
    evidence: Evidence,
    recipe: Recipe,
    config: Mapping[str, Any],
) -> str:
    """The HTML of the page."""
    measured = evidence.transfer is not None
    return render_page(
        Path(__file__).with_name(PAGE),
        {"number": _number},
        advice=advice,
        evidence=evidence,
        recipe=recipe,
        config=config,
        measured=measured,
        matters=f"{MATTERS_PERCENT if measured else 100 * MATTERS:g} %",
        effects={(e.source, e.target): e for e in advice.effects},
        strength=_strength,
        pairs=_pairs(evidence),
        chart=_chart(evidence),
        rows=_task_rows(evidence),
    )


def _number(value: float, digits: int = 3) -> str:
    return "–" if not math.isfinite(value) else f"{value:.{digits}g}"


def _strength(effect: Any, measured: bool) -> str:
    """How strongly a cell is coloured, in percent."""
    if not math.isfinite(effect.mean):
        return "0%"
    full = 10.0 if measured else 1.0
    return f"{min(abs(effect.mean) / full, 1) * 45 + 8:.0f}%"


def _pairs(evidence: Evidence) -> list[dict[str, Any]]:
    """Angles of each pair, the most opposed first."""
    found = []
    for i, a in enumerate(evidence.tasks):
        for j, b in list(enumerate(evidence.tasks))[i + 1 :]:
            of_seeds = evidence.mean_cosines[:, i, j]
            found.append(
                {
                    "names": f"{a} and {b}",
                    "cosine": float(np.mean(of_seeds)),
                    "low": float(np.min(of_seeds)),
                    "high": float(np.max(of_seeds)),
                    "share": float(np.mean(evidence.conflict_shares[:, i, j])),
                    "layers": {
                        layer: float(matrix[i, j])
                        for layer, matrix in evidence.layer_cosines.items()
                    },
                    "curve": evidence.cosines[:, i, j],
                }
            )
    return sorted(found, key=lambda pair: pair["cosine"])


def _chart(evidence: Evidence) -> dict[str, Any]:
    """Lines of an SVG picture, 640 × 200, of cosines over the steps."""
    shown = sorted(_pairs(evidence), key=lambda p: -abs(p["cosine"]))[:LINES]
    last = max(int(evidence.steps[-1]), 1)
    lines = []
    for pair in shown:
        points = [
            f"{40 + 590 * step / last:.1f},{100 - 90 * cosine:.1f}"
            for step, cosine in zip(
                evidence.steps, _smooth(pair["curve"]), strict=True
            )
            if math.isfinite(cosine)
        ]
        lines.append({"names": pair["names"], "points": " ".join(points)})
    return {"lines": lines, "last": last}


def _smooth(values: Any, width: int = 5) -> Any:
    """Running means of some looks, without what is unknown."""
    half = width // 2
    windows = [
        values[max(0, i - half) : i + half + 1] for i in range(len(values))
    ]
    return [
        float(known.mean())
        if len(known := window[np.isfinite(window)])
        else math.nan
        for window in windows
    ]


def _task_rows(evidence: Evidence) -> list[dict[str, Any]]:
    lengths = np.exp(np.log(evidence.lengths).mean(axis=0))
    rows = []
    for i, task in enumerate(evidence.tasks):
        gaps = evidence.gaps[task]
        rows.append(
            {
                "task": task,
                "loss": evidence.losses[task],
                "weight": evidence.weights[task],
                "length": float(lengths[i]),
                "labels": evidence.labels[task],
                "train": float(np.mean([g.train[-1] for g in gaps])),
                "validation": float(np.mean([g.validation[-1] for g in gaps])),
                "best_epoch": float(np.median([g.best_epoch for g in gaps])),
                "epochs": len(gaps[0].validation),
            }
        )
    return rows
