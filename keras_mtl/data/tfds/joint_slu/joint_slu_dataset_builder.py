"""The TFDS builder of `joint_slu`."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_mtl.data.joint_slu import JOINT_SLU_INTENTS, JOINT_SLU_SLOTS
from keras_mtl.data.tfds.text_files import find_text, read_lines

FILES = {
    "train": "train.tsv",
    "validation": "valid.tsv",
    "test": "test.tsv",
}


class JointSlu(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """ATIS and SNIPS: the intent of an utterance and the slots of its words.

    Reads `train.tsv`, `valid.tsv` and `test.tsv`, plain, `.gz` or `.xz`, from
    the folder in `manual_dir` that is called as the config.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "get the folders atis and snips of "
        "https://github.com/MiuLab/SlotGated-SLU (data/), and in each join the "
        "three files of train, valid and test with: "
        "paste train/label train/seq.in train/seq.out > train.tsv"
    )
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="atis", description="Air travel."),
        tfds.core.BuilderConfig(name="snips", description="A voice assistant."),
    ]

    def _info(self) -> Any:
        config = self.builder_config.name
        slot = tfds.features.ClassLabel(names=list(JOINT_SLU_SLOTS[config]))
        intent = tfds.features.ClassLabel(names=list(JOINT_SLU_INTENTS[config]))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "words": tfds.features.Sequence(tfds.features.Text()),
                    "slots": tfds.features.Sequence(slot),
                    "intent": intent,
                }
            ),
            supervised_keys=("words", {"slots": "slots", "intent": "intent"}),
            homepage="https://github.com/MiuLab/SlotGated-SLU",
            license={"atis": "For research.", "snips": "CC0 1.0"}[config],
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = dl_manager.manual_dir / self.builder_config.name
        files = find_files(folder)
        if files is None:
            raise FileNotFoundError(
                f"Expected {', '.join(FILES.values())} in {folder}; "
                f"{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return {
            split: self._generate_examples(path)
            for split, path in files.items()
        }

    def _generate_examples(
        self, path: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config.name
        intents = frozenset(JOINT_SLU_INTENTS[config])
        slots = frozenset(JOINT_SLU_SLOTS[config])
        for number, (place, line) in enumerate(read_lines(path)):
            yield number, parse(line, place, intents, slots)


def find_files(folder: Any) -> dict[str, Any] | None:
    """The files in a folder by split, or None if one is missing."""
    files = {split: find_text(folder, name) for split, name in FILES.items()}
    return None if None in files.values() else files


def parse(
    line: str, place: str, intents: frozenset[str], slots: frozenset[str]
) -> dict[str, Any]:
    """An example from a line of the files.

    Args:
        line: Intent, words and slots with tabs between; words and slots are
            separated by spaces.
        place: Where it stands, for the message.
        intents: Those there are.
        slots: Those there are.

    Raises:
        ValueError: Not three fields, not a slot for each word, or a label that
            is not known.
    """
    fields = line.split("\t")
    if len(fields) != 3:
        raise ValueError(
            f"{place}: expected intent, words and slots with tabs between. "
            f"Received: {line!r}. Is the file complete?"
        )
    # SNIPS has two spaces here and there.
    intent, words, tags = (
        fields[0].strip(),
        fields[1].split(),
        fields[2].split(),
    )
    if not words or len(words) != len(tags):
        raise ValueError(
            f"{place}: expected as many slots as words, and at least one. "
            f"Received: {len(words)} words and {len(tags)} slots."
        )
    unknown = [tag for tag in tags if tag not in slots]
    if intent not in intents:
        unknown.insert(0, intent)
    if unknown:
        raise ValueError(
            f"{place}: expected an intent and slots of this data set. "
            f"Received: {', '.join(map(repr, unknown))}. Does the file belong "
            "to the other config?"
        )
    return {"words": words, "slots": tags, "intent": intent}
