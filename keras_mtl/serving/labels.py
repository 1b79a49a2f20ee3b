"""Names of versions that clients can ask for: `stable`, `canary`."""

import json
import re
from pathlib import Path

from keras_mtl import _files

# A part of an address.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def labels_file(saved_models: Path) -> Path:
    """Where the labels of all models of a directory stand."""
    return saved_models / "labels.json"


def check_label(label: str) -> None:
    """Refuses what could not be a part of an address.

    Raises:
        ValueError: It could not.
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(
            "`label` must start with a letter or digit and consist of "
            "letters, digits, '_', '.' and '-', because requests have it in "
            f"their address. Received: {label!r}"
        )


def read_labels(saved_models: Path) -> dict[str, dict[str, int]]:
    """The versions by label, by the name of the model's directory.

    Args:
        saved_models: The directory that holds the models' directories.

    Raises:
        ValueError: The file is damaged.
    """
    file = labels_file(saved_models)
    if not file.is_file():
        return {}
    try:
        found = _files.read_json(file)
        for labels in found.values():
            for label, number in labels.items():
                check_label(label)
                if type(number) is not int or number < 1:
                    raise ValueError(f"{label!r} is of version {number!r}")
    except (AttributeError, ValueError) as error:
        raise ValueError(
            'Labels must be like {"model": {"stable": 1}}. Received: '
            f"{str(file)!r} ({error}); correct or remove it."
        ) from error
    return dict(found)


def write_label(version_dir: Path, label: str) -> None:
    """Gives a label to a version, and takes it from the one that had it.

    Args:
        version_dir: The version's directory.
        label: The label.

    Raises:
        ValueError: The file of labels is damaged.
        OSError: It cannot be written.
    """
    model_dir = version_dir.parent
    labels = read_labels(model_dir.parent)
    labels.setdefault(model_dir.name, {})[label] = int(version_dir.name)
    _files.write_text(
        labels_file(model_dir.parent), json.dumps(labels, indent=2) + "\n"
    )
