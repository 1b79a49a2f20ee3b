"""The `multi_digits` data set as numpy arrays."""

from typing import Any


def load_multi_digits(
    config: str = "mnist", data_dir: Any = None, source_dir: Any = None
) -> dict[str, dict[str, Any]]:
    """Reads `multi_digits`, which is prepared on first use.

    Downloads nothing: MNIST and Fashion-MNIST must have been prepared by
    TFDS before.

    Args:
        config: `"mnist"`, `"fashion"` or `"mixed"`.
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        source_dir: Where the source data sets are. Defaults to `data_dir`.

    Returns:
        `{"train": ..., "test": ...}`, each a dict of `image`
        `(n, 36, 36, 1)`, uint8, and of the labels `left` and `right` `(n,)`,
        int64. The first 50,000 training pairs share no source image with the
        last 10,000.

    Raises:
        ValueError: There is no such config.
        FileNotFoundError: A source data set is not prepared; the message
            tells how to.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import MultiDigits

    if config not in MultiDigits.builder_configs:
        raise ValueError(
            "`config` must be one of "
            f"{', '.join(MultiDigits.builder_configs)}. "
            f"Received: config={config!r}"
        )
    builder = MultiDigits(
        config=config, data_dir=data_dir, source_dir=source_dir
    )
    builder.download_and_prepare()
    return {
        split: dict(
            tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        )
        for split in ("train", "test")
    }
