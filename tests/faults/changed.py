"""Texts and files as somebody with bad luck or bad will may leave them."""

import copy
import json
import signal
from contextlib import contextmanager

ODD = [
    *(None, True, -1, 0, 10**30, 1e308, float("nan"), "", "../../x", "\0"),
    *([], [[]], {}, {"": {}}, ["a"], "trial_1", "x" * 10_000),
]


def values(draw, record):
    """One value, anywhere inside, is another, or gone, or new."""
    record = copy.deepcopy(record)
    place = record
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not len(keys):
            break
        key = draw.choice(list(keys))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and draw.random() < 0.7):
            break
        place = inner
    odd = copy.deepcopy(draw.choice(ODD))
    if not len(place):
        return odd
    action = draw.choice(["change", "drop", "whole"])
    if action == "drop":
        del place[key]
    elif action == "change":
        place[key] = odd
    else:
        return odd if draw.random() < 0.1 else record
    return record


def damaged(draw, data):
    """Bytes that are cut, flipped, doubled or of something else."""
    data = bytearray(data)
    action = draw.choice(["cut", "flip", "double", "other", "deep"])
    place = draw.randrange(len(data))
    if action == "cut":
        del data[place:]
    elif action == "flip":
        for _ in range(draw.randrange(1, 9)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif action == "double":
        data[place:place] = data[: draw.randrange(len(data))]
    elif action == "other":
        data[:] = draw.randbytes(draw.randrange(200))
    else:
        data[:] = b"[" * 200_000
    return bytes(data)


def json_bytes(draw, record):
    """JSON of which something is odd."""
    if draw.random() < 0.3:
        return damaged(draw, json.dumps(record).encode())
    return json.dumps(values(draw, record)).encode()


@contextmanager
def no_hang(seconds=20):
    """Raises an error in whatever takes longer."""

    def end(*_):
        raise AssertionError(f"hangs: more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
