"""`keras-mtl compare`: does sharing help?"""

from pathlib import Path
from typing import Annotated

import typer

from keras_mtl.cli import options
from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def compare(
    file: options.RecipeFile,
    seeds: Annotated[
        int, typer.Option(min=1, help="How often everything is trained.")
    ] = 3,
    epochs: options.Epochs = None,
    balancer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A balancer to compare; may be repeated. "
            "(default: the recipe's)",
        ),
    ] = None,
    sharing: options.Sharings = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", help="Try each balancer in each way of sharing."
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Train anew what earlier comparisons have trained."
        ),
    ] = False,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    out: options.Out = Path("runs"),
    saved_models: options.SavedModels = Path("saved_models"),
) -> None:
    """Compare one model for all tasks with a model for each.

    Trains every task alone and all tasks together, in each way of sharing
    with equal weights and in the first with each balancer, on the same budget
    and several seeds. Writes a report and exports the best shared model for
    TF Serving. Finished trainings are kept: after an interrupt, the same
    command goes on.
    """
    import_quietly()
    from keras_mtl import analysis
    from keras_mtl._files import check_place
    from keras_mtl.analysis.cells import MODEL
    from keras_mtl.cli.export import export_file
    from keras_mtl.cli.origin import origin
    from keras_mtl.cli.progress import Bars, show
    from keras_mtl.cli.tables import print_comparison
    from keras_mtl.recipe import load_recipe

    recipe = load_recipe(file)
    model_dir = saved_models / recipe.name
    check_place(model_dir)
    with Bars("trainings", "epochs") as bars:
        comparison, run = analysis.compare(
            recipe,
            source=data,
            data_dir=None if data_dir is None else str(data_dir),
            seeds=seeds,
            epochs=epochs,
            balancers=balancer,
            sharings=sharing,
            grid=grid,
            fresh=fresh,
            out=out,
            origin=origin(file),
            on_progress=lambda progress: show(bars, progress),
        )
    console = new_console()
    print_comparison(console, comparison)
    console.print()
    for name, path in (
        ("report", run / "report.html"),
        ("picture", run / "report.png"),
        ("model", run / MODEL),
    ):
        console.print(f"{name:9}{path}", soft_wrap=True)
    export_file(
        console,
        run / MODEL,
        model_dir,
        before=[f"tensorboard --logdir {run / 'tensorboard'}"],
        deploy=recipe.deploy,
    )
