"""Reading a mixture, beside reading its sources one after the other.

    python benchmarks/mixing.py

Examples a second of three sources mixed by `keras_mtl.data.Mixture`, as `fit`
reads it, over those of the same sources read by plain `tf.data`, in turns:
arrays (shuffled), datasets in memory (in order, and shuffled by the user), and
datasets of PNG images in TFRecords. Both sides read the same objects in batches
of 128 images of 28 × 28, four times through the sources in an epoch; the
mixture's time has in it what an epoch costs to plan and to begin. Rounds stand
beside each other, and the median of their ratios is shown with the quartiles,
of the processor's time, too: on a busy machine it tells more. Below stands the
appetite of a small model: the examples a second of its steps on one and the
same batch.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl import Task, builders
from keras_mtl.data import Mixture

BATCH, PASSES = 128, 4
SIZES = {"large": 40_000, "middle": 20_000, "small": 4_000}
TASKS = [Task(name, "multiclass", units=10) for name in SIZES]


def arrays(sizes: dict[str, int] = SIZES) -> dict[str, Any]:
    """Three sources, each labelled for one task."""
    draw = np.random.default_rng(0)
    return {
        name: (
            draw.uniform(size=(size, 28, 28, 1)).astype("float32"),
            {name: draw.integers(0, 10, size).astype("int32")},
        )
        for name, size in sizes.items()
    }


def datasets() -> dict[str, Any]:
    """The same as datasets of single examples."""
    return {
        name: tf.data.Dataset.from_tensor_slices(data)
        for name, data in arrays().items()
    }


def shuffled() -> dict[str, Any]:
    """Datasets as a user shuffles them to train on each by itself."""
    return {
        name: data.shuffle(4096, seed=0, reshuffle_each_iteration=False)
        for name, data in datasets().items()
    }


def records(folder: Path) -> dict[str, Any]:
    """A tenth of them as images in files, which are decoded while read."""
    sizes = {name: size // 10 for name, size in SIZES.items()}
    found = {}
    for name, (x, y) in arrays(sizes).items():
        path = str(folder / f"{name}.tfrecord")
        with tf.io.TFRecordWriter(path) as writer:
            for image, label in zip(x, y[name], strict=True):
                png = tf.io.encode_png(tf.cast(255 * image, "uint8")).numpy()
                writer.write(_example(png, int(label)))
        found[name] = _decoded(path, name, sizes[name])
    return found


def _example(png: bytes, label: int) -> bytes:
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


def _decoded(path: str, name: str, size: int) -> tf.data.Dataset:
    kinds = {
        "image": tf.io.FixedLenFeature([], "string"),
        "label": tf.io.FixedLenFeature([], "int64"),
    }

    def decode(record: Any) -> tuple[Any, dict[str, Any]]:
        found = tf.io.parse_single_example(record, kinds)
        image = tf.io.decode_png(found["image"], channels=1)
        image = tf.ensure_shape(tf.cast(image, "float32") / 255, (28, 28, 1))
        return image, {name: found["label"]}

    return (
        tf.data.TFRecordDataset(path)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(size))
    )


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


def appetite(rounds: int, steps: int = 100) -> float:
    """Examples a second of a small convolutional model's steps."""
    layers = keras.layers
    model = builders.hard_sharing(
        keras.Input((28, 28, 1)),
        TASKS,
        [
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
        ],
    )
    model.compile("adam")
    batch = next(iter(Mixture(arrays(), TASKS, batch_size=BATCH).dataset()))
    same = tf.data.Dataset.from_tensors(batch).repeat(steps)
    speeds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        model.fit(same, shuffle=False, verbose=0)
        speeds.append(steps * BATCH / (time.perf_counter() - start))
    return float(np.median(speeds[1:]))


def main() -> None:
    """Reads in turns and prints ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        for kind, sources in (
            ("arrays", arrays()),
            ("datasets", datasets()),
            ("shuffled", shuffled()),
            ("decoded", records(Path(folder))),
        ):
            _compare(kind, sources, rounds)
    print(f"model     {appetite(min(rounds, 5)):9,.0f} examples/s of its steps")


def _compare(kind: str, sources: dict[str, Any], rounds: int) -> None:
    epoch = itertools.count()
    total = sum(len(source) for source in plain(sources)) * PASSES
    mixture = Mixture(sources, TASKS, batch_size=BATCH, steps_per_epoch=total)
    # As in `fit`: what there is to plan is planned when an epoch begins.
    streams = {
        "unmixed": plain(sources) * PASSES,
        "mixed": [mixture.stream(epoch.__next__)],
    }
    wall: dict[str, list[float]] = {label: [] for label in streams}
    busy: dict[str, list[float]] = {label: [] for label in streams}
    for _ in range(rounds + 1):
        for label, each in streams.items():
            start, worked = time.perf_counter(), time.process_time()
            count = sum(read(stream) for stream in each)
            wall[label].append((time.perf_counter() - start) / count)
            busy[label].append((time.process_time() - worked) / count)
    print(
        f"{kind:9} unmixed {1 / np.median(wall['unmixed'][1:]):9,.0f} "
        f"mixed {1 / np.median(wall['mixed'][1:]):9,.0f} examples/s, ratio "
        f"{_ratio(wall)}; of the processor's time {_ratio(busy)}",
        flush=True,
    )


def _ratio(times: dict[str, list[float]]) -> str:
    ratios = np.divide(times["unmixed"][1:], times["mixed"][1:])
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
