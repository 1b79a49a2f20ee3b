"""What is measured: two networks, each for several numbers of tasks.

Every task is a regression with one output behind a hidden layer of its own;
all heads read the same shared features.

    W1  MLP: 64 → 3×512 shared → T × (64 → 1), batch 256, T = 2, 8, 32
    W2  CNN: 32×32×3 → 32-64-128 with stride 2, pooled to 128 shared
             → T × (64 → 1), batch 128, T = 2, 8
    W3  W1 with 12×512 shared, T = 8: for memory, of which no layer has much
"""

from dataclasses import dataclass

import numpy as np

HEAD_WIDTH = 64


@dataclass(frozen=True)
class Workload:
    """One network for one number of tasks.

    Attributes:
        network: "mlp" or "cnn".
        tasks: T.
        batch: Examples a step.
        input_shape: Of one example.
        widths: Units, or filters, of the shared layers.
    """

    network: str
    tasks: int
    batch: int
    input_shape: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def task_names(self) -> list[str]:
        """Keys of outputs and labels."""
        return [f"task{t}" for t in range(self.tasks)]

    @property
    def shared_parameters(self) -> int:
        """How many parameters all tasks share."""
        taps = 9 if self.network == "cnn" else 1
        inputs = (self.input_shape[-1], *self.widths)
        return sum(
            (taps * fan_in + 1) * width
            for fan_in, width in zip(inputs, self.widths, strict=False)
        )

    def data(self, steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Inputs, and labels `(N, 1)` by task, for so many steps."""
        rng = np.random.default_rng(0)
        size = steps * self.batch
        x = rng.normal(size=(size, *self.input_shape)).astype("float32")
        y = {
            name: rng.normal(size=(size, 1)).astype("float32")
            for name in self.task_names
        }
        return x, y


TIMED = {
    **{
        f"W1-{tasks}": Workload("mlp", tasks, 256, (64,), (512, 512, 512))
        for tasks in (2, 8, 32)
    },
    **{
        f"W2-{tasks}": Workload("cnn", tasks, 128, (32, 32, 3), (32, 64, 128))
        for tasks in (2, 8)
    },
}
WORKLOADS = {
    **TIMED,
    "W3-8": Workload("mlp", 8, 256, (64,), (512,) * 12),
}
