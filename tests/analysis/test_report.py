import base64
import re

import pytest
from comparison_cases import comparison

from keras_mtl.analysis.report import (
    format_bytes,
    format_spread,
    render,
    write_report,
)
from keras_mtl.analysis.results import EQUAL, Spread

ALONE = [(0.80, 2.0), (0.82, 2.1)]
SHARED = {EQUAL: [(0.79, 2.0), (0.8, 2.2)], "pcgrad": [(0.9, 1.5), (0.92, 1.4)]}


@pytest.fixture(scope="module")
def html():
    return render(comparison(SHARED, ALONE, description="<script>x</script>"))


def test_the_report_stands_alone_and_shows_the_verdict(html):
    assert "Sharing helped: the shared model with pcgrad" in html
    assert "0.9100 ± 0.0141" in html
    # Nothing is loaded from elsewhere.
    assert set(re.findall(r'src="([^"]{14})', html)) == {"data:image/svg"}
    assert "http" not in re.sub(r'src="[^"]*"', "", html)
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(pictures) == 4  # bars, curves, weights, cosine
    for picture in pictures:
        assert b"</svg>" in base64.b64decode(picture)


def test_the_page_has_both_themes_sorts_and_can_be_printed(html):
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert html.count('<table class="sorts">') == 2
    assert 'querySelectorAll("table.sorts")' in html
    # What is shown as "unknown" is sorted as nothing.
    assert '<td data-sort="">unknown</td>' in html


def test_what_users_wrote_is_escaped(html):
    assert "&lt;script&gt;" in html
    assert "<script>x" not in html
    assert "people.py &lt;b&gt;" in html


def test_without_balancers_or_spread():
    html = render(
        comparison({EQUAL: SHARED[EQUAL][:1]}, ALONE[:1], inference=None)
    )
    assert "cannot be said from 1 seed" in html
    assert "Task weights" not in html
    assert "nan" not in re.sub(r'src="[^"]*"', "", html)


def test_files(tmp_path):
    write_report(comparison(SHARED, ALONE), tmp_path)
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (999, "999 B"), (12_345, "12.3 kB"), (2e9, "2 GB")],
)
def test_format_bytes(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread(0.95123, 0.0031), "0.9512 ± 0.0031"),
        (Spread(12.3456, 0.5), "12.35 ± 0.50"),
        (Spread(12345.6, 7.0), "12346 ± 7"),
        (Spread(0.001, float("nan")), "0.0010"),
        (Spread(float("nan"), float("nan")), "undefined"),
    ],
)
def test_format_spread(spread, text):
    assert format_spread(spread) == text
