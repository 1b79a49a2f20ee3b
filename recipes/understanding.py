"""What does a sentence want, and which of its words say the details?

    keras-mtl compare recipes/understanding.py --seeds 1 --sharing hard_sharing

trains each task alone and both together, with equal weights and with a
balancer. Expect on test data, in percent, in about three minutes on two CPU
cores:

                     intent    slot F1    parameters
    single-task      97.4      83.6       2,704,231
    hard_sharing     97.6      81.0       1,381,799
    uncertainty      97.6      80.3       1,381,799

That sharing helps cannot be said: the slots are 2.6 points lower or more, by
one seed. Without `--sharing`, two more ways are tried, in which each task has
an encoder of its own: `cross_stitch` mixes what the two give, `soft_sharing`
ties their weights. They have not been measured. Any balancer joins by
`--balancer NAME`.

The sentences are made by a small grammar, below. It shows the recipe at work
and tells nothing about people's language. Half of the names in test sentences
are in no other: a model has to go by their neighbours.

**People's sentences** are SNIPS and ATIS, which TensorFlow Datasets must have
prepared in `--data-dir` before, or whose files must lie there
(`keras_mtl.data.load_joint_slu` tells which):

    cd recipes
    keras-mtl train understanding.py --data snips --data-dir DIR
    keras-mtl train understanding.py --data atis --data-dir DIR --epochs 16

Expect on test data, in percent, with seed 0:

                                 SNIPS                   ATIS
                                 intent  F1    sentence  intent  F1    sentence
    this page                    97.1    90.4  77.3      97.0    95.0  85.1
    Hakkani-Tür et al. 2016      96.9    87.3  73.2      92.6    94.2  80.7
    Liu and Lane 2016            96.7    87.8  74.1      91.1    94.2  78.9
    Goo et al. 2018, slot-gated  97.0    88.8  75.5      93.6    94.8  82.2

F1 is CoNLL's, of whole slots (`keras_mtl.metrics.span_f1`, which gives what
`seqeval` does); `sentence` is the share of sentences with nothing wrong, which
`compare` shows as `sentence_accuracy`. The figures of the three papers are
those that Goo et al. (NAACL 2018) measured on the same sentences, as the README
of Zhang et al.'s code (ACL 2019) quotes them; sizes and budgets are others than
here. Liu and Lane's own paper has 98.2 and 96.0 for ATIS. Intents such as
"atis_flight#atis_airfare" are classes of their own here. These models were not
held against single-task ones yet: whether sharing helps here is not known.

No vocabulary is built: a word is two rows of a table that its hash picks, and
its first bytes, read by a small convolution, so that a word never seen is read
by its spelling. One bidirectional GRU is shared, the two heads are not. Of tags
in which each slot has a beginning, the likeliest are taken; the likeliest of
each word alone have an F1 of 88.3 and 94.6. What `keras-mtl export` writes
takes text and gives the tag of each word as text.
"""

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl.data import (
    JOINT_SLU_INTENTS,
    JOINT_SLU_SLOTS,
    load_joint_slu,
)
from keras_mtl.metrics import span_f1

# The classes of both data sets, so that one model can take either.
INTENTS = (*JOINT_SLU_INTENTS["snips"], *JOINT_SLU_INTENTS["atis"])
TAGS = tuple(
    dict.fromkeys((*JOINT_SLU_SLOTS["snips"], *JOINT_SLU_SLOTS["atis"]))
)
LETTERS = 12  # bytes of a word that are read
LONGEST = 18  # words of a training sentence; more are cut off, which is quicker
# A word's number, modulo each: two rows of a table stand for it, so that
# hardly two words have both in common.
ROWS = (8191, 8179)

SHARINGS = ("hard_sharing", "cross_stitch", "soft_sharing")

