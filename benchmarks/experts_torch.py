"""MMoE in PyTorch as its users write it, for `experts.py`.

A module for each expert, their outputs stacked, and a sum with the weights of
each task's gate. Answers the requests of `worker.Worker`; runs without
TensorFlow.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class MMoE(nn.Module):
    """Experts, a gate and a tower per task."""

    def __init__(
        self,
        inputs: int,
        num_experts: int,
        widths: list[int],
        tower: int,
        num_tasks: int,
    ) -> None:
        super().__init__()

        def expert() -> Any:
            modules, channels = [], inputs
            for width in widths:
                modules += [nn.Linear(channels, width), nn.ReLU()]
                channels = width
            return nn.Sequential(*modules)

        self.experts = nn.ModuleList(expert() for _ in range(num_experts))
        self.gates = nn.ModuleList(
            nn.Linear(inputs, num_experts, bias=False) for _ in range(num_tasks)
        )
        self.towers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(widths[-1], tower), nn.ReLU(), nn.Linear(tower, 1)
            )
            for _ in range(num_tasks)
        )

    def forward(self, x: Any) -> list[Any]:
        """The outputs of the tasks."""
        stack = torch.stack([expert(x) for expert in self.experts], dim=1)
        outputs = []
        for gate, tower in zip(self.gates, self.towers, strict=True):
            weights = torch.softmax(gate(x), dim=-1).unsqueeze(-1)
            outputs.append(tower((weights * stack).sum(1)))
        return outputs


def runner(shape: list[Any], variant: str, steps: int) -> Callable[[], float]:
    """Rounds of `train:T` or `infer:T`."""
    inputs, num_experts, widths, tower, batch = shape
    what, number = variant.split(":")
    torch.manual_seed(0)
    model = MMoE(inputs, num_experts, widths, tower, int(number))
    x = torch.randn(batch, inputs)
    y = torch.randn(batch, 1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def train() -> None:
        optimizer.zero_grad()
        loss = sum(nn.functional.mse_loss(out, y) for out in model(x))
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            model(x)

    call = train if what == "train" else infer

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            call()
        return (time.perf_counter() - start) / steps

    return run


def serve(shape: list[Any], steps: int) -> None:
    """Answers requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    runners: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        variant = json.loads(line)["run"]
        if variant not in runners:
            runners[variant] = runner(shape, variant, steps)
        print(
            json.dumps({"seconds": runners[variant]()}),
            file=answers,
            flush=True,
        )


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), int(sys.argv[2]))
