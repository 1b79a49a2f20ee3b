"""A tower per task, with a layer after some blocks that mixes all towers."""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mtl.builders.blocks import copy_block
from keras_mtl.builders.towers import Stem


def mixed_towers(
    stem: Stem,
    after: Sequence[str] | None,
    unit: Callable[..., Any],
    suffix: str,
) -> dict[str, list[Any]]:
    """Builds a copy of each block per task and mixes the towers between them.

    After the last unit nothing is shared, so that its coefficients, as those
    of the head, are private to their task; all before it serves all tasks.

    Args:
        stem: Where the towers begin, and their blocks.
        after: Names of the blocks after which towers are mixed; by default
            each.
        unit: Makes the layer that mixes for one tower, from the keywords
            `tower`, its place in the list, and `name`.
        suffix: The unit is named `{task}_{block}_{suffix}`.

    Returns:
        For each task its features after each block, as the next one reads
        them.

    Raises:
        ValueError: `after` names no block of the towers, or one with several
            outputs.
    """
    chosen = choose_blocks(after, stem, "after")
    trails: dict[str, list[Any]] = {key: [] for key in stem.tasks}
    features = dict.fromkeys(stem.tasks, stem.features)
    for block in stem.blocks:
        for key in stem.tasks:
            features[key] = copy_block(block, key)(features[key])
        if block.name in chosen:
            _check_single(block, features.values())
            towers = list(features.values())
            features = {
                key: unit(tower=t, name=f"{key}_{block.name}_{suffix}")(towers)
                for t, key in enumerate(stem.tasks)
            }
        for key in stem.tasks:
            trails[key].append(features[key])
    return trails


def choose_blocks(
    names: Sequence[str] | None, stem: Stem, argument: str
) -> list[str]:
    """The named blocks of the towers; all for `None`.

    Raises:
        ValueError: Not a list of names of blocks that are not shared plainly.
    """
    known = [block.name for block in stem.blocks]
    if names is None:
        return known
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ValueError(
            f"`{argument}` must be a list of names of blocks, at least one, "
            f"of {known}. Received: {names!r}"
        )
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"`{argument}` must name blocks that are not shared plainly: "
                f"{known}. Received: {name!r}.{hint}"
            )
    return list(names)


def _check_single(block: Any, outputs: Any) -> None:
    for output in outputs:
        if not isinstance(output, keras.KerasTensor):
            raise ValueError(
                "`after` must name blocks with one output, which is mixed. "
                f"Received: {block.name!r} with several. Name other blocks."
            )