# The grammar of `--data commands`, with SNIPS's intents and slots.
SENTENCES = """
AddToPlaylist: add {artist} to {playlist_owner} {playlist} playlist
AddToPlaylist: put this {music_item} by {artist} on the {playlist} playlist
BookRestaurant: book a {restaurant_type} in {city} {timeRange}
BookRestaurant: i want a table for {party_size_number} in {city} {timeRange}
GetWeather: will it be {condition_description} in {city} {timeRange}
GetWeather: what is the weather {timeRange} in {city}
PlayMusic: play the {sort} {music_item} by {artist} on {service}
PlayMusic: play some {artist} please
RateBook: give {object_name} {rating_value} {rating_unit}
RateBook: rate the {object_select} {object_type} {rating_value} {rating_unit}
"""
# The second half of the names is in sentences of the test part alone.
NAMES = {
    "artist": "anna bell|the long hours|otto kern|mara|iron gate|luisa prado",
    "city": "oslo|cape town|lima|new haven|graz|port louis",
    "condition_description": "sunny|foggy|windy|snowing",
    "music_item": "song|album|track|tune",
    "object_name": "the red door|seven rivers|winter light|a quiet house",
    "object_select": "current|last|previous|next",
    "object_type": "novel|essay|book|saga",
    "party_size_number": "two|five|four|nine",
    "playlist": "morning run|slow sunday|road trip|deep focus",
    "playlist_owner": "my|our|jane's|tom's",
    "rating_unit": "stars|points",
    "rating_value": "1|3|4|2",
    "restaurant_type": "bistro|diner|pub|tavern",
    "service": "youtube|deezer|spotify|itunes",
    "sort": "newest|best|latest|top",
    "timeRange": "tomorrow|next week|on friday|tonight|in two hours|at noon",
}
# The tags `B-x` and `I-x` of each `I-x`, of which one must stand before it.
INSIDE = np.array([tag.startswith("I-") for tag in TAGS])
BEFORE = np.array(
    [
        [TAGS.index(b) if (b := f"B-{tag[2:]}") in TAGS else code, code]
        for code, tag in enumerate(TAGS)
    ]
)
IMPOSSIBLE = -1e9
COMMANDS = {"train": 1500, "validation": 300, "test": 500}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Words and letters as numbers, intents and slots as codes."""
    parts = commands() if source == "commands" else joint_slu(source, data_dir)
    parts["train"]["slots"] = parts["train"]["slots"][:, :LONGEST]
    return keras_mtl.Splits(
        **{
            name: (
                read(part["words"], part["slots"].shape[1]),
                {"intent": part["intent"], "slots": part["slots"]},
            )
            for name, part in parts.items()
        }
    )


def joint_slu(source: str, data_dir: str | None) -> dict[str, dict[str, Any]]:
    """SNIPS or ATIS, its codes turned into those of both."""
    parts = load_joint_slu(source, data_dir)
    intents = codes(JOINT_SLU_INTENTS[source], INTENTS)
    tags = codes(JOINT_SLU_SLOTS[source], TAGS)
    for part in parts.values():
        part["intent"] = intents[part["intent"]]
        part["slots"] = np.where(part["slots"] < 0, -1, tags[part["slots"]])
    return parts


def codes(labels: Any, all_labels: Any) -> Any:
    """The place of each label among all."""
    return np.array([all_labels.index(label) for label in labels])


def commands() -> dict[str, dict[str, Any]]:
    """Sentences that the grammar makes; those to test have names of their own.

    They show the recipe at work, and tell nothing about people's language.
    """
    draw = np.random.default_rng(0)
    rules = [line.split(": ") for line in SENTENCES.strip().splitlines()]
    parts = {}
    for name, size in COMMANDS.items():
        sentences = []
        for number in draw.integers(len(rules), size=size):
            intent, rule = rules[number]
            words, tags = [], []
            for piece in rule.split():
                kind = piece.strip("{}")
                names = NAMES.get(kind, "").split("|")
                known = names[: len(names) // 2]
                if piece != kind:
                    choice = draw.choice(names if name == "test" else known)
                    chosen = str(choice).split()
                    tags += [f"B-{kind}", *[f"I-{kind}"] * (len(chosen) - 1)]
                else:
                    chosen = [piece]
                    tags.append("O")
                words += chosen
            sentences.append((intent, " ".join(words), tags))
        parts[name] = {
            "words": [words for _, words, _ in sentences],
            "intent": codes([intent for intent, _, _ in sentences], INTENTS),
            "slots": padded([codes(tags, TAGS) for _, _, tags in sentences]),
        }
    return parts


def padded(rows: list[Any]) -> Any:
    """Rows of codes as one array, -1 behind their ends."""
    columns = itertools.zip_longest(*rows, fillvalue=-1)
    return np.array(list(columns)).T


@keras.saving.register_keras_serializable("understanding")
class ReadWords(keras.layers.Layer):
    """Sentences in; out, for each word, its number and its first bytes.

    The number is a hash, so that no vocabulary is needed; 0 stands behind the
    last word of shorter sentences, and letters end with 0.
    """

    def call(self, text: Any) -> dict[str, Any]:
        """`words` `(batch, time)` and `letters` `(batch, time, LETTERS)`."""
        words = tf.strings.split(tf.strings.lower(text, "utf-8")).to_tensor()
        # An axis of no words at all has no largest feature to pool.
        short = tf.maximum(1 - tf.shape(words)[1], 0)
        words = tf.pad(words, [[0, 0], [0, short]], constant_values="")
        numbers = tf.strings.to_hash_bucket_fast(words, 2**31 - 2) + 1
        numbers = tf.where(words == "", tf.zeros_like(numbers), numbers)
        letters = tf.io.decode_raw(words, tf.uint8, fixed_length=LETTERS)
        return {
            "words": tf.cast(numbers, "int32"),
            "letters": tf.cast(letters, "int32"),
        }

    def compute_output_spec(self, text: Any) -> dict[str, Any]:
        """The shapes of what `call` returns."""
        return {
            "words": keras.KerasTensor((None, None), "int32"),
            "letters": keras.KerasTensor((None, None, LETTERS), "int32"),
        }


@keras.saving.register_keras_serializable("understanding")
class NameTags(keras.layers.Layer):
    """Probabilities of tags in; out, the likeliest tags, as text."""

    def call(self, probabilities: Any, words: Any) -> Any:
        """Strings `(batch, time)`, empty behind the last word."""
        names = tf.gather(tf.constant(TAGS), best_tags(probabilities, words))
        return tf.where(words > 0, names, tf.zeros_like(names))

    def compute_output_spec(self, probabilities: Any, words: Any) -> Any:
        """The shape of what `call` returns."""
        return keras.KerasTensor((None, None), "string")


def best_tags(probabilities: Any, words: Any) -> Any:
    """The likeliest tags, of those in which no slot begins with its inside.

    By Viterbi's algorithm. Codes `(batch, time)`, that of "O" behind the end.
    """
    nothing = np.where(np.arange(len(TAGS)) == 0, 0, IMPOSSIBLE)  # "O" is 0
    nothing = tf.constant(nothing, "float32")
    scores = tf.math.log(tf.cast(probabilities, "float32") + 1e-9)
    scores = tf.where((words > 0)[..., None], scores, nothing)
    scores = tf.transpose(scores, [1, 0, 2])  # time first

    def forward(past: Any, now: Any) -> Any:
        same = tf.reduce_max(tf.gather(past, BEFORE, axis=1), axis=2)
        best = tf.reduce_max(past, axis=1, keepdims=True)
        return now + tf.where(INSIDE, same, best)

    def backward(code: Any, past: Any) -> Any:
        pair = tf.gather(tf.constant(BEFORE), code)
        one, two = (
            tf.gather(past, pair[:, side], batch_dims=1) for side in (0, 1)
        )
        same = tf.where(one >= two, pair[:, 0], pair[:, 1])
        return tf.where(tf.gather(INSIDE, code), same, tf.argmax(past, axis=1))

    paths = tf.scan(forward, scores, tf.zeros_like(scores[0]) + nothing)
    end = tf.zeros_like(tf.argmax(scores[0], axis=1))
    return tf.transpose(tf.scan(backward, paths, end, reverse=True))


def read(sentences: list[str], length: int) -> dict[str, Any]:
    """What the model reads, filled up or cut off to `length` words."""
    found = ReadWords()(tf.constant(sentences))
    return {
        key: _to_length(numbers.numpy(), length)
        for key, numbers in found.items()
    }


def _to_length(numbers: Any, length: int) -> Any:
    missing = max(length - numbers.shape[1], 0)
    rest = [(0, 0)] * (numbers.ndim - 2)
    return np.pad(numbers, [(0, 0), (0, missing), *rest])[:, :length]


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """An encoder of words in their context; a head for each task."""
    sharing = hp.Choice("sharing", list(SHARINGS))
    inputs = {
        "words": keras.Input((None,), dtype="int32", name="words"),
        "letters": keras.Input((None, LETTERS), dtype="int32", name="letters"),
    }
    dropout = hp.Float("dropout", 0.2, 0.6, default=0.3)
    units = hp.Choice("units", [64, 128, 192], default=128)
    # In other ways than `hard_sharing` each task has an encoder of its own.
    return keras_mtl.builders.registry[sharing](
        inputs, tasks, blocks=[encoder(inputs, units, dropout)]
    )


def encoder(inputs: dict[str, Any], units: int, dropout: float) -> Any:
    """Features `(batch, time, 2 · units)`, not negative; 0 behind the end."""
    layers = keras.layers
    words, letters = inputs["words"], inputs["letters"]
    there = words > 0
    rows = [ops.mod(words, ROWS[0]), ops.mod(words, ROWS[1]) + ROWS[0]]
    word = layers.Embedding(sum(ROWS), 64, name="word")(ops.stack(rows, -1))
    # Words that are dropped whole teach the model to spell.
    word = layers.Dropout(0.15, noise_shape=(None, None, 1), name="unknown")(
        ops.sum(word, axis=2)
    )
    shape = layers.Embedding(256, 24, name="letter")(letters)
    shape = layers.Conv2D(
        64, (1, 3), padding="same", activation="relu", name="shape"
    )(shape)
    features = layers.Concatenate(name="features")(
        [word, ops.max(shape, axis=2)]
    )
    features = layers.Dropout(dropout, name="features_dropout")(features)
    context = layers.Bidirectional(
        layers.GRU(units, return_sequences=True), name="context"
    )(features, mask=there)
    context = layers.Dropout(dropout, name="context_dropout")(context)
    merged = layers.Dense(2 * units, activation="relu", name="merged")(context)
    merged = merged * ops.cast(there, merged.dtype)[..., None]
    return keras.Model(inputs, merged, name="encoder")


def slot_f1(model: Any, x: Any, truth: Any) -> float:
    """F1 of the slots: right are those with the right words and name."""
    predicted = likeliest(model, x)["slots"]
    true = truth["slots"]
    named = np.array(TAGS)
    return span_f1(
        [named[row[row >= 0]].tolist() for row in true],
        [
            named[row[there >= 0]].tolist()
            for row, there in zip(predicted, true, strict=True)
        ],
    )


def sentence_accuracy(model: Any, x: Any, truth: Any) -> float:
    """The share of sentences of which all is right that the model tells."""
    right = np.ones(len(truth["intent"]), bool)
    for task, predicted in likeliest(model, x).items():
        same = (predicted == truth[task]) | (truth[task] < 0)
        right &= same.reshape(len(same), -1).all(axis=1)
    return float(right.mean())


def likeliest(model: Any, x: Any) -> dict[str, Any]:
    """The likeliest intents and tags, by task."""
    outputs = model.predict(x, batch_size=256, verbose=0)
    found = {}
    if "intent" in outputs:
        found["intent"] = outputs["intent"].argmax(axis=-1)
    if "slots" in outputs:
        found["slots"] = best_tags(outputs["slots"], x["words"]).numpy()
    return found


def deploy(model: Any) -> keras.Model:
    """A model that reads text.

    It gives probabilities of the intents, `(batch, len(INTENTS))`, and a tag
    for each word, `(batch, time)` strings; words end at white space.
    """
    text = keras.Input((), dtype="string", name="text")
    read_words = ReadWords(name="read_words")(text)
    outputs = dict(model(read_words))
    if "slots" in outputs:
        outputs["slots"] = NameTags(name="name_tags")(
            outputs["slots"], read_words["words"]
        )
    return keras.Model(text, outputs)


recipe = keras_mtl.Recipe(
    name="understanding",
    tasks=[
        keras_mtl.Task(
            "intent",
            "multiclass",
            units=len(INTENTS),
            class_names=INTENTS,
            head=keras.Sequential(
                [
                    keras.layers.GlobalMaxPooling1D(),
                    keras.layers.Dropout(0.4),
                    keras.layers.Dense(len(INTENTS), activation="softmax"),
                ]
            ),
        ),
        keras_mtl.Task("slots", "tagging", units=len(TAGS), class_names=TAGS),
    ],
    sources=("commands", "snips", "atis"),
    load=load,
    build=build,
    optimizer=keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(3e-3, 500, 0.75)
    ),
    batch_size=64,
    epochs=12,
    balancers=("uncertainty",),
    sharings=SHARINGS,
    scores={
        "slots": [
            keras_mtl.Score("f1", "max", slot_f1),
            keras_mtl.Score("sentence_accuracy", "max", sentence_accuracy),
        ]
    },
    deploy=deploy,
)
