import json
import math

import numpy as np
import pytest
from does_it_help import FIGURES, PAGE, PLANS, Plan, main, run
from does_it_help_figures import (
    HELPED,
    HURT,
    UNDECIDED,
    UNKNOWN,
    changes_by_task,
    cost_ratios,
    levels,
    new_task_changes,
    overall_change,
)
from does_it_help_page import finding, page
from label_variants import (
    few_examples,
    one_task_cut,
    take,
    variant,
    variant_file,
)

from keras_mtl import Task, TaskSet
from keras_mtl.recipe import load_recipe

ABOUT = {
    "command": "python",
    "date": "2026-01-01",
    "versions": {"keras": "3", "tensorflow": "2"},
    "cores": 2,
    "threads": "1",
    "load": 0.5,
    "data": "hand-made figures",
    "real": True,
    "source": "none",
    "seeds": [0, 1, 2],
    "epochs": 1,
    "examples": 10,
}


def part(shared, single=((0.5, 2.0), (0.5, 2.0), (0.5, 2.0)), seconds=1.0):
    """Of tasks `a` (more is better) and `b` (less is), by seed."""

    def training(method, tasks, seed, values, **cost):
        score = dict(zip(tasks, values, strict=True))
        return {
            "method": method,
            "tasks": tasks,
            "seed": seed,
            "validation": score,
            "test": score,
            "operations": None,
            **cost,
        }

    return {
        "about": {**ABOUT, "seeds": list(range(len(shared)))},
        "metrics": {
            "a": {"name": "accuracy", "direction": "max"},
            "b": {"name": "mae", "direction": "min"},
        },
        "chosen": "equal weights",
        "trainings": [
            row
            for seed, both in enumerate(shared)
            for row in (
                *(
                    training(
                        *("single-task", [task], seed, [value]),
                        seconds=2.0,
                        parameters=100,
                    )
                    for task, value in zip("ab", single[seed], strict=True)
                ),
                training(
                    *("equal weights", ["a", "b"], seed, both),
                    seconds=seconds,
                    parameters=150,
                ),
            )
        ],
        "failures": [],
        "inference": {"shared": [1, 2, 3], "separate": [3, 4, 5]},
    }


HELPS = part([(0.55, 1.8), (0.56, 1.8), (0.55, 1.7)])
HURTS = part([(0.45, 2.2), (0.44, 2.2), (0.45, 2.3)], seconds=5.0)
CHANCE = part([(0.6, 2.0), (0.4, 2.0), (0.55, 2.1)])
ONE_SEED = part([(0.9, 1.0)])


def test_changes_by_hand():
    change = overall_change(HELPS)
    # +10 and +10, +12 and +10, +10 and +15 %
    assert change.mean == pytest.approx((10 + 11 + 12.5) / 3)
    deviation = np.std([10, 11, 12.5], ddof=1)
    reach = 4.302653 * deviation / math.sqrt(3)  # Student's t, 2 degrees
    assert change.high - change.mean == pytest.approx(reach)
    by_task = changes_by_task(HELPS)
    assert by_task["a"].mean == pytest.approx((10 + 12 + 10) / 3)
    assert by_task["b"].apart == 2.0
    assert by_task["b"].shared == pytest.approx(5.3 / 3)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (HELPS, HELPED),
        (HURTS, HURT),
        (CHANCE, UNDECIDED),
        (ONE_SEED, UNKNOWN),
    ],
)
def test_outcomes(found, outcome):
    assert overall_change(found).outcome == outcome


def test_seeds_are_paired():
    """A seed that is good for both sides says nothing about sharing."""
    singles = [(0.4, 2.0), (0.5, 2.0), (0.6, 2.0)]
    shared = [(a + 0.01, b) for a, b in singles]
    found = part(shared, singles)
    assert overall_change(found).outcome == HELPED


def test_levels_are_against_all_labels():
    few = part([(0.3, 2.0)], [(0.25, 2.0)])
    assert levels(few, ONE_SEED) == pytest.approx((-25.0, -20.0))


