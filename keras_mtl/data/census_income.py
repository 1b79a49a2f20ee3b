"""The `census_income` data set as numpy arrays."""

from typing import Any


def load_census_income(
    data_dir: Any = None, manual_dir: Any = None
) -> dict[str, dict[str, Any]]:
    """Reads Census-Income (KDD), which is prepared on first use.

    Downloads nothing: it must have been prepared by TFDS before, or its two
    files must lie in `manual_dir`. To prepare it takes a minute or two.

    Args:
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        manual_dir: A folder with `census-income.data` and
            `census-income.test`, as they are or as `.gz` or `.xz`; needed
            only if the data set is not prepared. Defaults to `data_dir`.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each a dict of 41
        arrays `(n,)` by column: float32 for the seven of `CENSUS_NUMBERS`,
        int64 codes of `CENSUS_CATEGORIES` for the others.

    Raises:
        FileNotFoundError: It is not prepared, and the files are not there; the
            message tells how to get them.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import CensusIncome
    from keras_mtl.data.tfds.census_income import find_files
    from keras_mtl.data.tfds.prepare import prepare

    builder = CensusIncome(data_dir=data_dir)
    prepare(
        builder,
        manual_dir,
        find_files,
        "census-income.data and census-income.test",
        "prepare it (this downloads it from UCI) with: python -c "
        '"from keras_mtl.data.tfds import CensusIncome; '
        f"CensusIncome(data_dir='{builder.data_dir_root}')"
        '.download_and_prepare()"',
    )
    return {
        split: dict(
            tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        )
        for split in ("train", "validation", "test")
    }
