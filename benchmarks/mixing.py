"""Reading a mixture, beside reading its sources one after the other.

    python benchmarks/mixing.py

Examples a second of three sources mixed by `keras_mtl.data.Mixture`, over those
of the same sources read by plain `tf.data`, in turns: arrays (shuffled) and
datasets (in order). Batches of 128 images of 28 × 28; rounds stand beside each
other, and the median of their ratios is shown with the quartiles.
"""

import argparse
import time
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl import Task
from keras_mtl.data import Mixture

BATCH = 128
SIZES = {"large": 40_000, "middle": 20_000, "small": 4_000}


def arrays() -> dict[str, Any]:
    """Three sources, each labelled for one task."""
    draw = np.random.default_rng(0)
    return {
        name: (
            draw.uniform(size=(size, 28, 28, 1)).astype("float32"),
            {name: draw.integers(0, 10, size).astype("int32")},
        )
        for name, size in SIZES.items()
    }


def datasets() -> dict[str, Any]:
    """The same as datasets of single examples."""
    return {
        name: tf.data.Dataset.from_tensor_slices(data)
        for name, data in arrays().items()
    }


def read(batches: Any) -> int:
    """Reads all batches and counts the examples."""
    return sum(int(x.shape[0]) for x, *_ in batches)


def plain(sources: dict[str, Any]) -> list[Any]:
    """The sources by themselves, as a user of `tf.data` reads them."""
    found = []
    for name, source in sources.items():
        if not isinstance(source, tf.data.Dataset):
            source = tf.data.Dataset.from_tensor_slices(source)
            source = source.shuffle(SIZES[name], seed=0)
        found.append(source.batch(BATCH).prefetch(tf.data.AUTOTUNE))
    return found


def main() -> None:
    """Reads in turns and prints ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    tasks = [Task(name, "multiclass", units=10) for name in SIZES]
    for kind, sources in (("arrays", arrays()), ("datasets", datasets())):
        mixture = Mixture(sources, tasks, batch_size=BATCH)
        unmixed = plain(sources)
        speeds: dict[str, list[float]] = {"unmixed": [], "mixed": []}
        for epoch in range(rounds + 1):
            mixed = [mixture.dataset(epoch)]
            for label, streams in (("unmixed", unmixed), ("mixed", mixed)):
                start = time.perf_counter()
                count = sum(read(stream) for stream in streams)
                speeds[label].append(count / (time.perf_counter() - start))
        ratios = np.divide(speeds["mixed"][1:], speeds["unmixed"][1:])
        low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        print(
            f"{kind:9} unmixed {np.median(speeds['unmixed'][1:]):9,.0f} "
            f"mixed {np.median(speeds['mixed'][1:]):9,.0f} examples/s, "
            f"ratio {median:.2f} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main()
