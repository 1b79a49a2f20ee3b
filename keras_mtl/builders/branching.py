"""A tree of blocks: given, or learned by the tasks that grow on it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_mtl.builders.blocks import copy_block
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import Stem, begin, finish
from keras_mtl.layers.branch_choice import BranchChoice
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel

Tree = Sequence[Sequence[Sequence[str]]]


@registry.register("branching")
def branching(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    tree: Tree | None = None,
    width: int | None = None,
    temperature: float = 5.0,
    hard: bool = False,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tree of blocks on which tasks part from each other.

    A given tree tells for each block which tasks share one, and later groups
    refine earlier ones:

        tree=[[["a", "b", "c"]], [["a", "b"], ["c"]]]

        block 1 ─┬─ block 2 of a and b ─┬─ head a
                 │                      └─ head b
                 └─ block 2 of c ── head c

    Without one the tree is learned. Each block has `width` candidates; each
    candidate, and each task at the end, draws the candidate before it by
    Gumbel-softmax: a mixture while the temperature is high, which
    `callbacks.TemperatureDecay` lowers, and the likeliest one at inference.
    `learned_tree(model)` tells the tree, which a second model can be given to
    begin anew; `hardened(model)` is that tree with the weights it learned.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower, as for `hard_sharing`.
        depth: How many blocks all tasks share, before the tree begins.
        tree: For each block that is left, the groups of tasks that share it.
            The first group has the block itself, others have copies. None
            learns the tree.
        width: Candidates for each block of a learned tree. Defaults to the
            number of tasks, with which any tree can be learned.
        temperature: Temperature at the start of a learned tree.
        hard: Whether a step of training takes one candidate alone, instead of
            a mixture; see `layers.BranchChoice`.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: A tree that does not have a level for each block, or whose
            groups lack a task, have one twice, misspell one or do not refine
            the level before; a width below 1, or beside a tree.

    Example:
        >>> import keras
        >>> def build(tree=None):
        ...     return branching(
        ...         keras.Input((8,)),
        ...         [Task("a", "binary"), Task("b", "regression")],
        ...         [
        ...             keras.layers.Dense(16, activation="relu", name="low"),
        ...             keras.layers.Dense(16, activation="relu", name="high"),
        ...         ],
        ...         tree=tree,
        ...     )
        >>> model = build(tree=[[["a", "b"]], [["a"], ["b"]]])
        >>> [layer.name for layer in model.layers[1:]]
        ['low', 'high', 'b_high', 'a', 'b']
        >>> learned_tree(build())  # before training: the first candidates
        [[['a', 'b']], [['a', 'b']]]

    Reference:
        Guo, Lee, Ulbricht, "Learning to Branch for Multi-Task Learning",
        ICML 2020, arXiv:2006.01895.
    """
    stem = begin(inputs, tasks, blocks, depth)
    if tree is None:
        features = _learn(stem, width, temperature, hard)
    else:
        if width is not None:
            raise ValueError(
                "`width` belongs to a learned tree, and a `tree` is given. "
                f"Received: width={width!r}. Leave one of them out."
            )
        features = _grow(stem, _checked(tree, stem))
    return finish(inputs, stem.tasks, features, name)


def learned_tree(model: Any) -> list[list[list[str]]]:
    """The tree that a model of `branching` has learned so far.

    Args:
        model: A model that `branching` built without a `tree`.

    Returns:
        For each block the groups of tasks that share it at inference, in the
        form that `branching` takes as `tree`.

    Raises:
        ValueError: A model without learned branches.
    """
    choices = {
        layer.name: layer.choice()
        for layer in model.layers
        if isinstance(layer, BranchChoice)
    }
    names = [
        layer.name.removeprefix("branch_1_")
        for layer in model.layers
        if layer.name.startswith("branch_1_") and layer.name not in choices
    ]
    if not names:
        raise ValueError(
            "`model` must have learned branches. Received: "
            f"{model.name!r}, which has none. Build it with `branching` "
            "without a `tree`."
        )
    # From the heads back: the candidate that each task stands on.
    place = {task: choices.get(f"{task}_choice", 0) for task in model.output}
    levels = []
    for block in reversed(names):
        groups: dict[int, list[str]] = {}
        for task in model.output:
            groups.setdefault(place[task], []).append(task)
        levels.append(list(groups.values()))
        place = {
            task: choices.get(f"branch_{node + 1}_{block}_choice", 0)
            for task, node in place.items()
        }
    return levels[::-1]


