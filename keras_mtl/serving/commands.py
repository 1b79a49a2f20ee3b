"""What to type next, once a model is exported."""

import os
import shlex
from pathlib import Path

from keras_mtl.serving.configs import BATCHING, MODELS, served_name
from keras_mtl.serving.export import EXTRA, REQUEST
from keras_mtl.serving.labels import labels_file
from keras_mtl.serving.versions import version_directory

# Longer ones are sent from the file beside the model.
_LONGEST_REQUEST = 200


def next_commands(version_dir: str | os.PathLike[str]) -> dict[str, str]:
    """The commands that serve an exported model and ask it something.

    Args:
        version_dir: What `export` returned, or the model's directory.

    Returns:
        `"serve"`: a `docker run` of TF Serving that watches the model's
        directory, so that it takes up later versions by itself; `"ask"`: a
        `curl` with a request of the right shape; and, where `write_configs`
        has written them, `"serve_all"`: all models with batching.

    Raises:
        ValueError: There is no model that `export` has written.

    Example:
    >>> for command in next_commands(  # doctest: +SKIP
    ...     "saved_models/digits/1"
    ... ).values():
    ...     print(command)
    """
    folder = version_directory(Path(version_dir).expanduser()).resolve()
    model_dir = folder.parent
    name = served_name(model_dir.name)
    commands = {
        "serve": serve_command(model_dir),
        "ask": f"curl -d {shlex.quote(_data(folder))} "
        f"http://localhost:8501/v1/models/{name}:predict",
    }
    if (model_dir.parent / MODELS).is_file():
        commands["serve_all"] = _serve_all(model_dir.parent)
    return commands


def serve_command(model_dir: Path) -> str:
    """The `docker run` of TF Serving for a model's directory."""
    name = served_name(model_dir.name)
    mount = f"type=bind,source={model_dir.resolve()},target=/models/{name}"
    return (
        f"docker run -p 8501:8501 --mount {shlex.quote(mount)} "
        f"-e MODEL_NAME={name} -t tensorflow/serving"
    )


def _serve_all(saved_models: Path) -> str:
    mount = f"type=bind,source={saved_models},target=/models"
    # Else it takes no label before the version is loaded, and no other
    # version than those of the file that it has read at the start.
    follow_labels = (
        " --allow_version_labels_for_unavailable_models"
        " --model_config_file_poll_wait_seconds=60"
    )
    labelled = labels_file(saved_models).is_file()
    return (
        "docker run -p 8500:8500 -p 8501:8501 "
        f"--mount {shlex.quote(mount)} -t tensorflow/serving "
        f"--model_config_file=/models/{MODELS} --enable_batching "
        f"--batching_parameters_file=/models/{BATCHING}"
        f"{follow_labels if labelled else ''}"
    )


def _data(folder: Path) -> str:
    file = folder / EXTRA / REQUEST
    if not file.is_file():
        raise ValueError(
            "`version_dir` must be a directory that "
            "`keras_mtl.serving.export` has written, with "
            f"{EXTRA}/{REQUEST}. Received: {str(folder)!r}; export the model "
            "again."
        )
    request = file.read_text(encoding="utf-8").strip()
    return request if len(request) <= _LONGEST_REQUEST else f"@{file}"
