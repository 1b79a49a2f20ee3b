"""The TFDS builder of `census_income`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mtl.data.census_columns import (
    CENSUS_CATEGORIES,
    CENSUS_NUMBERS,
    FIELDS,
)
from keras_mtl.data.tfds.prepare import manual_dir
from keras_mtl.data.tfds.text_files import find_text, read_lines

URL = "https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip"
ARCHIVE = "census.tar.gz"  # lies within the .zip, and holds the two files
FILES = {"train": "census-income.data", "test": "census-income.test"}


class CensusIncome(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Census-Income (KDD), with the test file halved for validation.

    Reads `census-income.data` and `census-income.test`, plain, `.gz` or
    `.xz`, from `manual_dir` where both are there, else from UCI.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Only where UCI cannot be reached: unpack {URL}, and {ARCHIVE} "
        f"within it, and put {' and '.join(FILES.values())} into `manual_dir`."
    )

    def _info(self) -> Any:
        features = {
            name: tfds.features.ClassLabel(names=list(names))
            for name, names in CENSUS_CATEGORIES.items()
        }
        features |= {
            name: tfds.features.Scalar(np.float32) for name in CENSUS_NUMBERS
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {name: features[name] for name in FIELDS if name in features}
            ),
            homepage="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
            license="CC BY 4.0",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        files = find_files(manual_dir(dl_manager)) or _download(dl_manager)
        test = files["test"]
        return {
            "train": self._generate_examples(files["train"]),
            "validation": self._generate_examples(test, start=0, step=2),
            "test": self._generate_examples(test, start=1, step=2),
        }

    def _generate_examples(
        self, path: Any, start: int = 0, step: int = 1
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (place, line) in enumerate(read_lines(path)):
            if number % step == start:
                yield number, parse(line, place)


def find_files(folder: Any) -> dict[str, Any] | None:
    """The files in a folder by split, or None if one is missing."""
    if folder is None:
        return None
    files = {split: find_text(folder, name) for split, name in FILES.items()}
    return None if None in files.values() else files


def parse(line: str, place: str) -> dict[str, Any]:
    """An example from a line of the files.

    Args:
        line: 42 fields with commas between.
        place: Where it stands, for the message.

    Raises:
        ValueError: Not 42 fields.
    """
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"{place}: expected {len(FIELDS)} fields with commas between. "
            f"Received: {len(fields)}. Is the file complete?"
        )
    example: dict[str, Any] = dict(zip(FIELDS, fields, strict=True))
    # How many people a row stands for: UCI says not to classify by it.
    del example["instance_weight"]
    example["income"] = example["income"].removesuffix(".")
    for name in CENSUS_NUMBERS:
        example[name] = float(example[name])
    return example


def _download(dl_manager: Any) -> dict[str, Any]:
    folder = dl_manager.download_and_extract(URL)
    folder = dl_manager.extract(folder / ARCHIVE)
    files = find_files(folder)
    if files is None:
        raise FileNotFoundError(
            f"Expected {' and '.join(FILES.values())} in {ARCHIVE} of {URL}. "
            f"Received: {sorted(path.name for path in folder.iterdir())}."
        )
    return files
