"""A process that holds variants of one framework and runs them when told.

TensorFlow and PyTorch in one process fight over threads. Workers are kept
alive and run one at a time, so that rounds of both can be interleaved.

Requests are JSON lines, `{"run": variant}`, `{"memory": variant}` or
`{"release": variant}`; each is answered by one, or by `{"skipped": reason}`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import resident
import workloads


class Skipped(Exception):
    """A variant cannot be run; the message says why."""


class Worker:
    """The caller's end of a worker.

    Args:
        framework: "keras" or "torch".
        workload: Key of `WORKLOADS`.
        steps: Steps of one round.
        python: The interpreter of an environment that has the framework.
        jit: Whether Keras compiles by XLA.
        environment: Variables to add to the environment.
    """

    def __init__(
        self,
        framework: str,
        workload: str,
        steps: int,
        python: str = sys.executable,
        jit: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [
                *(python, str(Path(__file__).resolve()), framework),
                *(workload, str(steps), str(int(jit))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker ended on {request}.")
        answer = json.loads(line)
        if "skipped" in answer:
            raise Skipped(answer["skipped"])
        return answer

    def run(self, variant: str) -> float:
        """Seconds of a step, over one round; builds the variant if it is new.

        Raises:
            Skipped: The variant cannot be run.
        """
        return float(self._ask({"run": variant})["seconds"])

    def memory(self, variant: str) -> dict[str, int]:
        """Bytes: `peak` of the process so far, `round` of one more round."""
        return self._ask({"memory": variant})

    def release(self, variant: str) -> None:
        """Forgets a variant."""
        self._ask({"release": variant})


def serve(framework: str, workload: str, steps: int, jit: bool) -> None:
    """Answers requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    if framework == "keras":
        from keras_variants import runner
    else:
        from torch_variants import runner
    options = {"jit": True} if jit else {}
    runners: dict[str, Any] = {}

    def answer(request: dict[str, str]) -> dict[str, Any]:
        ((verb, variant),) = request.items()
        if verb == "release":
            runners.pop(variant, None)
            return {}
        if variant not in runners:
            made = workloads.WORKLOADS[workload]
            runners[variant] = runner(made, variant, steps, **options)
        if verb == "run":
            return {"seconds": runners[variant]()}
        peak = resident.peak()
        return {"peak": peak, "round": resident.growth(runners[variant])}

    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except ValueError as error:
            found = {"skipped": str(error)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")
