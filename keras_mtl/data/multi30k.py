"""The `multi30k` data set as lists of strings."""

from typing import Any


def load_multi30k(
    data_dir: Any = None, manual_dir: Any = None
) -> dict[str, dict[str, list[str]]]:
    """Reads Multi30k, which is prepared on first use.

    Downloads nothing: it must have been prepared by TFDS before, or its
    files must lie in `manual_dir`.

    Args:
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        manual_dir: A folder with `train`, `val` and `test_2016_flickr`, each
            in `.en`, `.de`, `.fr` and `.cs`, as they are or as `.gz` or
            `.xz`; needed only if the data set is not prepared. Defaults to
            `data_dir`.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each a dict of four
        lists of strings, `en`, `de`, `fr` and `cs`: what stands at one place
        in them says the same.

    Raises:
        ValueError: A file is corrupt.
        FileNotFoundError: It is not prepared, and the files are not there; the
            message tells how to get them.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import Multi30k
    from keras_mtl.data.tfds.multi30k import LANGUAGES, find_files
    from keras_mtl.data.tfds.prepare import prepare

    builder = Multi30k(data_dir=data_dir)
    prepare(
        builder,
        manual_dir,
        find_files,
        "train, val and test_2016_flickr in .en, .de, .fr and .cs",
        "prepare it (this downloads it from GitHub) with: python -c "
        '"from keras_mtl.data.tfds import Multi30k; '
        f"Multi30k(data_dir='{builder.data_dir_root}')"
        '.download_and_prepare()"',
    )
    parts = {
        split: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        for split in ("train", "validation", "test")
    }
    return {
        split: {
            language: [text.decode("utf-8") for text in part[language]]
            for language in LANGUAGES
        }
        for split, part in parts.items()
    }
