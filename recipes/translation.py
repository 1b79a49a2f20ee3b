"""One encoder, three decoders: English into German, French and Czech.

    pip install "keras-mtl[recipes]"
    keras-mtl compare recipes/translation.py --seeds 1 --sharing hard_sharing

trains every language alone, and all with one encoder. Expect BLEU (sacrebleu,
greedy decoding) on test sentences, and parameters of all models together:

                     de      fr      cs      parameters
    single-task      97.3    99.9    99.8       871,066
    hard_sharing     94.9    99.9    99.8       690,330
    uncertainty      96.0    99.8    99.8       690,330

This took two cores that were busy with other things 20 minutes. From one seed
nothing can be said about whether sharing helps; it answered in .42 times the
time of three models. Without `--sharing`, two more ways are tried, in which
languages share the English words and have encoders of their own: `cross_stitch`
mixes what these give, `soft_sharing` ties their weights. They have not been
measured. Any balancer joins by `--balancer NAME`.

The sentences are sums of money in words, which the library `num2words` spells:
"forty-three thousand, one hundred and eighty-one euro, twenty-five cents". Sums
of the same thousand are in one part, so that beginnings are new in the test.

`--data numbers_few_cs` leaves 40 of the 4,000 Czech translations. Sentences
that have one are drawn more often, by a temperature of 5. Expect for Czech,
with `--seeds 1`, a BLEU of 61.8 alone and of 72.4 with the encoder that learns
from the other two languages as well.

`--data multi30k --data-dir DIR --epochs 20` is for real sentences: 29,000
captions of Multi30k, which TensorFlow Datasets must have prepared in DIR before
(`load_multi30k` tells how). `--data multi30k_few_cs` leaves a tenth of the
Czech ones. No figures can be told yet: it was not trained to its end.

Words are cut into pieces by WordPiece, trained by the library `tokenizers` on
the training part of each language. What is exported takes an English string and
gives one in each language: the pieces are found and joined in its graph.
"""

import itertools
import re
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mtl
from keras_mtl.data import (
    Mixture,
    SubwordDetokenizer,
    SubwordTokenizer,
    load_multi30k,
)
from keras_mtl.heads import SequenceDecoder, SequenceHead

TARGETS = ("de", "fr", "cs")
# Tokens that no text can write: a space would have become "▁".
SPECIAL = (" pad", " start", " end", "�")
PAD, START, END, UNKNOWN = range(4)
# Pieces of each language, and tokens of a sentence with its end.
VOCABULARY = {"numbers": 150, "multi30k": 2000}
LENGTH = 40
# Of so many sentences, one has its Czech translation in `…_few_cs`.
FEW = {"numbers": 100, "multi30k": 10}
NUMBERS = {"train": 4000, "validation": 300, "test": 1000}
BATCH = 64
# So many batches are sorted together by the length of their sentences.
POOL = 8
# So many of the tokens that are read in training are unknown ones instead:
# decoders must look at the English sentence, not only at their own words.
WORD_DROPOUT = 0.1
TEMPERATURE = 5.0
# More than one beam searches longer for better translations.
BEAMS = 1

# What the builders are told beside the blocks. All share the English words.
WAYS: dict[str, dict[str, Any]] = {
    "hard_sharing": {},
    "cross_stitch": {"depth": 2, "after": ["context"]},
    "soft_sharing": {"depth": 2},
}

