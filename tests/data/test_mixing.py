"""Mixtures: what is drawn, in which order, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_mtl import Task
from keras_mtl.data import assembly, rates
from keras_mtl.data.mixing import Mixture

TASKS = [Task("a", "multiclass", units=10), Task("b", "regression")]


def arrays(start, count, task):
    """Inputs are numbered, so that each example can be told from others."""
    number = np.arange(start, start + count)
    labels = number % 10 if task == "a" else number.astype("float32")
    return number[:, None].astype("float32"), {task: labels}


def sources(small=40, large=120):
    return {"small": arrays(0, small, "a"), "large": arrays(1000, large, "b")}


def datasets(**sizes):
    return {
        name: tf.data.Dataset.from_tensor_slices(data)
        for name, data in sources(**sizes).items()
    }


def half_and_half():
    return {"small": sources()["small"], "large": datasets()["large"]}


KINDS = {"arrays": sources, "datasets": datasets, "both": half_and_half}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def drawn(dataset):
    """The numbers of the examples, `(steps, batch)`."""
    return np.stack([x.numpy()[:, 0] for x, *_ in dataset]).astype(int)


def epochs(mixture, count, **kwargs):
    return [drawn(mixture.dataset(e, **kwargs)) for e in range(count)]


# ------------------------------------------------------------------- rates

RATES = {
    "proportional": ({}, [40, 120]),
    "uniform": ({"rates": "uniform"}, [80, 80]),
    # 40^.5 : 120^.5 = 1 : 1.732
    "temperature": (
        {"rates": "temperature", "temperature": 2.0},
        [59, 101],
    ),
    "explicit": ({"rates": {"large": 0.9, "small": 0.1}}, [16, 144]),
    "annealed": ({"rates": rates.Annealed(3)}, [40, 120]),
}


@each_kind
@pytest.mark.parametrize("row", RATES.values(), ids=RATES)
@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_rates_hold_exactly(make, row, batches):
    arguments, expected = row
    mixture = Mixture(make(), TASKS, batch_size=8, batches=batches, **arguments)
    numbers = drawn(mixture.dataset())
    assert numbers.shape == (20, 8)
    counts = [int((numbers < 1000).sum()), int((numbers >= 1000).sum())]
    if batches == "single":  # in whole batches
        assert all(len(set(row >= 1000)) == 1 for row in numbers)
        assert all(
            abs(c - e) < 8 for c, e in zip(counts, expected, strict=True)
        )
    else:
        assert counts == expected
    assert mixture.counts(0) == dict(zip(mixture.names, counts, strict=True))


def test_annealed_rates_go_from_sizes_to_nearly_equal():
    mixture = Mixture(sources(), TASKS, batch_size=8, rates=rates.Annealed(3))
    counts = [mixture.counts(e)["small"] for e in range(5)]
    # n^1, n^.6, n^.2 of 40 : 120, then as before
    shares = [1 / (1 + 3**power) for power in (1, 0.6, 0.2, 0.2, 0.2)]
    assert counts == [round(160 * share) for share in shares]


def test_rates_by_loss_follow_what_is_learned_slowly():
    rule = rates.ByLoss({"small": "val_a_loss", "large": "val_b_loss"})
    mixture = Mixture(sources(), TASKS, batch_size=8, rates=rule)
    assert mixture.counts(0) == {"small": 40, "large": 120}
    with pytest.raises(ValueError, match="depend on logs"):
        mixture.counts(1)
    mixture.observe(0, {"val_a_loss": 2.0, "val_b_loss": 10.0})
    assert mixture.counts(1) == {"small": 80, "large": 80}
    mixture.observe(1, {"val_a_loss": 1.5, "val_b_loss": 2.5})
    # ratios .75 and .25
    assert mixture.counts(2) == {"small": 120, "large": 40}
    again = Mixture(sources(), TASKS, batch_size=8, rates=rule)
    again.restore(json.loads(json.dumps(mixture.state())))
    assert again.counts(2) == mixture.counts(2)
    np.testing.assert_array_equal(
        drawn(again.dataset(2)), drawn(mixture.dataset(2))
    )


def test_rates_by_conflict_are_the_same_again_from_their_state():
    rule = rates.ByConflict({"small": "a_cosine", "large": "b_cosine"}, 2.0)
    mixture = Mixture(sources(), TASKS, batch_size=8, rates=rule)
    assert mixture.counts(0) == {"small": 40, "large": 120}
    mixture.observe(0, {"a_cosine": 0.1, "b_cosine": -0.3})
    # 1 : 3 · exp(-.8)
    assert mixture.counts(1) == {"small": 68, "large": 92}
    mixture.observe(1, {"a_cosine": float("nan"), "b_cosine": float("nan")})
    assert mixture.counts(2) == {"small": 40, "large": 120}
    again = Mixture(sources(), TASKS, batch_size=8, rates=rule)
    again.restore(json.loads(json.dumps(mixture.state())))
    np.testing.assert_array_equal(
        drawn(again.dataset(2)), drawn(mixture.dataset(2))
    )


# ------------------------------------------------------------------- order


@each_kind
def test_each_example_comes_once_before_any_comes_twice(make):
    mixture = Mixture(make(), TASKS, batch_size=8, rates="uniform")
    numbers = np.concatenate(epochs(mixture, 3)).reshape(-1)
    for low, high, size in ((0, 1000, 40), (1000, 2000, 120)):
        mine = numbers[(numbers >= low) & (numbers < high)]
        assert len(mine) == 240
        for one in mine[: len(mine) // size * size].reshape(-1, size):
            assert sorted(one) == list(range(low, low + size))


def test_an_epoch_at_proportional_rates_has_each_example_once():
    mixture = Mixture(sources(small=41, large=122), TASKS, batch_size=8)
    source, row = mixture.plan(0)
    for number, size in enumerate((41, 122)):
        times = np.bincount(row[source == number], minlength=size)
        assert times.min() == 1 and times.max() <= 2
    assert source.size == 168  # five more, to fill the last batch


def test_orders_change_from_pass_to_pass_and_with_the_seed():
    first, second = epochs(Mixture(sources(), TASKS, batch_size=8), 2)
    assert not np.array_equal(first, second)
    (other,) = epochs(Mixture(sources(), TASKS, batch_size=8, seed=1), 1)
    assert not np.array_equal(first, other)
    unshuffled = Mixture(sources(), TASKS, batch_size=8, shuffle=False)
    numbers = drawn(unshuffled.dataset()).reshape(-1)
    assert list(numbers[numbers < 1000]) == list(range(40))


def test_datasets_give_what_unshuffled_arrays_give():
    one, other = (
        Mixture(make(), TASKS, batch_size=8, rates="uniform", shuffle=False)
        for make in (sources, datasets)
    )
    for epoch in range(3):
        np.testing.assert_array_equal(
            drawn(one.dataset(epoch)), drawn(other.dataset(epoch))
        )


@each_kind
def test_a_stream_goes_on_at_any_step(make):
    mixture = Mixture(make(), TASKS, batch_size=8, rates="uniform")
    whole = drawn(mixture.dataset(1))
    assert not list(mixture.dataset(1, 20))
    for step in (0, 1, 7, 19):
        rest = mixture.dataset(1, step)
        assert int(rest.cardinality()) == 20 - step
        np.testing.assert_array_equal(drawn(rest), whole[step:])


@each_kind
@pytest.mark.parametrize("count", [2, 4])
def test_workers_together_draw_what_one_draws(make, count):
    arguments = {"batch_size": 8, "rates": "uniform"}
    whole = epochs(Mixture(make(), TASKS, **arguments), 2)
    parts = [
        epochs(Mixture(make(), TASKS, shard=(i, count), **arguments), 2)
        for i in range(count)
    ]
    for epoch in range(2):
        for i in range(count):
            np.testing.assert_array_equal(
                parts[i][epoch], whole[epoch][i::count]
            )


@each_kind
def test_nothing_depends_on_how_many_steps_are_made_at_a_time(
    make, monkeypatch
):
    def batches():
        for arguments in ({"batches": "single"}, {"shard": (1, 2)}):
            mixture = Mixture(make(), TASKS, batch_size=8, **arguments)
            yield from mixture.dataset(1, 2)

    expected = list(batches())
    monkeypatch.setattr(assembly, "_GROUP_STEPS", 3)
    for (x, y), (same_x, same_y) in zip(expected, batches(), strict=True):
        np.testing.assert_array_equal(same_x, x)
        np.testing.assert_array_equal(same_y["a"], y["a"])
        np.testing.assert_array_equal(same_y["b"], y["b"])


def test_large_examples_are_not_kept_for_many_steps():
    x, y = np.zeros((4, 512, 1024), "float32"), {"b": np.zeros(4)}
    large = Mixture({"large": (x, y)}, TASKS[1:], batch_size=4)
    assert next(iter(large.dataset()))[0].shape == (4, 512, 1024)
    assert large._assembly.group == 1


def test_workers_may_have_records_of_their_own():
    parts = []
    for index in range(2):
        own = {k: data.shard(2, index) for k, data in datasets().items()}
        parts.append(Mixture(own, TASKS, batch_size=8, steps_per_epoch=10))
    first, second = (epochs(part, 1)[0] for part in parts)
    numbers = np.concatenate([first, second]).reshape(-1)
    assert sorted(numbers) == [*range(40), *range(1000, 1120)]
    np.testing.assert_array_equal(first < 1000, second < 1000)


KILLED = """
import os, sys
import numpy as np
from keras_mtl.data.mixing import Mixture
from tests.data.test_mixing import TASKS, datasets, sources
mixture = Mixture(
    {"small": sources()["small"], "large": datasets()["large"]},
    TASKS, batch_size=8, rates="uniform",
)
epoch, step = int(sys.argv[1]), int(sys.argv[2])
for number, (x, y) in enumerate(mixture.dataset(epoch, step), start=step):
    print(number, *x.numpy()[:, 0].astype(int), flush=True)
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
"""


def test_a_killed_stream_goes_on_in_a_new_process_where_it_was():
    def run(*arguments):
        process = subprocess.run(
            [sys.executable, "-c", KILLED, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        return process.returncode, process.stdout.splitlines()

    status, before = run(1, 0, 5)
    assert status == -9
    status, after = run(1, 6, -1)
    assert status == 0
    lines = [list(map(int, line.split())) for line in before + after]
    whole = drawn(
        Mixture(half_and_half(), TASKS, batch_size=8, rates="uniform").dataset(
            1
        )
    )
    assert [line[0] for line in lines] == list(range(20))
    np.testing.assert_array_equal([line[1:] for line in lines], whole)


def test_a_stream_asks_for_the_epoch_whenever_it_begins():
    mixture = Mixture(sources(), TASKS, batch_size=8)
    now = iter([0, 1, 5])
    stream = mixture.stream(lambda: next(now))
    for epoch in (0, 1, 5):
        np.testing.assert_array_equal(
            drawn(stream), drawn(mixture.dataset(epoch))
        )


# Of whole numbers of draws none may differ; of orders, chi-square tests tell
# whether each place is as likely as any. Draws are of different epochs or
# passes, hence independent.


@pytest.mark.parametrize("batches", ["mixed", "single"])
@pytest.mark.parametrize("name", sorted(RATES.keys() - {"annealed"}))
def test_each_place_of_an_epoch_has_each_source_at_its_rate(name, batches):
    arguments, _ = RATES[name]
    mixture = Mixture(
        sources(), TASKS, batch_size=8, batches=batches, seed=3, **arguments
    )
    counts = np.array(list(mixture.counts(0).values()))
    plans = [mixture.plan(epoch)[0] for epoch in range(300)]
    for step, place in ((0, 0), (0, 7), (9, 3), (19, 7)):
        seen = np.bincount([p[step, place] for p in plans], minlength=2)
        assert stats.chisquare(seen, 300 * counts / counts.sum()).pvalue > 0.01


def test_each_pass_begins_and_ends_with_any_example_alike():
    mixture = Mixture(sources(small=8), TASKS, batch_size=8, rates="uniform")
    rows = np.concatenate(
        [
            row[source == 0]
            for source, row in (mixture.plan(epoch) for epoch in range(50))
        ]
    )
    passes = rows[: len(rows) // 8 * 8].reshape(-1, 8)
    assert len(passes) == 400
    for place in (0, 3, 7):
        seen = np.bincount(passes[:, place], minlength=8)
        assert stats.chisquare(seen).pvalue > 0.01
    # Nor does an example tell which comes next.
    pairs = np.zeros((8, 8))
    np.add.at(pairs, (passes[:, 0], passes[:, 1]), 1)
    assert np.diag(pairs).sum() == 0
    off = pairs[~np.eye(8, dtype=bool)]
    assert stats.chisquare(off).pvalue > 0.01


def test_balanced_classes_draw_their_members_alike():
    labels = np.repeat([0, 1], [12, 4])
    mixture = Mixture(
        {
            "rare": (np.zeros((16, 1)), {"a": labels}),
            "large": (np.zeros((16, 1)), {"b": np.zeros(16)}),
        },
        TASKS,
        batch_size=8,
        balance={"rare": "a"},
    )
    rows = np.concatenate(
        [
            row[source == 0]
            for source, row in (mixture.plan(epoch) for epoch in range(240))
        ]
    )
    counts = [(labels[rows] == one).sum() for one in (0, 1)]
    assert counts == [1920, 1920]
    common = rows[labels[rows] == 0].reshape(-1, 12)
    seen = np.bincount(common[:, 0], minlength=12)
    assert stats.chisquare(seen).pvalue > 0.01


def test_classes_of_a_source_are_drawn_equally_often():
    labels = np.repeat([0, 1, 2, -1], [100, 15, 5, 30])
    x = np.arange(150.0)[:, None]
    mixture = Mixture(
        {"rare": (x, {"a": labels}), "large": sources()["large"]},
        TASKS,
        batch_size=10,
        rates={"rare": 0.5, "large": 0.5},
        balance={"rare": "a"},
        steps_per_epoch=30,
    )
    drawn_rows = drawn(mixture.dataset()).reshape(-1)
    rows = drawn_rows[drawn_rows < 1000]
    assert list(np.bincount(labels[rows])) == [50, 50, 50]
    # Of each class, every member before any comes once more.
    assert len(set(rows[labels[rows] == 0])) == 50
    for one, size in ((1, 15), (2, 5)):
        members = rows[labels[rows] == one]
        passes = members[: 50 // size * size].reshape(-1, size)
        assert all(len(set(members)) == size for members in passes)
    second = drawn(mixture.dataset(1)).reshape(-1)
    assert set(second[second < 100]) == set(range(100)) - set(rows)


# -------------------------------------------------------------- stop rules


@pytest.mark.parametrize(
    ("arguments", "steps", "counts"),
    [
        ({}, 20, [80, 80]),
        ({"steps_per_epoch": "shortest"}, 10, [40, 40]),
        ({"steps_per_epoch": "longest"}, 30, [120, 120]),
        ({"steps_per_epoch": 3}, 3, [12, 12]),
    ],
    ids=["none", "shortest", "longest", "number"],
)
@each_kind
def test_an_epoch_ends_as_it_is_told(make, arguments, steps, counts):
    mixture = Mixture(make(), TASKS, batch_size=8, rates="uniform", **arguments)
    numbers = drawn(mixture.dataset())
    assert len(numbers) == steps
    assert list(mixture.counts(0).values()) == counts
    small = numbers[numbers < 1000]
    assert len(set(small)) == min(len(small), 40)


@each_kind
def test_a_source_that_is_used_up_leaves_its_place_to_others(make):
    mixture = Mixture(
        make(),
        TASKS,
        batch_size=8,
        rates="uniform",
        steps_per_epoch=10,
        passes={"small": 2},
    )
    counts = [mixture.counts(epoch)["small"] for epoch in range(4)]
    assert counts == [40, 40, 0, 0]
    seen = np.concatenate(epochs(mixture, 4)).reshape(-1)
    assert len(seen) == 4 * 80
    for one in range(40):
        assert (seen == one).sum() == 2


def test_nothing_is_left_to_draw():
    mixture = Mixture(
        sources(), TASKS, batch_size=8, passes={"small": 2, "large": 2}
    )
    assert mixture.counts(1) == {"small": 40, "large": 120}
    with pytest.raises(ValueError, match="All sources are used up in epoch 2"):
        mixture.dataset(2)


# ---------------------------------------------------------------- examples


@each_kind
def test_labels_that_a_source_lacks_are_missing(make):
    mixture = Mixture(make(), TASKS, batch_size=8, rates="uniform")
    for x, y in mixture.dataset():
        numbers = x.numpy()[:, 0].astype(int)
        small = numbers < 1000
        assert y["a"].dtype == "int32" and y["b"].dtype == "float32"
        np.testing.assert_array_equal(y["a"], np.where(small, numbers % 10, -1))
        np.testing.assert_array_equal(
            y["b"], np.where(small, np.nan, numbers.astype("float32"))
        )


def test_inputs_that_a_source_lacks_are_zeros():
    text, image = np.ones((6, 3), "int64"), np.ones((9, 2, 2))
    mixture = Mixture(
        {
            "texts": ({"text": text}, {"a": np.zeros(6, int)}),
            "both": ({"text": text, "image": image[:6]}, {"b": np.zeros(6)}),
            "images": ({"image": image}, {"b": np.zeros(9)}),
        },
        TASKS,
        batch_size=7,
    )
    seen = 0
    for x, y in mixture.dataset():
        assert x["text"].shape == (7, 3) and x["image"].shape == (7, 2, 2)
        assert x["text"].dtype == "int64" and x["image"].dtype == "float32"
        has_text, has_image = (
            x["text"].numpy()[:, 0],
            x["image"].numpy()[:, 0, 0],
        )
        only_text = y["a"].numpy() != -1
        np.testing.assert_array_equal(has_image, ~only_text)
        seen += has_text.sum() + has_image.sum()
    assert seen == 6 + 12 + 9


def test_weights_of_one_source_are_ones_in_the_others():
    x, y = sources()["small"]
    data = {
        "small": (x, y, {"a": np.full(40, 0.5)}),
        "large": sources()["large"],
    }
    mixture = Mixture(data, TASKS, batch_size=8)
    for x, _, weight in mixture.dataset():
        small = x.numpy()[:, 0] < 1000
        np.testing.assert_array_equal(weight["a"], np.where(small, 0.5, 1.0))
        np.testing.assert_array_equal(weight["b"], np.ones(8))


def test_marks_tell_which_inputs_are_there():
    text, image = np.ones((6, 3), "int64"), np.ones((9, 2, 2))
    mixture = Mixture(
        {
            "texts": ({"text": text}, {"a": np.zeros(6, int)}),
            "images": tf.data.Dataset.from_tensor_slices(
                (
                    {"image": image, "text": np.ones((9, 3), "int64")},
                    {"b": np.zeros(9)},
                )
            ),
        },
        TASKS,
        batch_size=5,
        mark_missing=True,
    )
    for x, y in mixture.dataset():
        # Every source has texts: there is nothing to tell.
        assert set(x) == {"text", "image", "image_present"}
        there = x["image_present"]
        assert there.shape == (5, 1) and there.dtype == "float32"
        np.testing.assert_array_equal(there[:, 0], x["image"][:, 0, 0])
        np.testing.assert_array_equal(there[:, 0] == 0, y["a"] == 0)


# --------------------------------------------------------------- bad input

X = np.zeros((4, 2))
GOOD = {"one": (X, {"a": np.zeros(4, int), "b": np.zeros(4)})}
BAD = {
    "no sources": ({"sources": {}}, "`sources` must be a dict"),
    "not a pair": ({"sources": {"one": X}}, r"`sources\['one'\]` must be"),
    "unknown task": (
        {"sources": {"one": (X, {"aa": np.zeros(4)})}},
        r"y of the source 'one'` has keys that name no task.*Did you mean 'a'",
    ),
    "no labels": ({"sources": {"one": (X, {})}}, "'one' has no labels"),
    "empty": (
        {"sources": {"one": (X[:0], {"a": np.zeros(0, int)})}},
        "source 'one' is empty",
    ),
    "empty dataset": (
        {
            "sources": {
                "one": tf.data.Dataset.from_tensor_slices(GOOD["one"]).take(0)
            }
        },
        "source 'one' is empty",
    ),
    "a dataset of batches": (
        {
            "sources": {
                "one": tf.data.Dataset.from_tensor_slices(GOOD["one"]).batch(2)
            }
        },
        r"'one' must hold examples, one by one.*'x': \(None, 2\).*unbatch",
    ),
    "a shape that is not known": (
        {
            "sources": {
                "one": tf.data.Dataset.from_tensor_slices(GOOD["one"]).map(
                    lambda x, y: (
                        tf.py_function(lambda v: v, [x], "float64"),
                        y,
                    )
                )
            }
        },
        "'one' must tell how many axes `x` has.*`tf.ensure_shape`",
    ),
    "a tuple of inputs": (
        {"sources": {"one": ((X, X), GOOD["one"][1])}},
        "'one' must have an array of inputs, or a dict.*a tuple of 2",
    ),
    "infinite dataset": (
        {
            "sources": {
                "one": tf.data.Dataset.from_tensor_slices(GOOD["one"]).repeat()
            }
        },
        "must be finite",
    ),
    "lengths": (
        {"sources": {"one": (X, {"a": np.zeros(3, int)})}},
        "'one' must hold the same number of examples",
    ),
    "task without labels": (
        {"sources": {"one": (X, {"a": np.zeros(4, int)})}},
        "No source has labels of the task 'b'.*'one': \\['a'\\]",
    ),
    "out of range": (
        {
            "sources": {
                **GOOD,
                "far": (
                    np.zeros((10_003, 2)),
                    {"a": np.where(np.arange(10_003) == 10_001, 10, 3)},
                ),
            }
        },
        "'far' has a label out of range: task 'a', example 10001.*Received: 10",
    ),
    "shapes": (
        {"sources": {**GOOD, "two": (np.zeros((4, 3)), {"b": np.zeros(4)})}},
        r"agree about the shape of `x`.*'two': \(3,\)",
    ),
    "kinds of inputs": (
        {"sources": {**GOOD, "two": ({"t": X}, {"b": np.zeros(4)})}},
        r"inputs of one kind.*an array in \['one'\]",
    ),
    "rates": ({"rates": "often"}, "`rates` must be 'proportional'.*'often'"),
    "rates that do not sum": ({"rates": {"one": 0.5}}, "must sum to 1.*0.5"),
    "negative rate": (
        {"rates": {"one": 2.0, "two": -1.0}},
        r"`rates\['two'\]` must be a positive",
    ),
    "rates by other names": (
        {"rates": {"onne": 1.0}},
        r"one number for each source.*\['onne'\].*Did you mean 'one'",
    ),
    "temperature 0": (
        {"rates": "temperature", "temperature": 0},
        "`temperature` must be a positive number.*Received: 0",
    ),
    "no temperature": (
        {"rates": "temperature"},
        "`temperature` belongs to rates='temperature'",
    ),
    "temperature elsewhere": (
        {"temperature": 2.0},
        "`temperature` belongs to rates='temperature'",
    ),
    "batch size": ({"batch_size": 0}, "`batch_size` must be a positive"),
    "steps": (
        {"steps_per_epoch": "all"},
        "`steps_per_epoch` must be.*'shortest' or 'longest'.*'all'",
    ),
    "passes of no source": (
        {"passes": {"onne": 2}},
        r"`passes` must name sources, of \['one'\].*'onne'",
    ),
    "passes": ({"passes": {"one": 0.5}}, r"`passes\['one'\]` must be"),
    "conflict in single batches": (
        {"rates": rates.ByConflict({"one": "x"}), "batches": "single"},
        "`batches` must be 'mixed' with ByConflict",
    ),
    "a task with no label at all": (
        {"sources": {"one": (X, {"a": -np.ones(4, int), "b": np.zeros(4)})}},
        r"No source has a label of the task 'a': .* missing in \['one'\]",
    ),
    "negative temperature": (
        {"rates": "temperature", "temperature": -1.0},
        "`temperature` must be a positive number.*Received: -1.0",
    ),
    "batches": ({"batches": "some"}, "`batches` must be 'mixed'.*'some'"),
    "balance of no source": (
        {"balance": {"onne": "a"}},
        r"`balance` must name sources, of \['one'\].*'onne'",
    ),
    "balance by a regression": (
        {"balance": {"one": "b"}},
        r"`balance\['one'\]` must be a task of classes",
    ),
    "an input named as a mark": (
        {
            "sources": {
                "one": ({"t": X, "i": X, "t_present": X}, GOOD["one"][1]),
                "two": ({"i": X}, {"b": np.zeros(4)}),
            },
            "mark_missing": True,
        },
        "`mark_missing` tells by an input 't_present' where 't' is there",
    ),
    "shard": ({"shard": (2, 2)}, r"`shard` must be \(index, count\).*\(2, 2\)"),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        Mixture(**{"sources": GOOD, "tasks": TASKS, **changed})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rates.Annealed(1), "`epochs` of annealed rates"),
        (lambda: rates.ByLoss({}, strength=-1), "`strength` must be"),
        (
            lambda: Mixture(GOOD, TASKS, rates=rates.ByLoss({"two": "x"})),
            "`monitor` must name a log for each source",
        ),
    ],
    ids=["epochs", "strength", "monitor"],
)
def test_bad_rates_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def records(folder, *, corrupt):
    """A dataset of 20 records, perhaps with a flipped byte in number 13."""
    path = folder / "data.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(20):
            writer.write(str(number).encode() * 4)
    if corrupt:
        content = bytearray(path.read_bytes())
        content[content.index(b"13131313")] ^= 1
        path.write_bytes(bytes(content))

    def parse(record):
        number = tf.strings.to_number(tf.strings.substr(record, 0, 1))
        return tf.reshape(number, [1]), {"b": number}

    return tf.data.TFRecordDataset(str(path)).map(parse)


def test_a_corrupt_record_is_named_by_source_and_number(tmp_path):
    whole = {"records": records(tmp_path, corrupt=False), **sources()}
    Mixture(whole, TASKS, batch_size=8).dataset()
    given = {
        "records": records(tmp_path, corrupt=True).apply(
            tf.data.experimental.assert_cardinality(20)
        ),
        **sources(),
    }
    mixture = Mixture(given, TASKS, batch_size=8)
    with pytest.raises(tf.errors.DataLossError) as caught:
        epochs(mixture, 1)
    assert mixture.explain(caught.value).startswith(
        "The source 'records' cannot be read at example 13: DataLossError: "
        "corrupted record"
    )


def test_a_corrupt_record_is_named_while_a_source_is_counted(tmp_path):
    given = {"records": records(tmp_path, corrupt=True), **sources()}
    with pytest.raises(ValueError, match=r"'records' cannot be read.*13"):
        Mixture(given, TASKS)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_a_label_out_of_range_in_a_dataset_is_named(dtype):
    labels = np.where(np.arange(120) == 101, 10, 3).astype(dtype)
    if dtype == "float32":
        labels[:50] = np.nan
    given = {
        **sources(),
        "far": tf.data.Dataset.from_tensor_slices(
            (np.zeros((120, 1), "float32"), {"a": labels})
        ),
    }
    mixture = Mixture(given, TASKS, batch_size=8)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        epochs(mixture, 1)
    assert mixture.explain(caught.value) == (
        "The source 'far' has a label out of range: task 'a', example 101. "
        "Expected: 0 to 9, or -1 where it is missing. Received: 10."
    )
