"""`keras-mtl balancers`: the methods that there are."""

import re

from rich import box
from rich.table import Table

from keras_mtl.cli.output import new_console
from keras_mtl.cli.quiet import import_quietly


def balancers() -> None:
    """List the balancers."""
    import_quietly()
    from keras_mtl.balancers import registry

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("works on")
    table.add_column("what it does")
    table.add_column("paper", overflow="fold")
    for name in registry:
        method = registry[name]
        text = method.__doc__ or ""
        table.add_row(name, _contract(method), _first_line(text), _paper(text))
    new_console().print(table)


def _contract(method: object) -> str:
    from keras_mtl.balancers import (
        CoordinateBalancer,
        GradientBalancer,
        LossBalancer,
    )

    for base, contract in (
        (LossBalancer, "loss"),
        (GradientBalancer, "gradient"),
        (CoordinateBalancer, "coordinate"),
    ):
        if isinstance(method, type) and issubclass(method, base):
            return contract
    return ""


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def _paper(text: str) -> str:
    """The arXiv number in the reference, or else title and year."""
    reference = " ".join(text.partition("Reference:")[2].split())
    if number := re.search(r"arXiv:[\d.]*\d", reference):
        return number[0]
    title = re.search(r'"([^"]+)"', reference)
    year = re.search(r"\b(19|20)\d\d\b", reference)
    return ", ".join(
        found.group().strip('"') for found in (title, year) if found
    )
