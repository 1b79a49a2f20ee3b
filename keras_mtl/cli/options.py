"""Arguments and options that several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A recipe: a Python file.")
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="One of the recipe's data sources. (default: its first)",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the recipe's data lies."),
]
Sharings = Annotated[
    list[str] | None,
    typer.Option(
        "--sharing",
        metavar="NAME",
        help="One of the recipe's ways of sharing; may be repeated. "
        "(default: all)",
    ),
]
Sharing = Annotated[
    str | None,
    typer.Option(
        "--sharing",
        metavar="NAME",
        help="One of the recipe's ways of sharing. (default: its first)",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Passes over the data. (default: the recipe's)"),
]
Out = Annotated[Path, typer.Option(help="Where runs are kept.")]
SavedModels = Annotated[
    Path, typer.Option(help="Where exported models are kept.")
]
