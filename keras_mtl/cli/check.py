"""`keras-mtl check`: loads an export as TF Serving does."""

from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def check(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A model's directory or one of its versions."
        ),
    ],
) -> None:
    """Check that TF Serving can load and run an exported model."""
    import_quietly()
    from keras_mtl import serving
    from keras_mtl.cli.tables import print_check
    from keras_mtl.serving.versions import version_directory

    version_dir = version_directory(directory)
    try:
        report = serving.check(version_dir)
    except ValueError as error:
        new_console(stderr=True).print(f"The check failed: {error}")
        raise typer.Exit(1) from None
    print_check(new_console(), report)
    if not report.ok:
        raise typer.Exit(1)
