"""Pages of HTML that stand alone: templates and what they share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

# Style and script of all pages are templates in here.
_SHARED = Path(__file__).parent


def render_page(
    template: Path, filters: Mapping[str, Callable[..., Any]], **values: Any
) -> str:
    """A page as text.

    Args:
        template: A file of Jinja.
        filters: Functions that it uses, by name.
        **values: What it shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template.name).render(**values)