# Spelling of the pieces, of the data loaded last. Models keep a copy.
pieces: dict[str, list[str]] = {}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Indices of subwords: English, what decoders read, what they write."""
    require("num2words", "sacrebleu", "tokenizers")
    name = source.removesuffix("_few_cs")
    parts = numbers() if name == "numbers" else load_multi30k(data_dir)
    few = slice(None, None, FEW[name] if source.endswith("_few_cs") else 1)
    for language, sentences in parts["train"].items():
        labelled = sentences[few] if language == "cs" else sentences
        pieces[language] = train_pieces(labelled, VOCABULARY[name])
    tables = {part: encode(texts) for part, texts in parts.items()}
    x, y = tables["train"]
    with_czech = np.zeros(len(x["en"]), bool)
    with_czech[few] = True
    corpora = {"all": rows(x, y, with_czech, TARGETS)}
    if not with_czech.all():
        corpora["without_cs"] = rows(x, y, ~with_czech, TARGETS[:2])
    return keras_mtl.Splits(
        train=stream(corpora),
        validation=tables["validation"],
        test=tables["test"],
        truth={part: parts[part] for part in ("validation", "test")},
    )


def require(*packages: str) -> None:
    """Fails before training, rather than behind it, where one is missing."""
    missing = [name for name in packages if not find_spec(name)]
    if missing:
        raise ModuleNotFoundError(
            f"This recipe needs {', '.join(missing)}. Install them with: "
            "pip install 'keras-mtl[recipes]'"
        )


def numbers() -> dict[str, dict[str, list[str]]]:
    """Sums of money below 100,000 euros in words, by part and language.

    Sums of the same thousand are all in one part: of 42,000 to 42,999 euros,
    say, the training part has some or none. So models are tested on sums
    whose beginning they have never read.
    """
    from num2words import num2words

    generator = np.random.default_rng(0)
    thousands = generator.permutation(100)
    blocks = {
        "train": thousands[:70],
        "validation": thousands[70:80],
        "test": thousands[80:],
    }
    parts = {}
    for part, chosen in blocks.items():
        size = NUMBERS[part]
        cents = generator.choice(chosen, size) * 100_000
        cents += generator.integers(1, 100_000, size)
        parts[part] = {
            language: [
                num2words(int(n), lang=language, to="currency", currency="EUR")
                for n in cents
            ]
            for language in ("en", *TARGETS)
        }
    return parts


def train_pieces(sentences: list[str], size: int) -> list[str]:
    """The pieces of words that WordPiece finds, by index."""
    from tokenizers import trainers

    tokenizer = wordpiece({})
    tokenizer.train_from_iterator(
        sentences,
        trainers.WordPieceTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            # Pieces within words are told by the "▁" that they lack. With a
            # sign of their own, two trainings would give two vocabularies.
            continuing_subword_prefix="",
            show_progress=False,
        ),
    )
    indices = tokenizer.get_vocab()
    return sorted(indices, key=indices.get)


def wordpiece(vocabulary: Mapping[str, int]) -> Any:
    """The tokenizer of the library, told what `SubwordTokenizer` does."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    rules = [
        normalizers.Replace(Regex(r"[\t\n\r\p{Z}]+"), " "),
        normalizers.Strip(),
        normalizers.Prepend("▁"),
        normalizers.Replace(" ", "▁"),
    ]
    if vocabulary:
        # One unknown character; the library would give up the whole word.
        known = re.escape("".join(k for k in vocabulary if len(k) == 1))
        rules.append(normalizers.Replace(Regex(f"[^{known}]"), "�"))
    tokenizer = Tokenizer(
        models.WordPiece(
            dict(vocabulary), unk_token="�", continuing_subword_prefix=""
        )
    )
    tokenizer.normalizer = normalizers.Sequence(rules)
    # Punctuation marks are words of their own.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"▁?\p{P}|▁?[^▁\p{P}]+|▁"), "isolated"
    )
    return tokenizer


def encode(texts: Mapping[str, list[str]]) -> tuple[Any, Any]:
    """Inputs and labels of one part, `(n, LENGTH)` each."""
    x, y = {}, {}
    for language, sentences in texts.items():
        vocabulary = {p: i for i, p in enumerate(pieces[language])}
        found = wordpiece(vocabulary).encode_batch(sentences)
        indices = [sentence.ids for sentence in found]
        if language == "en":
            x["en"] = padded(indices)
        else:
            y[language] = padded([[*tokens, END] for tokens in indices])
            x[f"{language}_in"] = padded([[START, *t] for t in indices])
            x[f"{language}_in"][y[language] == PAD] = PAD
    return x, y


