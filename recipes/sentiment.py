"""Is a review good or bad? Sixteen kinds of reviews, each a task of its own.

    keras-mtl compare recipes/sentiment.py --data-dir DIR

trains each domain alone and all together, in two ways. Expect on test reviews,
with one seed (add `--seeds 1`; by default there are three):

                    mean of 16    lowest, MR    parameters
    single-task     .831          .678          16,786,448
    hard_sharing    .865          .695           1,049,648
    ple             .855          .688           1,058,864

Sharing helps: by 3.5 points in the mean and in each domain (.3 in camera_photo
to 7.8 in music), at a sixteenth of the parameters and in less than half of the
time. Parts of their own (`ple`) do not pay here: the mean is a point lower. One
domain's figure is uncertain by some 1.7 points, as it has 400 test reviews.

The number of epochs was chosen for `hard_sharing`, on validation data; more of
them (8, with a dropout of .6) did not help the single-task models there. Liu et
al.'s adversarial model is remembered to have .861, with LSTMs and pretrained
word vectors; this was not held against their paper.

The data is FDU-MTL (Liu, Qiu and Huang, "Adversarial Multi-task Learning for
Text Classification", ACL 2017): some 1,600 reviews to learn from and 400 to
test in each of 16 domains, 14 of them of Amazon's products. An eighth of the
former is for validation. TensorFlow Datasets must have prepared it in
`--data-dir` before, or its two files must lie there
(`keras_mtl.data.load_review_domains` tells which).

    keras-mtl compare recipes/sentiment.py --data imdb_and_yelp --data-dir DIR

learns two data sets of TFDS, `imdb_reviews` and `yelp_polarity_reviews`, the
same way, if they are prepared there; it has not been measured.

A review is a bag of words and of pairs of neighbours. Each is a row of a table
that its hash picks, so that there is no vocabulary; their sum is one layer away
from the heads. In `ple` this layer is an expert, one for all domains and one
for each.

Examples have a review of each domain side by side. So no label is missing, and
a model of one domain reads a sixteenth of what one of all reads. What
`keras-mtl export` writes takes one text and gives the answer of each domain.

What the shared words are worth to a domain without labels, or with few:

    python benchmarks/transfer.py DIRECTORY --data-dir DIR

(here with `--domains books kitchen_housewares MR`; by default with all.)

In the mean of these three, with 200 labels, the encoder of the other fifteen
domains gives 77.0 percent, learning from scratch 68.1; with 50 labels 65.2 and
61.2 (one seed; `benchmarks/results/transfer`). But what the fifteen heads say
gives 76.3 without any label: so few labels, and 20 passes over them, hardly pay
for a new head.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl.data import REVIEW_DOMAINS, load_review_domains

LONGEST = 256  # words of a review that are read
# Rows of the table of embeddings, for single words and for pairs. A word is
# its hash, so that no vocabulary is needed; some words share a row.
WORDS, PAIRS = 2**15, 2**15
HASHES = 2**20
# For `--data imdb_and_yelp`: the data sets of TFDS, and how many reviews.
FROM_TFDS = {"imdb": "imdb_reviews", "yelp": "yelp_polarity_reviews"}
MOST = {"train": 25_000, "test": 10_000}
DOMAINS = tuple(dict.fromkeys((*REVIEW_DOMAINS, *FROM_TFDS)))
# What the builders are told beside the blocks. All share the words; experts
# are shared or a domain's own.
WAYS: dict[str, dict[str, int]] = {
    "hard_sharing": {},
    "ple": {"depth": 1, "num_shared_experts": 1, "num_task_experts": 1},
}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Reviews side by side: an example has one of each domain."""
    if source == "review_domains":
        parts = load_review_domains(data_dir)
    else:
        parts = imdb_and_yelp(data_dir)
    training, validation = {}, {}
    for domain, part in parts["train"].items():
        # An eighth, the same for every seed.
        order = np.random.default_rng(0).permutation(len(part["label"]))
        held_out = len(order) // 8
        validation[domain] = rows(part, order[:held_out])
        training[domain] = rows(part, order[held_out:])
    return keras_mtl.Splits(
        *(examples(p) for p in (training, validation, parts["test"]))
    )


def rows(part: dict[str, Any], chosen: Any) -> dict[str, Any]:
    """Some of the reviews of a domain."""
    return {
        "text": [part["text"][row] for row in chosen],
        "label": part["label"][chosen],
    }


