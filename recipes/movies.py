"""Movies: how many stars, liked or not, and which of all to show.

    keras-mtl compare recipes/movies.py

trains every task alone and all three together in three ways, on made ratings,
three seeds each. Expect on test ratings in about four minutes on two CPU cores:

                    rating, rmse    liked, AUC      watched, top 10   Δm, %
    single-task     .671 ± .017     .816 ± .004     .128 ± .004        0.0 ± 1.6
    hard_sharing    .661 ± .028     .838 ± .002     .127 ± .003       +1.2 ± 2.1
    mmoe            .661 ± .009     .831 ± .002     .126 ± .000       +0.6 ± 0.4
    ple             .652 ± .006     .834 ± .002     .126 ± .003       +1.4 ± 0.9
    uncertainty     .675 ± .029     .834 ± .000     .126 ± .003       +0.1 ± 1.8

Sharing does not help measurably in the mean; liking gains by it, and the three
tasks need 108,546 parameters instead of 302,018 and half of the time.

`--data 100k` reads the 100,000 ratings of MovieLens that TensorFlow Datasets
must have prepared in `--data-dir` before (it downloads 5 MB):

    import tensorflow_datasets as tfds
    movies = tfds.builder("movielens/100k-ratings", data_dir="DIR")
    movies.download_and_prepare()

No figures are stated for it: it was not to be had where this was written.

Two towers make a vector of a person and a vector of a movie. Rating and liking
read both, and the genres; retrieval reads the person's alone and ranks the
whole catalogue by it, with the movies' own vectors as weights of its softmax.
So all tasks share the table of movies, and rating and liking share experts too.

Made ratings: 600 people and 400 movies with hidden tastes of 4 numbers; a
rating is their product with a few habits and noise, cut to 1..5 stars; people
see what they are likely to like. They show that the page works, not what movies
are like.

A fifth of the ratings is for tests and a tenth for validation, drawn at random:
the usual split for this data, which lets a model see a person's later ratings
before earlier ones.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

import keras_mtl
from keras_mtl.data import tasks_from_tfds

# Numbers go from 0; MovieLens counts from 1, so that 0 is nobody.
PEOPLE, MOVIES, AGES, OCCUPATIONS, GENRES = 944, 1683, 7, 22, 21
AGE_GROUPS = (1, 18, 25, 35, 45, 50, 56)  # as MovieLens has them
LIKED = 4  # stars and more
FEATURES = {
    "person": "user_id",
    "movie": "movie_id",
    "age": "bucketized_user_age",
    "gender": "user_gender",
    "occupation": "user_occupation_label",
    "genres": "movie_genres",
}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Ratings in three parts, 7 : 1 : 2."""
    x, stars = made_ratings() if source == "made" else movielens(data_dir)
    y = {
        "rating": stars.astype("float32"),
        "liked": (stars >= LIKED).astype("int64"),
        "watched": x["movie"],
    }
    order = np.random.default_rng(0).permutation(len(stars))
    ends = [int(0.7 * len(order)), int(0.8 * len(order))]
    return keras_mtl.Splits(
        *(
            tuple(
                {name: values[rows] for name, values in part.items()}
                for part in (x, y)
            )
            for rows in np.split(order, ends)
        )
    )


def movielens(data_dir: str | None) -> tuple[dict[str, Any], Any]:
    """The ratings of MovieLens 100K as arrays."""
    found = tasks_from_tfds(
        "movielens/100k-ratings",
        {"rating": "user_rating"},
        inputs=list(FEATURES.values()),
        data_dir=data_dir,
    )
    # Of which a movie has several genres: rows of different lengths.
    rows = found.dataset("train").padded_batch(
        100_000,
        padding_values=(dict.fromkeys(FEATURES.values()) | PADDING, None),
    )
    x, y = next(iter(rows.as_numpy_iterator()))
    genres = np.zeros((len(y["rating"]), GENRES), "float32")
    row, place = np.nonzero(x["movie_genres"] >= 0)
    genres[row, x["movie_genres"][row, place]] = 1
    return {
        "person": x["user_id"].astype("int32"),
        "movie": x["movie_id"].astype("int32"),
        "age": np.searchsorted(AGE_GROUPS, x["bucketized_user_age"]),
        "gender": x["user_gender"].astype("int32"),
        "occupation": x["user_occupation_label"].astype("int32"),
        "genres": genres,
    }, y["rating"]


PADDING = {"movie_genres": np.int64(-1)}


