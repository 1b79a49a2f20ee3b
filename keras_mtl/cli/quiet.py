"""Imports TensorFlow without its notes on start-up."""

import os
import re
import sys
import tempfile

# What TensorFlow's C++ logs before it reads TF_CPP_MIN_LOG_LEVEL.
_NOTE = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl")


def import_quietly() -> None:
    """Imports Keras and its backend; only errors get to standard error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        try:
            # The notes come from C++, past `sys.stderr`.
            os.dup2(captured.fileno(), 2)
            import keras  # noqa: F401
            import keras_tuner  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            captured.seek(0)
            for line in captured:
                if not _NOTE.match(line):
                    sys.stderr.write(line.decode(errors="replace"))
