"""The page on which a person tries a served model by hand."""

import dataclasses
import html
import json
from importlib import resources
from typing import Any

from keras_mtl.serving.served_model import ServedModel
from keras_mtl.serving.signatures import ALL_TASKS

_TEMPLATE = "try_page.html"


def try_page(served: ServedModel) -> str:
    """A page with a form for the inputs, which shows each task's answer.

    Args:
        served: The model. Its model card, if it has one, gives class names
            and units; its example request fills the form.

    Returns:
        HTML that needs nothing else.
    """
    template = resources.files("keras_mtl.serving") / _TEMPLATE
    title = html.escape(f"{served.name}, version {served.version}")
    # "</script>" in a name must not end the script.
    model = json.dumps(_model(served)).replace("<", "\\u003c")
    return (
        template.read_text("utf-8")
        .replace("{{title}}", title)
        .replace("{{model}}", model)
    )


def _model(served: ServedModel) -> dict[str, Any]:
    signature = served.session.signatures.get(ALL_TASKS)
    return {
        "name": served.name,
        "version": served.version,
        "signature": signature and dataclasses.asdict(signature),
        "tasks": (served.card or {}).get("tasks", []),
        "example": served.example,
    }
