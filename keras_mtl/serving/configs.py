"""Text protobufs for a TF Serving of several models."""

import json
import os
import re
from pathlib import Path

from keras_mtl import _files
from keras_mtl.serving.versions import versions

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
    each time. `batching.config` is written once: change it as you like.

    Args:
        saved_models: The directory that holds the models' directories.

    Returns:
        The path of `models.config`.

    Raises:
        ValueError: There is no model.
        OSError: `saved_models` cannot be written to.

    Example:
    >>> write_configs("saved_models").name  # doctest: +SKIP
    'models.config'
    """
    folder = Path(saved_models).expanduser()
    names = [p.name for p in sorted(folder.glob("*/")) if _is_model(p)]
    if not names:
        raise ValueError(
            "`saved_models` must hold directories of models with versions. "
            f"Received: {str(folder)!r}; "
            "`keras_mtl.export(model, path)` writes one."
        )
    _files.write_text(
        folder / MODELS,
        "# Written by keras_mtl at every export.\n"
        "model_config_list {\n" + "".join(map(_model, names)) + "}\n",
    )
    if not (folder / BATCHING).exists():
        _files.write_text(folder / BATCHING, _BATCHING)
    return folder / MODELS


def served_name(name: str) -> str:
    """The name of a model's directory as a part of an address."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _is_model(folder: Path) -> bool:
    return any(
        (version / "saved_model.pb").is_file()
        for version in versions(folder).values()
    )


def _model(name: str) -> str:
    # Quoted as in JSON, which text protobufs read too.
    path = json.dumps(f"/models/{name}", ensure_ascii=False)
    return (
        "  config {\n"
        f'    name: "{served_name(name)}"\n'
        f"    base_path: {path}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
    )