def made_ratings(
    people: int = 600, movies: int = 400, each: int = 50
) -> tuple[dict[str, Any], Any]:
    """Ratings by hidden tastes, in MovieLens's columns."""
    draw = np.random.default_rng(1)
    tastes = draw.normal(size=(people, 4))
    kinds = draw.normal(size=(movies, 4))
    fit = tastes @ kinds.T / 2
    # People see what fits them, and what many see.
    fame = draw.normal(size=movies)
    chance = 2 * fit + fame + draw.gumbel(size=fit.shape)
    seen = np.argsort(-chance, axis=1)[:, :each]
    person = np.repeat(np.arange(people), each)
    movie = seen.ravel()
    mood = draw.normal(size=people)[person] * 0.3 + 3.2
    noise = draw.normal(size=len(person)) * 0.5
    stars = np.clip(np.round(mood + fit[person, movie] + noise), 1, 5)
    genres = np.zeros((movies, GENRES), "float32")
    genres[:, :4] = kinds > 0.5
    age = np.digitize(tastes[:, 0], np.linspace(-1.5, 1.5, AGES - 1))
    return {
        "person": (person + 1).astype("int32"),
        "movie": (movie + 1).astype("int32"),
        "age": age[person].astype("int32"),
        "gender": (tastes[person, 1] > 0).astype("int32"),
        "occupation": draw.integers(0, OCCUPATIONS, people)[person].astype(
            "int32"
        ),
        "genres": genres[movie],
    }, stars


@keras.saving.register_keras_serializable("movies")
class Catalogue(keras.layers.Embedding):
    """A vector for each movie, and with `rank` the fit of all to a person."""

    def call(self, inputs: Any, rank: bool = False) -> Any:
        """Vectors `(batch, d)` of movies, or logits `(batch, movies)`."""
        if not rank:
            return super().call(inputs)
        return ops.matmul(inputs, ops.transpose(self.embeddings))

    def compute_output_spec(self, inputs: Any, rank: bool = False) -> Any:
        """The shape of either."""
        if not rank:
            return super().compute_output_spec(inputs)
        shape = (inputs.shape[0], self.input_dim)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """Two towers; experts for rating and liking, the catalogue for watching."""
    layers = keras.layers
    width = hp.Int("width", 8, 64, default=32)
    inputs = {
        **{
            name: keras.Input((), dtype="int32", name=name)
            for name in ("person", "movie", "age", "gender", "occupation")
        },
        "genres": keras.Input((GENRES,), name="genres"),
    }
    person = layers.Add(name="person_vector")(
        [
            layers.Embedding(rows, width, name=f"{name}_table")(inputs[name])
            for name, rows in (
                ("person", PEOPLE),
                ("age", AGES),
                ("gender", 2),
                ("occupation", OCCUPATIONS),
            )
        ]
    )
    catalogue = Catalogue(MOVIES, width, name="catalogue")
    movie = catalogue(inputs["movie"])
    pair = layers.Concatenate(name="pair")(
        [
            person,
            movie,
            layers.Multiply(name="fit")([person, movie]),
            inputs["genres"],
        ]
    )
    outputs = {}
    judged = [task for task in tasks.values() if task.name != "watched"]
    if judged:
        sharing = hp.Choice("sharing", list(WAYS))
        size, options = WAYS[sharing]
        experts = keras_mtl.builders.registry[sharing](
            keras.Input(pair.shape[1:], name="pair"),
            judged,
            blocks=[
                layers.Dense(size, activation="relu", name="wide"),
                layers.Dense(size // 2, activation="relu", name="narrow"),
            ],
            **options,
        )
        # Part of this graph, not a model with tasks of its own.
        outputs = keras.Model(experts.input, experts.output, name="experts")(
            pair
        )
    if "watched" in tasks:
        # It must not see the movie, which is its label.
        ranked = layers.Dropout(0.3, name="person_dropout")(person)
        outputs["watched"] = layers.Softmax(name="watched", dtype="float32")(
            catalogue(ranked, rank=True)
        )
    return keras_mtl.MultiTaskModel(
        inputs, {name: outputs[name] for name in tasks}, tasks=tasks
    )


# Width of the first hidden layer, of a tower or of one of four experts.
WAYS: dict[str, tuple[int, dict[str, int]]] = {
    "hard_sharing": (128, {}),
    "mmoe": (64, {"num_experts": 4}),
    "ple": (
        64,
        {"num_shared_experts": 2, "num_task_experts": 1},
    ),
}

recipe = keras_mtl.Recipe(
    name="movies",
    tasks=[
        keras_mtl.Task(
            "rating",
            "regression",
            unit="stars",
            metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
        ),
        keras_mtl.Task(
            "liked", "binary", metrics=[keras.metrics.AUC(name="auc")]
        ),
        keras_mtl.Task(
            "watched",
            "multiclass",
            units=MOVIES,
            metrics=[
                keras.metrics.SparseTopKCategoricalAccuracy(10, name="top_10")
            ],
        ),
    ],
    sources=("made", "100k"),
    load=load,
    build=build,
    optimizer=keras.optimizers.Adam(2e-3),
    batch_size=256,
    epochs=8,
    balancers=("uncertainty",),
    sharings=tuple(WAYS),
)
