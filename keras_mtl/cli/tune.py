"""`keras-mtl tune`: how to share, with which weights."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_mtl.cli import options
from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def tune(
    file: options.RecipeFile,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="How many to try. (default: 20)"),
    ] = None,
    oracle: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="bayesian, random, grid or hyperband. (default: bayesian)",
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="delta_m, or a task that counts; may be repeated. "
            "(default: delta_m)",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="TASK=WEIGHT,…",
            help="How much each task counts in the choice from the front, or "
            "'knee'. (default: the best mean)",
        ),
    ] = None,
    balancer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A balancer to try; may be repeated. (default: the recipe's)",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0, help="Processes on this machine; 0 lets others join."
        ),
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where workers may join from elsewhere."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of weights, data order and search. (default: 0)"
        ),
    ] = None,
    epochs: options.Epochs = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    out: options.Out = Path("runs"),
    saved_models: options.SavedModels = Path("saved_models"),
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with this search."),
    ] = None,
    join: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Work for this search, led from elsewhere."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the worker that joins. (default: host and PID)"),
    ] = None,
) -> None:
    """Search how to share and to balance.

    Trains single-task models, then trials that are judged by their gains over
    them on validation data. The best is trained once more, tested and
    exported for TF Serving.
    """
    fixed = {
        "--oracle": oracle,
        "--objective": objective,
        "--balancer": balancer,
        "--seed": seed,
        "--epochs": epochs,
        "--data": data,
        "--data-dir": data_dir,
    }
    _refuse("--resume", resume, fixed)
    _refuse("--join", join, {"--trials": trials, "--resume": resume, **fixed})
    preference = _preference(prefer)
    import_quietly()
    # Every trial is a new model, of which TensorFlow warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from keras_mtl import tuner
    from keras_mtl._files import check_place
    from keras_mtl.cli.export import export_file
    from keras_mtl.cli.origin import origin
    from keras_mtl.cli.progress import Bars
    from keras_mtl.cli.search_tables import print_search
    from keras_mtl.recipe import load_recipe
    from keras_mtl.tuner.board import BOARD
    from keras_mtl.tuner.finish import MODEL
    from keras_mtl.tuner.report import REPORT

    if join is not None:
        tuner.join(join, name, file)
        return
    recipe = load_recipe(file)
    model_dir = saved_models / recipe.name
    check_place(model_dir)
    with Bars("trainings", "epochs") as bars:

        def show(progress: tuner.Progress) -> None:
            at = f"[{progress.done + 1}/{progress.total}] "
            label = progress.label
            if label and not bars.on_terminal and progress.epochs:
                label = at + label
            share = progress.epochs and progress.epoch / progress.epochs
            bars.update(
                "trainings", progress.done + share, progress.total, label
            )
            if progress.epochs:
                bars.update("epochs", progress.epoch, progress.epochs)

        if resume is None:
            result = tuner.tune(
                recipe,
                source=data,
                data_dir=None if data_dir is None else str(data_dir),
                trials=20 if trials is None else trials,
                oracle=oracle or "bayesian",
                objective=objective or ["delta_m"],
                prefer=preference,
                balancers=balancer,
                workers=workers,
                address=address,
                seed=seed or 0,
                epochs=epochs,
                out=out,
                origin=origin(file),
                on_start=lambda run: new_console(stderr=True).print(
                    f"run {run}", soft_wrap=True
                ),
                on_progress=show,
            )
        else:
            result = tuner.resume(
                recipe,
                resume,
                trials=trials,
                prefer=preference,
                workers=workers,
                address=address,
                on_progress=show,
            )
    console = new_console()
    print_search(console, result)
    console.print()
    for what, path in (
        ("report", result.run / REPORT),
        ("trials", result.run / "trials.csv"),
        ("front", result.run / "front.csv"),
        ("picture", result.run / "front.png"),
        ("model", result.run / MODEL),
    ):
        console.print(f"{what:9}{path}", soft_wrap=True)
    export_file(
        console,
        result.run / MODEL,
        model_dir,
        before=[f"tensorboard --logdir {result.run / BOARD}"],
        deploy=recipe.deploy,
    )


def _refuse(option: str, value: Any, others: dict[str, Any]) -> None:
    given = [name for name, other in others.items() if other is not None]
    if value is not None and given:
        raise ValueError(
            f"{', '.join(given)} cannot be given with {option}: a search goes "
            "on as it was started."
        )


def _preference(text: str | None) -> dict[str, float] | str | None:
    """`left=2,right=1` as a dict."""
    if text is None or text == "knee":
        return text
    try:
        pairs = (pair.split("=") for pair in text.split(","))
        return {task.strip(): float(weight) for task, weight in pairs}
    except ValueError:
        raise ValueError(
            "`--prefer` must be like left=2,right=1, or knee. "
            f"Received: {text!r}"
        ) from None
