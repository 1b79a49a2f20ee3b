"""PyTorch modules of the workloads, trained plainly and by TorchJD.

A variant is `plain`, or `method:engine` with one of TorchJD's aggregators and
one of its engines:

    sequential   `mtl_backward(parallel_chunk_size=1)`: task by task
    parallel     `mtl_backward()`: all tasks by `vmap`, its default
    autogram     Gram matrix without Jacobian, then one weighted pass, which
                 scales the gradients of the heads, too
"""

import time
from collections.abc import Callable

import torch
from torch import nn
from torchjd import aggregation
from torchjd.autogram import Engine
from torchjd.autojac import jac_to_grad, mtl_backward
from workloads import HEAD_WIDTH, Workload

ENGINES = ("sequential", "parallel", "autogram")
WARM_STEPS = 2


def trunk(workload: Workload) -> nn.Sequential:
    """The shared part."""
    if workload.network == "mlp":
        sizes = (*workload.input_shape, *workload.widths)
        parts: list[nn.Module] = []
        for fan_in, width in zip(sizes, workload.widths, strict=False):
            parts += [nn.Linear(fan_in, width), nn.ReLU()]
        return nn.Sequential(*parts)
    channels = (workload.input_shape[-1], *workload.widths)
    parts = []
    for fan_in, width in zip(channels, workload.widths, strict=False):
        parts += [nn.Conv2d(fan_in, width, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head(workload: Workload) -> nn.Sequential:
    """One task's part."""
    return nn.Sequential(
        nn.Linear(workload.widths[-1], HEAD_WIDTH),
        nn.ReLU(),
        nn.Linear(HEAD_WIDTH, 1),
    )


def aggregator(method: str, tasks: int) -> aggregation.Aggregator:
    """TorchJD's object of that name, with the paper's parameters."""
    arguments = {"CAGrad": {"c": 0.4}, "NashMTL": {"n_tasks": tasks}}
    return getattr(aggregation, method)(**arguments.get(method, {}))


def runner(workload: Workload, variant: str, steps: int) -> Callable[[], float]:
    """A function that trains some steps and returns the seconds of one.

    Raises:
        ValueError: The engine cannot run the method.
    """
    torch.manual_seed(0)
    shared = trunk(workload)
    heads = nn.ModuleList(head(workload) for _ in range(workload.tasks))
    parameters = [*shared.parameters(), *heads.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)
    backward = _backward(variant, shared, workload.tasks)

    x, y = workload.data(steps + WARM_STEPS)
    inputs = torch.from_numpy(x)
    if inputs.ndim == 4:
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
    batches = inputs.split(workload.batch)
    labels = list(
        zip(
            *(torch.from_numpy(v).split(workload.batch) for v in y.values()),
            strict=True,
        )
    )

    def step(x: torch.Tensor, y: tuple[torch.Tensor, ...]) -> None:
        features = shared(x)
        losses = [
            nn.functional.mse_loss(head(features), label)
            for head, label in zip(heads, y, strict=True)
        ]
        optimizer.zero_grad()
        backward(losses, features)
        optimizer.step()

    def run() -> float:
        for i, (x, y) in enumerate(zip(batches, labels, strict=True)):
            if i == WARM_STEPS:
                start = time.perf_counter()
            step(x, y)
        return (time.perf_counter() - start) / steps

    return run


def _backward(
    variant: str, shared: nn.Module, tasks: int
) -> Callable[[list[torch.Tensor], torch.Tensor], object]:
    if variant == "plain":
        return lambda losses, features: torch.stack(losses).sum().backward()
    method, engine = variant.split(":")
    if engine == "autogram":
        weighting = getattr(aggregation, f"{method}Weighting", None)
        if weighting is None:
            raise ValueError(f"TorchJD's {method} does not work by Gramian.")
        arguments = {"c": 0.4} if method == "CAGrad" else {}
        return _autogram(Engine(shared, batch_dim=None), weighting(**arguments))
    combine = aggregator(method, tasks)
    chunk = 1 if engine == "sequential" else None
    own = list(shared.parameters())

    def backward(losses: list[torch.Tensor], features: torch.Tensor) -> None:
        mtl_backward(losses, features=features, parallel_chunk_size=chunk)
        jac_to_grad(own, combine)

    return backward


def _autogram(
    engine: Engine, weighting: aggregation.Weighting
) -> Callable[[list[torch.Tensor], torch.Tensor], object]:
    def backward(losses: list[torch.Tensor], features: torch.Tensor) -> None:
        stacked = torch.stack(losses)
        stacked.backward(weighting(engine.compute_gramian(stacked)))

    return backward
