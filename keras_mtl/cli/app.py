"""The commands of `keras-mtl`, their common options and their exit codes.

Nothing in this package imports Keras when it is imported itself, so that
`--help` answers at once.
"""

import _thread
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keras_mtl._version import __version__
from keras_mtl.cli.advise import advise
from keras_mtl.cli.balancers import balancers
from keras_mtl.cli.check import check
from keras_mtl.cli.compare import compare
from keras_mtl.cli.export import export
from keras_mtl.cli.new import new
from keras_mtl.cli.output import new_console
from keras_mtl.cli.serve import serve
from keras_mtl.cli.train import train
from keras_mtl.cli.tune import tune


@contextlib.contextmanager
def lost_interrupts() -> Iterator[None]:
    """Raises Ctrl-C again where Python has dropped it.

    What is raised in a finalizer is told and forgotten, and tracing a graph
    runs thousands of them.
    """
    told = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not at once: in here it would be dropped, too.
            threading.Timer(0.1, _thread.interrupt_main).start()
        else:
            told(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = told


class _Commands(TyperGroup):
    """Turns errors that tell what is wrong into one paragraph and a code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with lost_interrupts():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            new_console(stderr=True).print("Interrupted.")
            raise typer.Exit(130) from None
        except (ValueError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            new_console(stderr=True).print(f"Error: {error}")
            raise typer.Exit(2) from None


app = typer.Typer(
    name="keras-mtl",
    help="Train, compare, export and check multi-task Keras models.",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"keras-mtl {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Options of all commands; typer reads them from the signature."""


for command in (
    *(new, train, compare, tune, advise),
    *(export, check, serve, balancers),
):
    app.command()(command)


def main() -> None:
    """The entry point."""
    app()