def examples(parts: dict[str, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """Words `(n, len(DOMAINS), LONGEST)`, and labels `(n,)` of each domain.

    A model of one domain then reads no reviews but its own, and none is
    without a label. Where a domain has fewer reviews, the last examples have
    no words of it, and -1, a missing label.
    """
    count = max(len(part["label"]) for part in parts.values())
    words = np.zeros((count, len(DOMAINS), LONGEST), "int32")
    labels = {}
    for domain, part in parts.items():
        size = len(part["label"])
        words[:size, DOMAINS.index(domain)] = read(part["text"])
        labels[domain] = np.full(count, -1, "int32")
        labels[domain][:size] = part["label"]
    return words, labels


def read(texts: list[str]) -> Any:
    """The numbers of each review's words, `(n, LONGEST)`, 0 behind the end."""
    numbers = ReadWords()(tf.constant(texts)).numpy()
    return np.pad(numbers, [(0, 0), (0, LONGEST - numbers.shape[1])])


def imdb_and_yelp(data_dir: str | None) -> dict[str, Any]:
    """Two data sets of TFDS, in the form of `load_review_domains`."""
    import tensorflow_datasets as tfds

    parts: dict[str, Any] = {"train": {}, "test": {}}
    for domain, name in FROM_TFDS.items():
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.data_path.exists():
            raise FileNotFoundError(
                f"`{name}` is not prepared in {builder.data_path.parent}: run "
                f"tfds.builder({name!r}).download_and_prepare(), or name "
                "another folder by --data-dir."
            )
        for split, most in MOST.items():
            found = list(
                tfds.as_numpy(
                    builder.as_dataset(split=split, shuffle_files=False).take(
                        most
                    )
                )
            )
            parts[split][domain] = {
                "text": [row["text"].decode("utf-8") for row in found],
                "label": np.array([row["label"] for row in found]),
            }
    return parts


@keras.saving.register_keras_serializable("sentiment")
class ReadWords(keras.layers.Layer):
    """Reviews in; out, a number for each word, and 0 behind the last one."""

    def call(self, text: Any) -> Any:
        """Numbers `(batch, time)` of at most `LONGEST` words."""
        words = tf.strings.split(tf.strings.lower(text, "utf-8"))
        words = words[:, :LONGEST].to_tensor()
        numbers = tf.strings.to_hash_bucket_fast(words, HASHES - 1) + 1
        numbers = tf.where(words == "", tf.zeros_like(numbers), numbers)
        return tf.cast(numbers, "int32")

    def compute_output_spec(self, text: Any) -> Any:
        """The shape of what `call` returns."""
        return keras.KerasTensor((None, None), "int32")


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """A bag of words and of pairs, a layer that merges them, heads."""
    sharing = hp.Choice("sharing", list(WAYS))
    width = hp.Choice("width", [8, 16, 32], default=16)
    dropout = hp.Float("dropout", 0.2, 0.7, default=0.5)
    words = keras.Input((len(DOMAINS), None), dtype="int32", name="words")
    return keras_mtl.builders.registry[sharing](
        words,
        [
            keras_mtl.Task(name, "binary", head=head(place, len(tasks)))
            for place, name in enumerate(tasks)
        ],
        blocks=[
            bag(words, [DOMAINS.index(name) for name in tasks], width, dropout),
            keras.layers.Dense(32, activation="gelu", name="merged"),
        ],
        **WAYS[sharing],
    )


def bag(words: Any, chosen: list[int], width: int, dropout: float) -> Any:
    """Sums of the vectors of words and pairs, `(batch, chosen, width)`."""
    layers = keras.layers
    own = ops.take(words, chosen, axis=1)
    # Of two neighbours, the second is behind the end if the first is.
    there = ops.concatenate([own > 0, own[..., 1:] > 0], axis=-1)
    pairs = own[..., :-1] * 31 + own[..., 1:]
    numbers = ops.concatenate(
        [ops.mod(own, WORDS), ops.mod(pairs, PAIRS) + WORDS], axis=-1
    )
    # From 0 on: what training never shows says nothing, instead of noise.
    vectors = layers.Embedding(
        WORDS + PAIRS, width, embeddings_initializer="zeros", name="vectors"
    )(numbers)
    counted = ops.cast(there, vectors.dtype)
    kept = layers.Dropout(dropout, name="kept")(counted)
    total = ops.einsum("bdt,bdtc->bdc", kept, vectors)
    length = ops.maximum(ops.sum(counted, axis=-1, keepdims=True), 1)
    return keras.Model(words, total / ops.sqrt(length), name="bag")


def head(place: int, places: int) -> Any:
    """Whether the review at a place is good: a probability."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Cropping1D((place, places - 1 - place)),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid", dtype="float32"),
        ]
    )


def deploy(model: Any) -> keras.Model:
    """A model that reads text; gives the probability of "good" by domain."""
    text = keras.Input((), dtype="string", name="text")
    words = ReadWords(name="read_words")(text)
    # The same review, as if each domain had it.
    everywhere = ops.repeat(words[:, None], len(DOMAINS), axis=1)
    return keras.Model(text, dict(model(everywhere)))


recipe = keras_mtl.Recipe(
    name="sentiment",
    tasks=[keras_mtl.Task(domain, "binary") for domain in DOMAINS],
    sources={"review_domains": REVIEW_DOMAINS, "imdb_and_yelp": [*FROM_TFDS]},
    load=load,
    build=build,
    optimizer=keras.optimizers.Adam(2e-3),
    batch_size=32,  # of each domain
    epochs=5,
    balancers=(),
    sharings=tuple(WAYS),
    deploy=deploy,
)
