"""Data sets from files that a person has put somewhere."""

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds


def prepare(
    builder: Any,
    manual_dir: Any,
    find_files: Callable[[Any], Any],
    files: str,
    advice: str,
) -> None:
    """Prepares the data set of a builder, unless it is; downloads nothing.

    Args:
        builder: Of TFDS.
        manual_dir: Where the files are; the builder's `data_dir` if None.
        find_files: Of a folder; gives None if files are missing.
        files: What the files are, for the message.
        advice: How to get them, for the message.

    Raises:
        FileNotFoundError: It is not prepared, and the files are not there.
    """
    if builder.info.splits:
        return
    where = builder.data_dir_root
    folder = pathlib.Path(manual_dir or where).expanduser()
    if find_files(folder) is None:
        # To go on would be to wait for TFDS, or to download unasked.
        raise FileNotFoundError(
            f"`{builder.info.full_name}` is not prepared in {where}, and "
            f"{folder} does not hold {files}; {advice}"
        )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )


def manual_dir(dl_manager: Any) -> Any:
    """Where a person put files; None where there are none."""
    try:
        return dl_manager.manual_dir
    except AssertionError:  # TFDS says so that it is not there, or empty
        return None
