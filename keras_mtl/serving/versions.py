"""The integer directories that TF Serving watches under a model's name."""

from pathlib import Path


def versions(model_dir: Path) -> dict[int, Path]:
    """The versions under a model directory, oldest first."""
    if not model_dir.is_dir():
        return {}
    found = {
        int(entry.name): entry
        for entry in model_dir.iterdir()
        if entry.name.isascii() and entry.name.isdigit()
    }
    return dict(sorted(found.items()))


def version_directory(path: Path) -> Path:
    """`path` itself if it holds a SavedModel, else its newest version.

    Raises:
        ValueError: There is neither.
    """
    if (path / "saved_model.pb").is_file():
        return path
    if path.is_dir() and (found := versions(path)):
        return found[max(found)]
    if path.is_dir():
        problem = "this directory holds no saved_model.pb and no version"
    elif path.exists():
        problem = "this is not a directory"
    else:
        problem = "there is no such directory"
    raise ValueError(
        "`path` must be a SavedModel or a model directory with versions "
        f"(<model>/1, <model>/2, …). Received: {str(path)!r}; {problem}. "
        "`keras_mtl.serving.export(model, path)` writes one."
    )
