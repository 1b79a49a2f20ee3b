"""One process of a parallel search; `Supervisor` starts it.

python -m keras_mtl.tuner chief RUN [NAME ...]
python -m keras_mtl.tuner worker RUN NAME RECIPE
"""

import os
import sys
import threading

from keras_mtl.tuner.join import join, lead
from keras_mtl.tuner.supervisor import HOPELESS


def main(role: str, run: str, *names: str) -> None:
    """Does what the command line says."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    try:
        if role == "chief":
            lead(run, names or None, _give_up)
        else:
            # A chief that is started anew has imports to do first.
            join(run, names[0], names[1], patience=300.0)
    except (ValueError, OSError) as error:
        _give_up(error)


def _give_up(error: Exception) -> None:
    print(f"Error: {' '.join(str(error).split())}", flush=True)
    # From whichever thread: a chief answers workers in others.
    os._exit(HOPELESS)


def _end_with_supervisor() -> None:
    # Standard input is a pipe that nobody writes to.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