def padded(sentences: list[list[int]]) -> Any:
    """`(n, LENGTH)`, int32: cut, or filled up with `PAD`."""
    table = np.full((len(sentences), LENGTH), PAD, "int32")
    for row, tokens in zip(table, sentences, strict=True):
        row[: len(tokens)] = tokens[:LENGTH]
    return table


def rows(x: Any, y: Any, which: Any, languages: Any) -> tuple[Any, Any]:
    """Some sentences, in English and some languages."""
    read = ["en", *(f"{language}_in" for language in languages)]
    return (
        {name: x[name][which] for name in read},
        {language: y[language][which] for language in languages},
    )


def stream(corpora: Mapping[str, Any]) -> tf.data.Dataset:
    """Batches of sentences that are about as long, cut to the longest.

    Small corpora are drawn from more often than their size says.
    """
    mixture = Mixture(
        corpora,
        recipe.tasks,
        batch_size=POOL * BATCH,
        rates="temperature",
        temperature=TEMPERATURE,
    )
    epoch = itertools.count()
    steps = mixture.steps_per_epoch * POOL
    return (
        mixture.stream(epoch.__next__)
        .map(by_length)
        .unbatch()
        .shuffle(4 * POOL, seed=0)
        .map(shortened)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(2)
    )


def by_length(x: Any, y: Any) -> tuple[Any, Any]:
    """Sorted into batches, `(POOL, BATCH, LENGTH)`."""
    longest = tf.reduce_max([tokens(t) for t in x.values()], axis=0)
    order = tf.argsort(longest)
    return tf.nest.map_structure(
        lambda t: tf.reshape(tf.gather(t, order), (POOL, BATCH, LENGTH)), (x, y)
    )


def tokens(indices: Any) -> Any:
    """How many tokens there are but padding, of each sentence."""
    return tf.math.count_nonzero(indices != PAD, axis=-1, dtype="int32")


def shortened(x: Any, y: Any) -> tuple[Any, Any]:
    """Without columns of nothing but padding, and with word dropout."""
    x, y = dict(x), dict(y)
    for name, indices in x.items():
        # One column is left where no sentence has a translation.
        longest = tf.maximum(tf.reduce_max(tokens(indices)), 1)
        indices = indices[:, :longest]
        if name != "en":
            language = name.removesuffix("_in")
            y[language] = y[language][:, :longest]
        drop = tf.random.uniform(tf.shape(indices)) < WORD_DROPOUT
        x[name] = tf.where(drop & (indices != PAD), UNKNOWN, indices)
    return x, y