def test_costs_by_hand():
    ratios = cost_ratios(HELPS)
    assert ratios.parameters == 0.75
    assert ratios.seconds == (0.25, 0.25, 0.25)
    assert ratios.inference == 0.5
    assert math.isnan(ratios.operations)


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ([HELPED, HELPED], "**It holds** here: sharing helped in all 2"),
        ([HELPED, UNDECIDED], "**It holds in part**: sharing helped in 1 of 2"),
        ([HURT, UNDECIDED], "**It fails** here: sharing helped in none of 2"),
        ([UNDECIDED, UNDECIDED], "**It is not shown** here"),
        ([UNKNOWN, UNKNOWN], "**Cannot be told**"),
        ([HELPED, UNKNOWN], "From one seed nothing can be told of b."),
        ([HELPED, HURT], "it hurt in 1 (b)."),
    ],
)
def test_sentence_follows_from_outcomes(outcomes, sentence):
    assert sentence in finding(dict(zip("ab", outcomes, strict=True)))


def test_page_says_where_sharing_helped_and_where_not():
    good = page({"good": {"accuracy": HELPS}})
    bad = page({"bad": {"accuracy": HURTS}})
    assert "| results are better | **It holds** here" in good
    assert "| good | equal weights | 2 | +11.2 (" in good
    assert "**It holds** for *less time to train*" in good
    assert "| results are better | **It fails** here" in bad
    assert "no help beyond chance in the one recipe; it hurt in 1 (bad)" in bad
    assert "**It fails** for *less time to train*" in bad
    assert "**It holds** for *fewer parameters*" in bad
    undecided = page({"so": {"accuracy": CHANCE}})
    assert "| results are better | **It is not shown** here" in undecided


def test_page_of_few_labels_and_new_tasks():
    rows = [
        {
            "task": "a",
            "fraction": 0.1,
            "examples": 7,
            "seed": seed,
            "way": way,
            "metric": "mae",
            "direction": "min",
            "test": value + seed / 100,
        }
        for seed in range(3)
        for way, value in [
            ("from scratch", 2.0),
            ("fine-tuned", 1.5 + seed / 50),
            ("frozen", 2.5 + seed / 50),
        ]
    ]
    (change,) = new_task_changes(rows)
    assert change.fine_tuned.outcome == HELPED
    assert change.frozen.outcome == HURT
    text = page(
        {
            "one": {
                "accuracy": CHANCE,
                "labels": {"about": ABOUT, "0.1": HELPS},
                "one_task": {"about": ABOUT, "b 0.1": HURTS},
                "new_task": {"about": ABOUT, "rows": rows},
            }
        }
    )
    assert "| fewer labels are needed | **It holds** here" in text
    words = " ".join(text.split())
    assert "With the fewest labels the difference is better than" in words
    assert "| one | b, mae | 10 % | 2 | 2.23 |" in text
    assert "| a new task learns from fewer examples | **It holds**" in text


def test_page_names_what_failed():
    failed = {"about": {**ABOUT, "examples": None}, "failed": "No data."}
    text = page({"good": {"accuracy": HELPS}, "gone": {"accuracy": failed}})
    assert "## What failed\n\n- gone, accuracy: No data." in text
    assert "in the one recipe (good)" in text
    text = page({"good": {"accuracy": HELPS}}, ["good", "scenes"])
    assert "What failed" not in text
    assert "Not measured yet: scenes." in " ".join(text.split())


class Fake:
    """A measurement that fails in one part."""

    plan = Plan(data="fake", real=False, examples=10)
    source, data_dir, epochs = "none", None, 1

    def __init__(self, name, found):
        self.name, self.found = name, found

    def measure(self, part):
        if self.found is None:
            raise ValueError("no such data")
        return self.found if part == "accuracy" else None


