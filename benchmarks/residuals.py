"""How exactly the methods solve their problems, by kind of Gram matrix.

    python benchmarks/residuals.py [--matrices 40] [--markdown]

Every method whose weights solve a problem is run on random Gram matrices of
each kind, with 1 to 64 tasks, in float32 and float64. Printed is the worst
residual of its optimality conditions (see tests/linalg/optimality.py),
relative to ‖G‖, worked out in float64 for the matrix as the method saw it.
"""

import argparse
import collections
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.linalg.matrices import ALL_KINDS, SIZES
from tests.linalg.optimality import problems
from tests.linalg.residuals import residuals

BARS = {"float32": 1e-5, "float64": 1e-10}


def worst(problem, dtype, sizes, matrices):
    """The worst residual by kind."""
    found = collections.defaultdict(float)
    for size in sizes:
        for kind, value in residuals(problem, dtype, size, matrices):
            found[kind] = max(found[kind], value)
    return found


def rows_of_table(dtype, args):
    """One row a problem: its label and the worst residual by kind."""
    for problem in problems(dtype):
        if args.only and problem.name not in args.only:
            continue
        found = worst(problem, dtype, args.sizes, args.matrices)
        numbers = [found[kind] for kind in ALL_KINDS]
        yield problem.label, numbers


def mark(value, bar):
    """A number, starred where it misses the bar."""
    return f"{value:.0e}" + ("" if value <= bar else " *")


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--matrices", type=int, default=40, help="for each kind and size"
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()

    console = Console(width=160)
    missed = False
    for dtype, bar in BARS.items():
        title = (
            f"{dtype}, bar {bar:.0e}, "
            f"{args.matrices * len(args.sizes)} matrices a kind"
        )
        header = ["method", *ALL_KINDS, "worst"]
        lines = []
        for label, numbers in rows_of_table(dtype, args):
            cells = [mark(value, bar) for value in (*numbers, max(numbers))]
            lines.append([label, *cells])
            missed = missed or not np.max(numbers) <= bar
        if args.markdown:
            print(f"\n{title}\n")
            print("| " + " | ".join(header) + " |")
            print("|---" * len(header) + "|")
            for line in lines:
                print("| " + " | ".join(line) + " |")
        else:
            table = Table(title=title)
            for column in header:
                table.add_column(column, justify="right")
            for line in lines:
                table.add_row(*line)
            console.print(table)
    sys.exit(missed)


if __name__ == "__main__":
    main()
