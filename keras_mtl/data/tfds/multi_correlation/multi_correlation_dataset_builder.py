"""The TFDS builder of `multi_correlation`."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mtl.data.correlation import correlated_tasks

DIMENSION = 100
PROBLEM = 0  # seed of weights, frequencies and phases
COUNTS = {"train": 50_000, "validation": 5_000, "test": 5_000}
SEEDS = {"train": 0, "validation": 1, "test": 2}  # of inputs and noise


@dataclasses.dataclass(kw_only=True)
class MultiCorrelationConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """How closely the tasks are related.

    Args:
        correlation: The cosine of their weight vectors, from -1 to 1.
    """

    correlation: float


class MultiCorrelation(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """The two regressions of the MMoE paper, drawn and not downloaded.

    The examples are those of `keras_mtl.data.correlated_tasks` with the seed 0,
    drawn with the seed 0 for training, 1 for validation and 2 for testing.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        MultiCorrelationConfig(
            name=str(correlation),
            description=f"Weight vectors with a cosine of {correlation}.",
            correlation=correlation,
        )
        for correlation in (0.5, 0.9, 1.0)
    ]

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "x": tfds.features.Tensor(
                        shape=(DIMENSION,), dtype=np.float32
                    ),
                    "first": tfds.features.Scalar(np.float32),
                    "second": tfds.features.Scalar(np.float32),
                }
            ),
            supervised_keys=("x", {"first": "first", "second": "second"}),
            homepage="https://doi.org/10.1145/3219819.3220007",
            license="Apache-2.0",
            # Drawn at random already.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(
        self, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        problem = correlated_tasks(
            self.builder_config.correlation, PROBLEM, DIMENSION
        )
        x, y = problem.draw(COUNTS[split], SEEDS[split])
        for row in range(COUNTS[split]):
            yield (
                row,
                {
                    "x": x[row],
                    "first": y["first"][row],
                    "second": y["second"][row],
                },
            )
