"""`keras-mtl advise`: should these tasks share?"""

from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli import options
from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def advise(
    file: options.RecipeFile,
    seeds: Annotated[
        int, typer.Option(min=1, help="How often everything is trained.")
    ] = 5,
    epochs: options.Epochs = None,
    networks: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many. (default: one for each task)"
        ),
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Train every pair and every task alone, too: slower, surer.",
        ),
    ] = False,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    out: options.Out = Path("runs"),
) -> None:
    """Say which tasks to train together, and with which balancer.

    Trains all tasks together, looks at what a step for one does to the
    others, and writes a page in plain words. What was seen is kept: after an
    interrupt, the same command goes on.
    """
    import_quietly()
    from keras_mtl import analysis
    from keras_mtl.analysis.advice_page import PAGE, RECORD, TABLE
    from keras_mtl.cli.origin import origin
    from keras_mtl.cli.progress import Bars
    from keras_mtl.recipe import load_recipe

    recipe = load_recipe(file)
    with Bars("trainings") as bars:

        def on_progress(label: str, done: int, total: int) -> None:
            prefix = "" if bars.on_terminal else f"[{done + 1}/{total}] "
            bars.update("trainings", done, total, prefix + label)

        advice, _, run = analysis.advise(
            recipe,
            source=data,
            data_dir=None if data_dir is None else str(data_dir),
            seeds=seeds,
            epochs=epochs,
            networks=networks,
            pairs=pairs,
            out=out,
            origin=origin(file),
            on_progress=on_progress,
        )
    console = new_console()
    console.print(advice.headline, style="bold")
    for sentence in advice.because:
        console.print(f"  {sentence}")
    balancer = advice.balancer
    console.print(f"Balancer: {balancer.balancer or 'none, equal weights'}")
    console.print(f"  {balancer.why}")
    if balancer.weights is not None:
        console.print(f"  Fixed({balancer.weights})")
    for remark in advice.remarks:
        console.print(f"Worth a look: {remark}")
    console.print(f"How sure? {advice.sureness}", style="dim")
    console.print()
    for name, file_name in (
        ("page", PAGE),
        ("numbers", RECORD),
        ("effects", TABLE),
    ):
        console.print(f"{name:9}{run / file_name}", soft_wrap=True)
    console.print(f"\nNext:\n  keras-mtl compare {file}", soft_wrap=True)
