"""The `nyu_v2` data set as numpy arrays."""

from typing import Any

NYU_V2_CLASSES = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
)


def load_nyu_v2(
    data_dir: Any = None, manual_dir: Any = None
) -> dict[str, dict[str, Any]]:
    """Reads NYU Depth V2 at 96 × 128, which is prepared on first use.

    Downloads nothing: it must have been prepared by TFDS before, or its files
    must lie in `manual_dir`.

    Args:
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        manual_dir: A folder with `nyuv2_96x128.zip`, or with its folders
            `train` and `test`; needed only if the data set is not prepared.
            Defaults to `data_dir`.

    Returns:
        `{"train": ..., "test": ...}`, each a dict of `image`
        `(n, 96, 128, 3)`, uint8; `segmentation` `(n, 96, 128)`, int32, indices
        into `NYU_V2_CLASSES` and -1 where unlabelled; `depth` `(n, 96, 128)`,
        float32, metres, NaN where nothing was measured.

    Raises:
        FileNotFoundError: It is not prepared, and the files are not there, or
            one is missing; the message tells what is needed.
        ValueError: A file is corrupt, or of another size.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import NyuV2
    from keras_mtl.data.tfds.nyu_v2 import find_files
    from keras_mtl.data.tfds.prepare import prepare

    builder = NyuV2(data_dir=data_dir)
    prepare(
        builder,
        manual_dir,
        find_files,
        "nyuv2_96x128.zip, nor its folders train and test",
        NyuV2.MANUAL_DOWNLOAD_INSTRUCTIONS,
    )
    parts = {}
    for split in ("train", "test"):
        part = dict(
            tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        )
        for name in ("segmentation", "depth"):
            part[name] = part[name][..., 0]
        parts[split] = part
    return parts
