"""The `joint_slu` data sets as strings and numpy arrays."""

import csv
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np


def load_joint_slu(
    config: str = "atis", data_dir: Any = None, manual_dir: Any = None
) -> dict[str, dict[str, Any]]:
    """Reads ATIS or SNIPS, which is prepared on first use.

    Downloads nothing: it must have been prepared by TFDS before, or its
    files must lie in `manual_dir`.

    Words stand with one space between, so a tokenizer that splits at white
    space and pads to `slots.shape[1]` gives a token for each slot:
    `keras.layers.TextVectorization(standardize=None, split="whitespace",
    output_sequence_length=slots.shape[1])`.

    Args:
        config: `"atis"` or `"snips"`.
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        manual_dir: A folder with `<config>/train.tsv`, `<config>/valid.tsv`
            and `<config>/test.tsv`, as they are or as `.gz` or `.xz`; needed
            only if the data set is not prepared. Defaults to `data_dir`.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each a dict of
        `words`, a list of n strings; `slots` `(n, length)`, int64 codes of
        `JOINT_SLU_SLOTS[config]`, and -1, a missing label, past the last
        word; `intent` `(n,)`, int64 codes of `JOINT_SLU_INTENTS[config]`.
        `length` is that of the longest utterance of all three.

    Raises:
        ValueError: There is no such config, or a record is corrupt.
        FileNotFoundError: It is not prepared, and the files are not there; the
            message tells how to get them.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import JointSlu
    from keras_mtl.data.tfds.joint_slu import find_files
    from keras_mtl.data.tfds.prepare import prepare

    if config not in JointSlu.builder_configs:
        raise ValueError(
            f"`config` must be one of {', '.join(JointSlu.builder_configs)}. "
            f"Received: config={config!r}"
        )
    builder = JointSlu(config=config, data_dir=data_dir)
    prepare(
        builder,
        manual_dir,
        lambda folder: find_files(folder / config),
        f"{config}/train.tsv, {config}/valid.tsv and {config}/test.tsv",
        JointSlu.MANUAL_DOWNLOAD_INSTRUCTIONS,
    )
    examples = {
        split: list(tfds.as_numpy(builder.as_dataset(split=split)))
        for split in ("train", "validation", "test")
    }
    length = max(len(e["slots"]) for part in examples.values() for e in part)
    return {
        split: {
            "words": [b" ".join(e["words"]).decode("utf-8") for e in part],
            "slots": _pad([e["slots"] for e in part], length),
            "intent": np.array([e["intent"] for e in part]),
        }
        for split, part in examples.items()
    }


def _pad(slots: list[Any], length: int) -> Any:
    padded = np.full((len(slots), length), -1, np.int64)
    for row, codes in zip(padded, slots, strict=True):
        row[: len(codes)] = codes
    return padded


def _read_labels(kind: str) -> Mapping[str, tuple[str, ...]]:
    path = pathlib.Path(__file__).with_name("joint_slu_labels.tsv")
    labels: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for config, which, label in csv.reader(file, delimiter="\t"):
            if which == kind:
                labels[config] = (*labels.get(config, ()), label)
    return MappingProxyType(labels)


# By config: what the codes 0, 1, … stand for.
JOINT_SLU_INTENTS = _read_labels("intent")
JOINT_SLU_SLOTS = _read_labels("slot")
