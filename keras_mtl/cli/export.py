"""`keras-mtl export`: a trained model as TF Serving wants it."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from keras_mtl._files import read_json
from keras_mtl.cli import options
from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_FILE", help="A run's directory or a .keras file."
        ),
    ],
    out: options.SavedModels = Path("saved_models"),
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The recipe of the run, which may have layers of its own "
            "and say what to deploy. It is run; what a run names is not.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(help="saved_model, litert, onnx or openvino."),
    ] = "saved_model",
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TASK,TASK",
            help="A signature that computes these tasks alone; may be "
            "repeated.",
        ),
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples", help="Add a signature that takes tf.Example."
        ),
    ] = False,
    float16: Annotated[
        bool,
        typer.Option("--float16", help="Store weights in half the bytes."),
    ] = False,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name that requests can have in place of the version's "
            "number, as stable; taken from the version that had it.",
        ),
    ] = None,
    warmup: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Real rows, by input name, in an .npz file: TF Serving "
            "warms up with them.",
        ),
    ] = None,
) -> None:
    """Export a trained model for TF Serving and check it."""
    file, config = _find(model)
    arguments = {
        "format": format,
        "groups": dict(map(_group, group or [])),
        "examples": examples,
        "float16": float16,
        "warmup": None if warmup is None else _rows(warmup),
    }
    import_quietly()
    from keras_mtl.recipe import NAME, load_recipe
    from keras_mtl.serving.labels import check_label

    if label is not None:
        check_label(label)
        if format != "saved_model":
            raise ValueError(
                "--label is for what TF Serving serves. Received: "
                f"--format {format}"
            )

    deploy = None
    if recipe is not None:
        deploy = load_recipe(recipe).deploy  # and registers its layers
    elif config.get("deploy", "file" in config):  # older runs do not tell
        raise ValueError(
            f"The recipe of {model} says what to deploy, and is not run "
            "unless it is named: add --recipe FILE."
        )
    name = config.get("recipe", file.stem)
    if "recipe" in config and not (
        isinstance(name, str) and re.fullmatch(NAME, name)
    ):
        raise ValueError(
            f"The config.json of {model} names a recipe that cannot name a "
            f"folder: {name!r}. Copy model.keras out of there and export that."
        )
    export_file(
        new_console(),
        file,
        # What serves other formats watches directories of its own.
        out / (name if format == "saved_model" else f"{name}-{format}"),
        deploy=deploy,
        arguments=arguments,
        label=label,
    )


def export_file(
    console: Console,
    file: Path,
    model_dir: Path,
    before: Sequence[str] = (),
    deploy: Callable[[Any], Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    label: str | None = None,
) -> None:
    """Exports a `.keras` file, checks it and prints what to type next.

    Args:
        console: Where to print.
        file: The `.keras` file.
        model_dir: The directory of the model's versions.
        before: Commands to print before those of serving.
        deploy: Makes the model to export, as in `Recipe`.
        arguments: Further ones of `keras_mtl.export`.
        label: What the version is to be called, beside its number.

    Raises:
        typer.Exit: With code 1, if the export or its check fails.
    """
    from keras_mtl import serving
    from keras_mtl.cli.tables import print_check
    from keras_mtl.training.loading import load_keras_file

    try:
        trained: Any = load_keras_file(file)
        version_dir = serving.export(
            deploy(trained) if deploy else trained,
            model_dir,
            # What `deploy` makes knows nothing of them.
            tasks=getattr(trained, "tasks", None),
            **(arguments or {}),
        )
        if not (version_dir / "saved_model.pb").exists():
            console.print(f"Export {version_dir}", soft_wrap=True)
            return
        report = serving.check(version_dir)
    except ValueError as error:
        new_console(stderr=True).print(
            f"The export failed: {error}", soft_wrap=True
        )
        raise typer.Exit(1) from None
    print_check(console, report)
    if not report.ok:
        raise typer.Exit(1)
    if label is None:
        serving.write_configs(model_dir.parent)
    else:
        serving.label_version(version_dir, label)
    commands = serving.next_commands(version_dir)
    console.print("\nNext:")
    for command in (*before, commands["serve"], commands["ask"]):
        console.print(f"  {command}", soft_wrap=True)
    console.print("All models, with batching:")
    console.print(f"  {commands['serve_all']}", soft_wrap=True)


def _find(path: Path) -> tuple[Path, dict[str, Any]]:
    """The `.keras` file and the config of its run, if it has one."""
    file = path / "model.keras" if path.is_dir() else path
    if file.suffix != ".keras" or not file.is_file():
        raise ValueError(
            "Expected a run's directory with a model.keras, or a .keras file. "
            f"Received: {path}"
        )
    try:
        config = read_json(file.parent / "config.json")
    except (OSError, ValueError):
        config = {}
    return file, config if isinstance(config, dict) else {}


def _group(text: str) -> tuple[str, list[str]]:
    name, equals, tasks = text.partition("=")
    if not (name and equals and tasks):
        raise ValueError(f"--group must be NAME=TASK,TASK. Received: {text!r}")
    return name, tasks.split(",")


def _rows(file: Path) -> dict[str, Any]:
    import zipfile

    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(
            "--warmup must be an .npz file, as numpy.savez writes it, with an "
            f"array for each input. Received: {str(file)!r} ({error})"
        ) from error