@keras.saving.register_keras_serializable("translation")
class Subwords(keras.layers.Embedding):
    """Embeddings of pieces of words, which knows their spelling."""

    def __init__(
        self, vocabulary: list[str], width: int, **kwargs: Any
    ) -> None:
        super().__init__(len(vocabulary), width, mask_zero=True, **kwargs)
        self.vocabulary = list(vocabulary)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "vocabulary": self.vocabulary,
            "width": self.output_dim,
        }


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """A bidirectional GRU that languages share in some way, and decoders."""
    if not pieces:
        load(recipe.sources[0], None)
    sharing = hp.Choice("sharing", list(WAYS))
    layers = keras.layers
    width = width_for(pieces["en"])
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.2)
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("en", *(f"{task}_in" for task in tasks))
    }
    return keras_mtl.builders.registry[sharing](
        inputs,
        [decoder(name) for name in tasks],
        blocks=[
            Subwords(pieces["en"], width, name="subwords"),
            layers.Dropout(dropout, name="dropout"),
            layers.Bidirectional(
                layers.GRU(width // 2, return_sequences=True), name="context"
            ),
            layers.Dropout(dropout, name="context_dropout"),
        ],
        **WAYS[sharing],
    )


def width_for(vocabulary: list[str]) -> int:
    """Of embeddings and states: a language of few words needs less."""
    return 256 if len(vocabulary) > 1000 else 128


def decoder(language: str) -> keras_mtl.Task:
    """The task with its vocabulary and its head."""
    return keras_mtl.Task(
        language,
        "sequence",
        units=len(pieces[language]),
        metrics=[],
        head=SequenceHead(
            len(pieces[language]), hidden=width_for(pieces[language])
        ),
        class_names=pieces[language],
    )


def written(model: Any, indices: Any, language: str) -> Any:
    """Tokens of the translation of English ones, as symbolic tensors."""
    head = model.get_layer(language)
    encoder = keras.Model(model.input["en"], head.input[0])
    decode = SequenceDecoder(head, LENGTH, BEAMS, name=f"write_{language}")
    return decode(encoder(indices))["tokens"]


def translate(model: Any, x: Any, language: str) -> list[str]:
    """English sentences, as indices, in one of the languages."""
    english = keras.Input((None,), dtype="int32")
    translator = keras.Model(english, written(model, english, language))
    found = translator.predict(x["en"], batch_size=256, verbose=0)
    spelling = ["", "", "", *model.tasks[language].class_names[UNKNOWN:]]
    return [
        "".join(spelling[i] for i in row).replace("▁", " ").strip()
        for row in found
    ]


def bleu(language: str, model: Any, x: Any, truth: Any) -> float:
    """BLEU as sacrebleu counts it: cased, on whole sentences."""
    from sacrebleu import corpus_bleu

    found = translate(model, x, language)
    return float(corpus_bleu(found, [truth[language]]).score)


def pictures(model: Any, x: Any, truth: Any) -> dict[str, Any]:
    """What became of a few sentences, beside what it should have been."""
    from matplotlib.figure import Figure

    shown = 6
    few = {"en": x["en"][:shown]}
    figures = {}
    for language in model.tasks:
        figure = Figure(figsize=(10, 0.7 * shown))
        for row, (text, reference, english) in enumerate(
            zip(
                translate(model, few, language),
                truth[language],
                truth["en"],
                strict=False,
            )
        ):
            figure.text(
                0.02,
                1 - (row + 0.9) / shown,
                f"en   {english}\n{language}   {text}\nref  {reference}",
                family="monospace",
                fontsize=8,
            )
        figures[f"English into {language}"] = figure
    return figures


def deploy(model: Any) -> Any:
    """Takes an English string, gives one in each language."""
    english = keras.Input((), dtype="string", name="en")
    indices = SubwordTokenizer(
        model.get_layer("subwords").vocabulary,
        LENGTH,
        unknown=UNKNOWN,
        name="tokenizer",
    )(english)
    return keras.Model(
        english,
        {
            name: SubwordDetokenizer(
                task.class_names, special=UNKNOWN, name=f"join_{name}"
            )(written(model, indices, name))
            for name, task in model.tasks.items()
        },
        name="translation",
    )


def optimizer(hp: Any) -> keras.optimizers.Optimizer:
    """Adam, whose steps get smaller by half every 1,500."""
    rate = hp.Float("learning_rate", 5e-4, 4e-3, sampling="log", default=2e-3)
    return keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(rate, 1500, 0.5),
        global_clipnorm=1.0,
    )


recipe = keras_mtl.Recipe(
    name="translation",
    tasks=[
        keras_mtl.Task(language, "sequence", metrics=[]) for language in TARGETS
    ],
    sources=("numbers", "numbers_few_cs", "multi30k", "multi30k_few_cs"),
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=BATCH,
    epochs=8,
    balancers=("uncertainty",),
    sharings=tuple(WAYS),
    scores={
        language: [keras_mtl.Score("bleu", "max", partial(bleu, language))]
        for language in TARGETS
    },
    pictures=pictures,
    deploy=deploy,
)
