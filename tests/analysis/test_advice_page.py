import csv
import json
import re

import numpy as np
import pytest
from evidence_cases import evidence

from keras_mtl.analysis.advice import advise_from
from keras_mtl.analysis.advice_page import render, write_advice

CONFIG = {
    "command": "keras-mtl advise people.py <b>",
    "file": "people.py",
    "versions": {"keras": "3"},
}
GROUPED = [[1, 0.4, -0.3], [0.4, 1, -0.3], [-0.3, np.nan, 1]]


@pytest.fixture
def found():
    seen = evidence(GROUPED)
    return advise_from(seen), seen


def test_the_page_stands_alone_and_says_it_in_words(found, tiny):
    html = render(*found, tiny, CONFIG)
    assert "Share in 2 networks: a and b together; c alone." in html
    assert "In every seed" in html
    assert "keras-mtl compare\npeople.py" in html
    assert "Balancer: none, equal weights" in html
    assert not re.search(r"https?:|src=|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "Made &lt;tables&gt;." in html
    assert "people.py &lt;b&gt;" in html
    assert len(re.findall("<polyline", html)) == 3
    assert "nan" not in html


def test_files(found, tiny, tmp_path):
    write_advice(*found, tiny, CONFIG, tmp_path)
    record = json.loads((tmp_path / "advice.json").read_text())
    assert record["kind"] == "share in groups"
    assert record["networks"] == [
        {"serves": ["a", "b"], "trains": ["a", "b"]},
        {"serves": ["c"], "trains": ["c"]},
    ]
    assert record["relative_affinity"][0][2][1] is None
    assert [b["exact"] for b in record["by_budget"]] == [True] * 3
    assert (tmp_path / "advice.html").read_text().startswith("<!doctype html>")
    with (tmp_path / "effects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (row["source"], row["target"], row["judgement"]) for row in rows
    ] == [(e.source, e.target, e.judgement) for e in found[0].effects]
    assert len(rows) == 3 * 2


def test_measured_transfer_is_shown_as_such(found, tiny):
    _, seen = found
    measured = evidence(GROUPED, transfer=10 * np.nan_to_num(seen.relative))
    html = render(advise_from(measured), measured, tiny, CONFIG)
    assert "change of its validation metric in percent" in html
    assert "TAG" not in html
