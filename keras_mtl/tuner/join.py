"""The processes of a parallel search: a chief, and workers that join it."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

from keras_mtl import _files
from keras_mtl.analysis.training import load_splits
from keras_mtl.recipe import load_recipe
from keras_mtl.tuner.plan import read_plan
from keras_mtl.tuner.search import run_trials
from keras_mtl.tuner.supervisor import (
    ADDRESS,
    WORKERS,
    environment,
    split_address,
    wait_for_chief,
)
from keras_mtl.tuner.trial_tuner import TrialTuner

# A chief that was killed is back sooner.
_PATIENCE = 60.0


def join(
    run: str | Path,
    name: str | None = None,
    file: str | Path | None = None,
    patience: float = _PATIENCE,
) -> None:
    """Runs trials of a search that another process, or machine, leads.

    Args:
        run: The directory of the search, which both must see.
        name: Of this worker. One that was ended goes on with its trial if it
            comes again under its name. By default the machine's name and the
            number of the process.
        file: The recipe, where it does not lie at the chief's path.
        patience: Seconds to wait for the chief.

    Raises:
        ValueError: Not such a run, a name that is taken by the chief, or no
            chief answers.
        OSError: A file cannot be read or written.
    """
    plan = read_plan(run)
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    if "chief" in name or not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            "`name` of a worker must be of letters, digits, '_', '.' and '-', "
            "begin with one of the first three, and not hold 'chief', by "
            f"which KerasTuner knows the other one. Received: {name!r}"
        )
    try:
        host, port = split_address(
            (plan.run / ADDRESS).read_text(encoding="utf-8").strip()
        )
    except OSError as error:
        raise ValueError(
            f"The search {str(run)!r} has no chief to join. Start it with "
            "`keras-mtl tune … --workers 0 --address HOST:PORT`."
        ) from error
    recipe = load_recipe(file or plan.settings["recipe_file"])
    recipe = recipe.for_source(recipe.source(plan.settings["source"]))
    splits = load_splits(
        recipe, plan.settings["source"], plan.settings["data_dir"]
    )
    mine = environment(name, host, port)
    os.environ.update(mine)
    wait_for_chief(mine["KERASTUNER_ORACLE_IP"], port, patience)
    _files.write_text(plan.run / WORKERS / name, f"{os.getpid()}\n")
    run_trials(plan, recipe, splits)


def lead(
    run: str | Path,
    workers: tuple[str, ...] | None,
    on_full_disk: Callable[[OSError], None],
) -> None:
    """Hands out trials until there are no more: the chief.

    Args:
        run: The directory of the search.
        workers: Who will come again, after a restart; None if anyone may.
        on_full_disk: Called where a file cannot be written.

    Raises:
        ValueError: Not such a run, or a damaged file of it.
    """
    tuner = TrialTuner(read_plan(run), workers=workers)
    tuner.oracle.on_full_disk = on_full_disk
    tuner.search(verbose=0)