def _grow(stem: Stem, tree: list[list[list[str]]]) -> dict[str, Any]:
    features = dict.fromkeys(stem.tasks, stem.features)
    for block, groups in zip(stem.blocks, tree, strict=True):
        grown: dict[str, Any] = {}
        for i, group in enumerate(groups):
            prefix = (
                group[0] if len(group) == 1 else "_".join(["branch", *group])
            )
            own = copy_block(block, prefix) if i else block
            grown.update(dict.fromkeys(group, own(features[group[0]])))
        features = grown
    return features


def _learn(
    stem: Stem, width: int | None, temperature: float, hard: bool
) -> dict[str, Any]:
    width = len(stem.tasks) if width is None else width
    if type(width) is not int or width < 1:
        raise ValueError(
            "`width` must be the number of candidates for each block, at "
            f"least 1. Received: {width!r}"
        )

    def draw(parents: list[Any], name: str) -> Any:
        if len(parents) == 1:
            return parents[0]
        choice = BranchChoice(
            temperature=temperature, hard=hard, name=f"{name}_choice"
        )
        return choice(parents)

    parents = [stem.features]
    for block in stem.blocks:
        nodes = []
        for i in range(width):
            node = copy_block(block, f"branch_{i + 1}")
            nodes.append(node(draw(parents, node.name)))
        parents = nodes
    return {key: draw(parents, key) for key in stem.tasks}


def _checked(tree: Any, stem: Stem) -> list[list[list[str]]]:
    """The tree as lists, after all that can be wrong with it."""
    if not isinstance(tree, (list, tuple)) or len(tree) != len(stem.blocks):
        count = len(tree) if isinstance(tree, (list, tuple)) else tree
        raise ValueError(
            "`tree` must be a list with a list of groups for each block from "
            f"`depth` on. Expected: {len(stem.blocks)} levels. Received: "
            f"{count!r}"
        )
    tasks = list(stem.tasks)
    before = [tasks]
    checked = []
    for block, level in zip(stem.blocks, tree, strict=True):
        where = f"`tree` at block {block.name!r}"
        groups = _groups(level, where)
        listed = [task for group in groups for task in group]
        if unknown := [task for task in listed if task not in tasks]:
            close = difflib.get_close_matches(str(unknown[0]), tasks, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{where} has names of no task: {unknown}. Expected: {tasks}."
                f"{hint}"
            )
        if twice := sorted({t for t in listed if listed.count(t) > 1}):
            raise ValueError(
                f"{where} has tasks twice: {twice}. Each task belongs to one "
                f"group. Received: {groups}"
            )
        if missing := [task for task in tasks if task not in listed]:
            raise ValueError(
                f"{where} lacks the tasks {missing}. Each task belongs to one "
                f"group. Received: {groups}"
            )
        for group in groups:
            if not any(set(group) <= set(earlier) for earlier in before):
                raise ValueError(
                    f"{where} joins tasks that parted before: {group} is in no "
                    f"group of the level before, {before}. Groups may only be "
                    "split."
                )
        checked.append(groups)
        before = groups
    return checked


def _groups(level: Any, where: str) -> list[list[str]]:
    if not isinstance(level, (list, tuple)) or any(
        not isinstance(group, (list, tuple)) or not group for group in level
    ):
        raise ValueError(
            f"{where} must be a list of groups, each a list of names of tasks. "
            f"Received: {level!r}"
        )
    return [list(group) for group in level]
