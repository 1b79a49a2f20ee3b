"""What a run records about the command that started it."""

import hashlib
import shlex
import sys
from pathlib import Path


def origin(file: Path) -> dict[str, str]:
    """Command line, recipe file and the hash of its content."""
    program = Path(sys.argv[0]).name
    return {
        "command": shlex.join([program, *sys.argv[1:]]),
        "file": str(file),
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
