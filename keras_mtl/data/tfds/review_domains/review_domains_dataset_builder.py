"""The TFDS builder of `review_domains`."""

import json
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_mtl.data.review_domains import REVIEW_DOMAINS
from keras_mtl.data.tfds.text_files import find_text, read_lines

FILES = {"train": "train.jsonl", "test": "test.jsonl"}


class ReviewDomains(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Reviews of 16 domains, negative or positive.

    Reads `train.jsonl` and `test.jsonl`, plain, `.gz` or `.xz`, from
    `manual_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "get the data of 'Adversarial Multi-task Learning for Text "
        "Classification' (Liu et al., 2017), and write the records of "
        "<domain>.task.train and <domain>.task.test of all domains to "
        "train.jsonl and test.jsonl, one a line: "
        '{"domain": "books", "label": 1, "text": "..."}'
    )

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "domain": tfds.features.ClassLabel(
                        names=list(REVIEW_DOMAINS)
                    ),
                    "label": tfds.features.ClassLabel(
                        names=["negative", "positive"]
                    ),
                    "text": tfds.features.Text(),
                }
            ),
            supervised_keys=("text", "label"),
            homepage="https://aclanthology.org/P17-1001/",
            license="For research.",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = dl_manager.manual_dir
        files = find_files(folder)
        if files is None:
            raise FileNotFoundError(
                f"Expected {' and '.join(FILES.values())} in {folder}; "
                f"{self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        return {
            split: self._generate_examples(path)
            for split, path in files.items()
        }

    def _generate_examples(
        self, path: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (place, line) in enumerate(read_lines(path)):
            yield number, parse(line, place)


def find_files(folder: Any) -> dict[str, Any] | None:
    """The files in a folder by split, or None if one is missing."""
    files = {split: find_text(folder, name) for split, name in FILES.items()}
    return None if None in files.values() else files


def parse(line: str, place: str) -> dict[str, Any]:
    """An example from a line of the files.

    Args:
        line: An object in JSON of `domain`, `label` and `text`.
        place: Where it stands, for the message.

    Raises:
        ValueError: Something else.
    """
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{place}: expected an object in JSON ({error}). Is the file "
            "complete?"
        ) from error
    match record:
        # Not `True`, which Python counts as 1.
        case {"domain": str(domain), "label": label, "text": str(text)} if (
            domain in REVIEW_DOMAINS and type(label) is int and label in (0, 1)
        ):
            return {"domain": domain, "label": label, "text": text}
    raise ValueError(
        f"{place}: expected `domain`, one of {', '.join(REVIEW_DOMAINS)}; "
        f"`label`, 0 or 1; and `text`, a string. Received: {line:.200}"
    )
