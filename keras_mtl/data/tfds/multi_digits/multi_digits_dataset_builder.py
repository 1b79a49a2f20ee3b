"""The TFDS builder of `multi_digits`."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mtl.data.pairs import draw_pairs, paste_pairs

SIZE = 28  # height and width of a source image
OFFSET = 8  # 28 + 8 gives the canvas of 36 × 36
SEEDS = {"train": 0, "held_out": 1, "test": 2}


@dataclasses.dataclass(kw_only=True)
class MultiDigitsConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """Which data sets the images come from.

    Args:
        left: TFDS name of the data set of the images top-left.
        right: TFDS name of the data set of the images bottom-right.
    """

    left: str
    right: str


class MultiDigits(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Two overlapping images on a canvas of 36 × 36, a label for each.

    Reads the source images through TFDS and never downloads anything.

    Args:
        source_dir: Where the source data sets are prepared. Defaults to
            `data_dir`.
        **kwargs: As for every TFDS builder: `data_dir`, `config`, `version`,
            `file_format`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        MultiDigitsConfig(
            name="mnist",
            description="Two digits of MNIST.",
            left="mnist",
            right="mnist",
        ),
        MultiDigitsConfig(
            name="fashion",
            description="Two pieces of clothing of Fashion-MNIST.",
            left="fashion_mnist",
            right="fashion_mnist",
        ),
        MultiDigitsConfig(
            name="mixed",
            description="A digit of MNIST and a piece of Fashion-MNIST.",
            left="mnist",
            right="fashion_mnist",
        ),
    ]

    def __init__(self, *, source_dir: Any = None, **kwargs: Any) -> None:
        self.source_dir = source_dir or kwargs.get("data_dir")
        super().__init__(**kwargs)
        # What TFDS pickles a builder by.
        self._original_state["source_dir"] = source_dir

    def _info(self) -> Any:
        side = SIZE + OFFSET
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(side, side, 1)),
                    "left": tfds.features.ClassLabel(num_classes=10),
                    "right": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", {"left": "left", "right": "right"}),
            homepage="https://arxiv.org/abs/1710.09829",
            license="CC BY-SA 3.0 (MNIST), MIT (Fashion-MNIST)",
            # Pairs are drawn at random already; in order, the end of "train"
            # can be held out without sharing an image with its beginning.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        names = {self.builder_config.left, self.builder_config.right}
        sources = {name: self._open(name) for name in sorted(names)}
        return {
            split: self._generate_examples(sources, split)
            for split in ("train", "test")
        }

    def _generate_examples(
        self, sources: dict[str, Any], split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        left = _read(sources[self.builder_config.left], split)
        right = _read(sources[self.builder_config.right], split)
        lefts, rights = _match(len(left["label"]), len(right["label"]), split)
        images = paste_pairs(
            left["image"][lefts, ..., 0],
            right["image"][rights, ..., 0],
            offset=(OFFSET, OFFSET),
        )
        labels = zip(left["label"][lefts], right["label"][rights], strict=True)
        for key, (image, (one, two)) in enumerate(
            zip(images, labels, strict=True)
        ):
            yield key, {"image": image, "left": one, "right": two}

    def _open(self, name: str) -> Any:
        source = tfds.builder(name, data_dir=self.source_dir)
        if not source.info.splits:
            # To read it would be to download it, with minutes of retries.
            where = source.data_dir_root
            raise FileNotFoundError(
                f"`multi_digits/{self.builder_config.name}` is made from "
                f"{name!r}, which is not prepared in {where}; prepare it (this "
                'downloads it) with: python -c "import tensorflow_datasets as '
                f"tfds; tfds.load('{name}', data_dir='{where}')\""
            )
        return source


def _read(source: Any, split: str) -> dict[str, Any]:
    arrays = tfds.as_numpy(source.as_dataset(split=split, batch_size=-1))
    return dict(arrays)


def _match(left_count: int, right_count: int, split: str) -> tuple[Any, Any]:
    """Indices of the images that meet: as many pairs as there are images.

    In "train", the last sixth of the images meet among themselves and make
    the last sixth of the pairs.
    """
    count = min(left_count, right_count)
    if split == "test":
        return draw_pairs(count, count, count, SEEDS["test"])
    kept = count * 5 // 6
    rest = count - kept
    early = draw_pairs(kept, kept, kept, SEEDS["train"])
    late = draw_pairs(rest, rest, rest, SEEDS["held_out"])
    lefts, rights = (
        np.concatenate([first, kept + last])
        for first, last in zip(early, late, strict=True)
    )
    return lefts, rights
