"""The `review_domains` data set as strings and numpy arrays."""

from typing import Any

REVIEW_DOMAINS = (
    "MR",
    "apparel",
    "baby",
    "books",
    "camera_photo",
    "dvd",
    "electronics",
    "health_personal_care",
    "imdb",
    "kitchen_housewares",
    "magazines",
    "music",
    "software",
    "sports_outdoors",
    "toys_games",
    "video",
)


def load_review_domains(
    data_dir: Any = None, manual_dir: Any = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Reads reviews of 16 domains, which are prepared on first use.

    Downloads nothing: they must have been prepared by TFDS before, or the
    files must lie in `manual_dir`.

    Args:
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        manual_dir: A folder with `train.jsonl` and `test.jsonl`, as they are
            or as `.gz` or `.xz`; needed only if the data set is not prepared.
            Defaults to `data_dir`.

    Returns:
        `{"train": ..., "test": ...}`, each a dict by domain, in the order of
        `REVIEW_DOMAINS`, of dicts of `text`, a list of n strings, and `label`
        `(n,)`, int64: 0 for negative and 1 for positive. With the text
        tokenized, each domain is a source, and a task, of
        `keras_mtl.data.Mixture`.

    Raises:
        ValueError: A record is corrupt.
        FileNotFoundError: It is not prepared, and the files are not there; the
            message tells how to get them.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import ReviewDomains
    from keras_mtl.data.tfds.prepare import prepare
    from keras_mtl.data.tfds.review_domains import find_files

    builder = ReviewDomains(data_dir=data_dir)
    prepare(
        builder,
        manual_dir,
        find_files,
        "train.jsonl and test.jsonl",
        ReviewDomains.MANUAL_DOWNLOAD_INSTRUCTIONS,
    )
    parts = {
        split: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        for split in ("train", "test")
    }
    return {
        split: {
            domain: _of_domain(part, code)
            for code, domain in enumerate(REVIEW_DOMAINS)
        }
        for split, part in parts.items()
    }


def _of_domain(part: Any, code: int) -> dict[str, Any]:
    rows = part["domain"] == code
    return {
        "text": [text.decode("utf-8") for text in part["text"][rows]],
        "label": part["label"][rows],
    }
