"""Ordered tasks by key, and the check of keys."""

import pytest

from keras_mtl import Task, TaskSet
from keras_mtl.tasks.task_set import check_keys

A, B = Task("b", "binary"), Task("a", "regression")


def test_keeps_the_given_order():
    for given in ([A, B], (A, B), {"b": A, "a": B}, iter([A, B])):
        tasks = TaskSet(given)
        assert list(tasks) == ["b", "a"]
        assert list(tasks.values()) == [A, B]
        assert tasks["a"] is B
    assert len(tasks) == 2
    assert "a" in tasks and "c" not in tasks
    assert list(TaskSet(tasks)) == list(tasks)
    assert (
        repr(tasks) == "TaskSet([Task('b', 'binary'), Task('a', 'regression')])"
    )


BAD = {
    "empty": ([], "at least one task"),
    "strings": (["a"], r"Task objects. Received: 'a' of type str.*Task\(name"),
    "a_task": (A, r"`tasks` must be a list.*Task\('b', 'binary'\)"),
    "twice": ([A, Task("b", "regression")], "different names. Received 'b' tw"),
    "misnamed": (
        {"x": A},
        r"under its own name.*Task\('b', 'binary'\) under 'x'",
    ),
    "none": (None, "`tasks` must be a list.*None"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        TaskSet(given)


def check(received, all_needed=True, **options):
    check_keys(
        received,
        ["left", "right"],
        argument="y",
        all_needed=all_needed,
        **options,
    )


def test_keys_that_are_right():
    check({"right": 1, "left": 2})
    check({"right": 1}, all_needed=False)
    check({}, all_needed=False)
    check(TaskSet([Task("left", "binary"), Task("right", "binary")]))


@pytest.mark.parametrize(
    ("received", "message"),
    [
        (
            {"left": 1, "rigth": 2},
            "`y` has keys that name no task: ['rigth']. Expected: a dict with "
            "the keys ['left', 'right']. Received: ['left', 'rigth']. Did you "
            "mean 'right'? Do so.",
        ),
        (
            {"left": 1, "zzz": 2},
            "`y` has keys that name no task: ['zzz']. Expected: a dict with "
            "the keys ['left', 'right']. Received: ['left', 'zzz']. Do so.",
        ),
        (
            {"left": 1},
            "`y` lacks the keys ['right']. Expected: a dict with the keys "
            "['left', 'right']. Received: ['left']. Do so.",
        ),
        (
            [1, 2],
            "`y` must be a dict keyed by task. Expected: a dict with the keys "
            "['left', 'right']. Received: list. Do so.",
        ),
        (
            {0: 1, 1: 2},
            "`y` has keys that name no task: [0, 1]. Expected: a dict with "
            "the keys ['left', 'right']. Received: [0, 1]. Do so.",
        ),
    ],
    ids=["misspelt", "unknown", "lacking", "list", "numbers"],
)
def test_keys_that_are_wrong(received, message):
    with pytest.raises(ValueError) as error:
        check(received, remedy="Do so.")
    assert str(error.value) == message


def test_a_partial_dict_may_still_not_be_misspelt():
    with pytest.raises(ValueError, match="name no task"):
        check({"lef": 1}, all_needed=False)
