"""Text protobufs for a TF Serving of several models."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from keras_mtl import _files
from keras_mtl.serving.labels import (
    check_label,
    labels_file,
    read_labels,
    write_label,
)
from keras_mtl.serving.versions import version_directory, versions

MODELS = "models.config"
BATCHING = "batching.config"

_BATCHING = """\
# How TF Serving puts requests together. A batch is run when it is full or
# its first request has waited for the timeout. Threads: as many as cores.
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
"""


def write_configs(saved_models: str | os.PathLike[str]) -> Path:
    """Writes `models.config` and `batching.config` beside models.

    `models.config` names every model that has a version, and is written anew
    each time. Of a model with labels (see `label_version`) it lists the
    versions that have one, and the newest. `batching.config` is written once:
    change it as you like.

    Args:
        saved_models: The directory that holds the models' directories.

    Returns:
        The path of `models.config`.

    Raises:
        ValueError: There is no model, two would be served under one name, or
            a label is of a version that is not there.
        OSError: `saved_models` cannot be written to.

    Example:
    >>> write_configs("saved_models").name  # doctest: +SKIP
    'models.config'
    """
    folder = Path(saved_models).expanduser()
    names = [p.name for p in sorted(folder.glob("*/")) if _servable(p)]
    if not names:
        raise ValueError(
            "`saved_models` must hold directories of models with versions. "
            f"Received: {str(folder)!r}; "
            "`keras_mtl.export(model, path)` writes one."
        )
    served: dict[str, str] = {}
    for name in names:
        if (other := served.setdefault(served_name(name), name)) != name:
            raise ValueError(
                "Models must be served under different names. Received: "
                f"{other!r} and {name!r}, which are both "
                f"{served_name(name)!r} in an address; rename one of the "
                "directories."
            )
    labels = read_labels(folder)
    models = [_model(folder / name, labels.get(name, {})) for name in names]
    _files.write_text(
        folder / MODELS,
        "# Written by keras_mtl at every export.\n"
        "model_config_list {\n" + "".join(models) + "}\n",
    )
    if not (folder / BATCHING).exists():
        _files.write_text(folder / BATCHING, _BATCHING)
    return folder / MODELS


def label_version(path: str | os.PathLike[str], label: str) -> Path:
    """Gives a version a name that requests can have in place of its number.

    The label is taken from the version that had it: `stable` moves on, and
    back, and no client changes. Labels stand in `labels.json` beside the
    models; a line that is taken out there is a label less.

    Args:
        path: A version's directory, or a model's, of which the newest version
            is taken.
        label: `stable`, `canary`, or any other name.

    Returns:
        The path of `models.config`, written anew by `write_configs`.

    Raises:
        ValueError: There is no such version, or the label could not be a part
            of an address.
        OSError: The directory of the models cannot be written to.

    Example:
    >>> label_version("saved_models/digits/3", "stable")  # doctest: +SKIP
    """
    check_label(label)
    folder = version_directory(Path(path).expanduser()).resolve()
    if folder not in versions(folder.parent).values():
        raise ValueError(
            "`path` must be a version, a directory with a number for a name. "
            f"Received: {str(folder)!r}"
        )
    write_label(folder, label)
    return write_configs(folder.parent.parent)


def served_name(name: str) -> str:
    """The name of a model's directory as a part of an address."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _servable(folder: Path) -> list[int]:
    """The versions that TF Serving can load, oldest first."""
    return [
        number
        for number, version in versions(folder).items()
        if (version / "saved_model.pb").is_file()
    ]


def _model(folder: Path, labels: Mapping[str, int]) -> str:
    # Quoted as in JSON, which text protobufs read too.
    path = json.dumps(f"/models/{folder.name}", ensure_ascii=False)
    return (
        "  config {\n"
        f'    name: "{served_name(folder.name)}"\n'
        f"    base_path: {path}\n"
        '    model_platform: "tensorflow"\n'
        f"{_labelled(folder, labels)}"
        "  }\n"
    )


def _labelled(folder: Path, labels: Mapping[str, int]) -> str:
    if not labels:
        return ""
    there = _servable(folder)
    for label, number in labels.items():
        if number not in there:
            raise ValueError(
                f"Label {label!r} of model {folder.name!r} must be of a "
                f"version that is there, of {there}. Received: {number}; "
                "label another one, or take it out of "
                f"{str(labels_file(folder.parent))!r}."
            )
    # By itself TF Serving loads the newest alone.
    served = sorted({*labels.values(), there[-1]})
    numbers = " ".join(f"versions: {number}" for number in served)
    lines = [
        f"model_version_policy {{ specific {{ {numbers} }} }}",
        *(
            f'version_labels {{ key: "{label}" value: {number} }}'
            for label, number in sorted(labels.items())
        ),
    ]
    return "".join(f"    {line}\n" for line in lines)