def test_a_failed_recipe_does_not_lose_the_others(tmp_path):
    places = tmp_path / "figures.json", tmp_path / "page.md"
    measured = {k: v for k, v in HELPS.items() if k != "about"}
    said = []
    failed = run(
        [Fake("digits", None), Fake("census", measured)],
        ("accuracy", "labels"),
        *places,
        "command",
        said.append,
    )
    assert list(failed) == ["digits, accuracy", "digits, labels"]
    known = json.loads(places[0].read_text("utf-8"))
    assert "no such data" in known["digits"]["accuracy"]["failed"]
    assert known["census"]["accuracy"]["chosen"] == "equal weights"
    assert places[1].read_text("utf-8") == page(known, PLANS)
    # What was measured stays where a later try fails.
    run([Fake("census", None)], ("accuracy",), *places, "command", said.append)
    again = json.loads(places[0].read_text("utf-8"))
    assert again["census"] == known["census"]


def test_the_page_is_what_the_figures_say():
    figures = json.loads(FIGURES.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == page(figures, PLANS)


X = np.arange(400)
Y = {"a": np.arange(400) % 2, "b": np.arange(400) / 4}
TASKS = TaskSet([Task("a", "binary"), Task("b", "regression")])


def test_few_examples_are_nested_and_keep_the_number_of_steps():
    few, more = (few_examples(X, Y, f) for f in (0.01, 0.1))
    assert set(few[0]) < set(more[0])
    assert len(few[0]) == 4 * 10  # a tenth of the rows, in a tenth of a batch
    assert len(more[0]) == 40 * 3
    np.testing.assert_array_equal(more[1]["b"], more[0] / 4)


def test_one_task_cut_keeps_the_labels_of_others():
    x, y = one_task_cut(X, Y, TASKS, "a", 0.01)
    assert set(x) == set(X)
    np.testing.assert_array_equal(y["b"], x / 4)
    kept = x[y["a"] >= 0]
    assert len(set(kept)) == 4 and len(kept) == 40
    np.testing.assert_array_equal(y["a"][y["a"] >= 0], kept % 2)


def test_take_reads_dicts_too():
    x, y = take({"in": X}, Y, np.array([3, 5]))
    assert x["in"].tolist() == [3, 5] and y["a"].tolist() == [1, 1]


def test_variants_are_recipes_in_files_of_their_own(tmp_path):
    own = variant_file(tmp_path, "digits", {})
    assert own.name == "digits.py" and not list(tmp_path.iterdir())
    file = variant_file(
        tmp_path, "digits", {"examples": 500, "cut": ("sum", 0.1)}
    )
    recipe = load_recipe(file)
    assert recipe.file == file and recipe.name == "digits"
    x, y = recipe.load("digits", None).train
    assert len(x) == 500 + 2 * 50
    assert (~np.isnan(y["sum"])).sum() == 50 * 3
    assert variant("digits", "now", labels=0.1).batch_size == 43


@pytest.mark.slow
def test_the_command_measures_and_goes_on(tmp_path):
    arguments = [
        *("--small", "--recipes", "digits", "--seeds", "1", "--epochs", "1"),
        *("--out", str(tmp_path)),
    ]
    main(arguments)
    figures = tmp_path / "does_it_help" / FIGURES.name
    known = json.loads(figures.read_text("utf-8"))["digits"]
    assert list(known) == ["accuracy", "labels", "one_task", "new_task"]
    assert known["labels"]["0.1"]["batch_size"] == 43
    assert {r["way"] for r in known["new_task"]["rows"]} == {
        *("from scratch", "fine-tuned", "frozen")
    }
    about = known["accuracy"]["about"]
    assert about["examples"] == 1500 and str(tmp_path) not in about["command"]
    written = figures.with_name(PAGE.name).read_text("utf-8")
    assert "**Cannot be told**" in written
    # A second time nothing is trained.
    main(arguments)
    again = json.loads(figures.read_text("utf-8"))["digits"]
    for part in ("accuracy", "new_task"):
        del known[part]["about"], again[part]["about"]
    del known["accuracy"]["inference"], again["accuracy"]["inference"]
    assert again["accuracy"] == known["accuracy"]
    assert again["new_task"] == known["new_task"]
