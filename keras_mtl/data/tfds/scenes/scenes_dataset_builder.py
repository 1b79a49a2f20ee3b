"""The TFDS builder of `scenes`."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mtl.data.scene_layouts import MAX_OBJECTS
from keras_mtl.data.scenes import OBJECT_CLASSES, SCENE_CLASSES, draw_scenes

COUNTS = {"train": 4000, "validation": 1000, "test": 1000}
SEEDS = {"train": 0, "validation": 1, "test": 2}
CHUNK = 100  # scenes drawn at once


@dataclasses.dataclass(kw_only=True)
class ScenesConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """How large the images are.

    Args:
        size: Height and width in pixels.
    """

    size: tuple[int, int]


class Scenes(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Rooms with balls, boxes, cones and cylinders, drawn and not downloaded.

    The scenes are those of `keras_mtl.data.draw_scenes`, with the seed 0 for
    training, 1 for validation and 2 for testing.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        ScenesConfig(
            name="64x64",
            description="64 pixels high, 64 wide.",
            size=(64, 64),
        ),
        ScenesConfig(
            name="96x128",
            description="96 pixels high, 128 wide.",
            size=(96, 128),
        ),
    ]

    def _info(self) -> Any:
        size = self.builder_config.size
        outputs = ("segmentation", "depth", "boxes", "classes")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(*size, 3)),
                    "segmentation": tfds.features.LabeledImage(
                        labels=list(SCENE_CLASSES), shape=(*size, 1)
                    ),
                    "depth": tfds.features.Tensor(
                        shape=(*size, 1),
                        dtype=np.float32,
                        encoding=tfds.features.Encoding.ZLIB,
                    ),
                    "boxes": tfds.features.Tensor(
                        shape=(MAX_OBJECTS, 4), dtype=np.float32
                    ),
                    "classes": tfds.features.Sequence(
                        tfds.features.ClassLabel(names=list(OBJECT_CLASSES)),
                        length=MAX_OBJECTS,
                    ),
                }
            ),
            supervised_keys=("image", {name: name for name in outputs}),
            license="Apache-2.0",
            # Drawn at random already.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(
        self, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        size = self.builder_config.size
        for start in range(0, COUNTS[split], CHUNK):
            count = min(CHUNK, COUNTS[split] - start)
            scenes = draw_scenes(count, size, SEEDS[split], start)
            scenes["segmentation"] = scenes["segmentation"].astype("uint8")
            for name in ("segmentation", "depth"):
                scenes[name] = scenes[name][..., np.newaxis]
            for row in range(count):
                yield (
                    start + row,
                    {name: values[row] for name, values in scenes.items()},
                )
