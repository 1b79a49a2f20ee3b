"""Where commands print."""

from rich.console import Console


def new_console(stderr: bool = False) -> Console:
    """A console that shows text as it is: names may hold brackets."""
    return Console(stderr=stderr, markup=False, highlight=False)
