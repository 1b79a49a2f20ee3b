"""`keras-mtl new`: a recipe to change."""

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli.output import new_console

_TEMPLATE = "recipe_template.py"


def new(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to write it; `.py` is added if missing."
        ),
    ],
) -> None:
    """Write a small recipe that runs as it is, for your own data."""
    path = file if file.suffix == ".py" else file.with_name(f"{file.name}.py")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", path.stem):
        raise ValueError(
            "The name of the file becomes that of the recipe. Expected: "
            "letters, digits and '_', not beginning with a digit. "
            f"Received: {path.stem!r}"
        )
    if path.exists():
        raise FileExistsError(
            f"{path} is there already, and nothing is overwritten. Choose "
            "another name or remove it."
        )
    from keras_mtl._files import write_text

    template = resources.files("keras_mtl.cli").joinpath(_TEMPLATE)
    text = template.read_text("utf-8").replace("my_recipe", path.stem)
    write_text(path, text)
    new_console().print(
        f"Wrote {path}. It runs as it is:\n\n"
        f"  keras-mtl compare {path}\n\n"
        "Then put your own data, tasks and layers where its comments say.",
        soft_wrap=True,
    )
