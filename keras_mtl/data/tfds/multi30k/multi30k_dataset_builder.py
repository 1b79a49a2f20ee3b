"""The TFDS builder of `multi30k`."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_mtl.data.tfds.prepare import manual_dir
from keras_mtl.data.tfds.text_files import find_text, read_lines

URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
LANGUAGES = ("en", "de", "fr", "cs")
FILES = {
    "train": "train",
    "validation": "val",
    "test": "test_2016_flickr",
}


class Multi30k(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Multi30k, task 1: captions in four languages.

    Reads the files, plain, `.gz` or `.xz`, from `manual_dir` where all are
    there, else from GitHub.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Only where GitHub cannot be reached: put the files of {URL} called "
        "train, val and test_2016_flickr, in .en, .de, .fr and .cs, into "
        "`manual_dir`."
    )

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {language: tfds.features.Text() for language in LANGUAGES}
            ),
            supervised_keys=("en", {name: name for name in LANGUAGES[1:]}),
            homepage="https://github.com/multi30k/dataset",
            license="For research.",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        files = find_files(manual_dir(dl_manager)) or dl_manager.download(
            {
                split: {name: f"{URL}/{stem}.{name}.gz" for name in LANGUAGES}
                for split, stem in FILES.items()
            }
        )
        return {
            split: self._generate_examples(paths)
            for split, paths in files.items()
        }

    def _generate_examples(
        self, paths: dict[str, Any]
    ) -> Iterator[tuple[int, dict[str, str]]]:
        texts = {name: _read(path) for name, path in paths.items()}
        counts = {str(paths[name]): len(texts[name]) for name in LANGUAGES}
        if len(set(counts.values())) > 1:
            raise ValueError(
                "Expected files with as many lines as each other. Received: "
                f"{', '.join(f'{p}: {n}' for p, n in counts.items())}. Are the "
                "files complete?"
            )
        for number in range(len(texts["en"])):
            yield number, {name: texts[name][number] for name in LANGUAGES}


def find_files(folder: Any) -> dict[str, dict[str, Any]] | None:
    """The files in a folder by split and language; None if one is missing."""
    if folder is None:
        return None
    files = {
        split: {name: find_text(folder, f"{stem}.{name}") for name in LANGUAGES}
        for split, stem in FILES.items()
    }
    complete = all(None not in paths.values() for paths in files.values())
    return files if complete else None


def _read(path: Any) -> list[str]:
    texts = []
    for place, line in read_lines(path):
        # Some lines end with a space.
        text = line.strip()
        if not text:
            raise ValueError(
                f"{place}: expected a sentence. Received: {line!r}"
            )
        texts.append(text)
    return texts
