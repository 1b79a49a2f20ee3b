"""Strings of digits as tokens, to be copied or written backwards."""

import numpy as np

PAD, START, END = 0, 1, 2
VOCABULARY = 8


def strings(count, seed=0, longest=4):
    """Tokens `(count, longest)`, padded."""
    draw = np.random.default_rng(seed)
    x = draw.integers(3, VOCABULARY, size=(count, longest))
    for row, size in zip(x, draw.integers(1, longest + 1, count), strict=True):
        row[size:] = PAD
    return x


def targets(x, write=list):
    """Target tokens with the start, and labels with the end."""
    start = np.full((len(x), x.shape[1] + 1), PAD)
    labels = start.copy()
    for i, row in enumerate(x):
        written = write([token for token in row if token != PAD])
        start[i, : len(written) + 1] = [START, *written]
        labels[i, : len(written) + 1] = [*written, END]
    return start, labels


def backwards(tokens):
    return tokens[::-1]
