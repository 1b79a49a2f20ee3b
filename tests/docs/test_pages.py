"""The code in the pages runs, and its assertions hold."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text("utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S))
    assert blocks
    assert any("assert " in block[1] for block in blocks)
    names = {"__name__": f"docs_{page.stem}"}
    for block in blocks:
        # Blank lines before it, so that a failure names the page's line.
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], page, "exec"), names)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        prose = re.sub(
            r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S
        )
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
