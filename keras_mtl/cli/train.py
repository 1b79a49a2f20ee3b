"""`keras-mtl train`: one shared model, saved after every epoch."""

from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli import options
from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def train(
    file: options.RecipeFile,
    balancer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="See `keras-mtl balancers`. (default: equal weights)",
        ),
    ] = None,
    sharing: options.Sharing = None,
    epochs: options.Epochs = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of weights and data order. (default: 0)"),
    ] = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    out: options.Out = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with this run."),
    ] = None,
) -> None:
    """Train one model for all tasks of a recipe."""
    if resume is not None:
        fixed = {
            "--balancer": balancer,
            "--sharing": sharing,
            "--seed": seed,
            "--data": data,
            "--data-dir": data_dir,
        }
        if given := [
            name for name, value in fixed.items() if value is not None
        ]:
            raise ValueError(
                f"{', '.join(given)} cannot be given with --resume: a run goes "
                "on as it was started. Only --epochs may change."
            )
    import_quietly()
    from keras_mtl.analysis import training_run
    from keras_mtl.cli.origin import origin
    from keras_mtl.cli.progress import Bars
    from keras_mtl.cli.tables import scores
    from keras_mtl.recipe import load_recipe

    recipe = load_recipe(file)
    with Bars("epochs") as bars:

        def on_epoch(done: int, total: int) -> None:
            bars.update("epochs", done, total, f"epoch {done} of {total}")

        if resume is None:
            run = training_run.train(
                recipe,
                balancer=balancer,
                sharing=sharing,
                epochs=epochs,
                seed=seed or 0,
                source=data,
                data_dir=None if data_dir is None else str(data_dir),
                out=out,
                origin=origin(file),
                on_start=lambda path: new_console(stderr=True).print(
                    f"run {path}", soft_wrap=True
                ),
                on_epoch=on_epoch,
            )
        else:
            run = training_run.resume(
                recipe, resume, epochs=epochs, on_epoch=on_epoch
            )
    console = new_console()
    console.print(scores(recipe, run))
    for command in (
        f"tensorboard --logdir {run.directory / 'tensorboard'}",
        f"keras-mtl export {run.directory} --recipe {file}",
    ):
        console.print(command, soft_wrap=True)
