"""Makes a page of the reference for each package with public names.

A hook of mkdocs. Names come from `__all__`, read without importing anything.
"""

import ast
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "keras_mtl"
ROOMS = (
    *("tasks", "builders", "layers", "heads", "balancers", "schedules"),
    *("data", "metrics", "callbacks", "training", "analysis", "tuner"),
    *("serving", "linalg"),
)


def public_names(room: str) -> list[str]:
    """`__all__` of a package, in its order."""
    path = PACKAGE / room / "__init__.py"
    for node in ast.parse(path.read_text("utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and getattr(node.targets[0], "id", "") == "__all__"
        ):
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise ValueError(f"{path} has no __all__")


def pages() -> dict[str, str]:
    """Markdown of each page by its path in the docs."""
    found = {}
    for room in ROOMS:
        if not (PACKAGE / room / "__init__.py").exists():
            continue
        module = f"keras_mtl.{room}"
        blocks = [f"# {module}\n"]
        for name in public_names(room):
            if (PACKAGE / room / f"{name}.py").exists() and name in (
                "rates",
                "registry",
            ):
                continue  # a module, or a table of names
            blocks.append(f"::: {module}.{name}\n")
        found[f"reference/{room}.md"] = "\n".join(blocks)
    found["reference/recipe.md"] = (
        "# keras_mtl.recipe\n\n"
        "::: keras_mtl.recipe.Recipe\n\n"
        "::: keras_mtl.recipe.Score\n\n"
        "::: keras_mtl.recipe.Splits\n"
    )
    return found


def on_config(config: Any) -> Any:
    """Puts the pages into the menu."""
    for part in config.nav:
        if "Reference" in part:
            part["Reference"] = list(pages())
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
