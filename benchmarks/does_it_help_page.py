"""The page of `does_it_help.py`: tables, and sentences that follow from them.

No sentence about a result is written by hand: each is chosen by a rule, so that
where a claim fails the page says so.
"""

import math
import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from does_it_help_figures import (
    HELPED,
    HURT,
    UNDECIDED,
    UNKNOWN,
    Change,
    changes_by_task,
    cost_ratios,
    levels,
    new_task_changes,
    overall_change,
    signed,
)

COMMAND = "python benchmarks/does_it_help.py --data-dir DIR"
INTRODUCTION = """
One network for several tasks is said to be better, to need fewer labels, to be
smaller and quicker, and to give a new task a start. Here this is measured on
the recipes, against one model for each task with the same blocks, data, batches
and epochs. Tables and sentences are written by
"""
RULE = """
Models of one seed have the same data order, and are compared seed by seed.
Shown is the mean change in percent of what a task is judged by (Δm: the mean
over the tasks), above 0 where sharing is better, and its 95 % interval by
Student's t. *Helped* and *hurt* are said where the interval leaves out 0,
*undecided* where it does not, and nothing from one seed. Undecided is not the
same as no difference: from two or three seeds intervals are wide. And of twenty
comparisons without any difference, one is expected to be called helped or hurt
by chance. A task whose metric is near its best can change by a small part only.
"""
FEW = """
*Apart* and *shared* are against single-task models with all labels, in percent;
the *difference* is between models with the same labels. All tasks have lost the
same examples. Each example that is left is seen more often (3 times at 10 %, 10
times at 1 %) in batches that are smaller by as much, so that there are as many
steps.
"""
NEW = """
The other tasks of the recipe are trained with all labels; the new one then
learns from few examples: from scratch, from the weights of their encoder on
(*fine-tuned*), or as a head on that encoder, which stays as it is (*frozen*).
Percentages are against from scratch, with the same examples and as many steps.
A start that helped in either way counts as a help; with two ways to help,
chance has two.
"""
OWN = """
## Ask it of your own tasks

`keras-mtl compare my_recipe.py --seeds 5` answers the first question. For the
second, let `load` of the recipe keep a part of the labels:

```python
import numpy as np

from keras_mtl import Task
from keras_mtl.data import keep_labels

tasks = [Task("price", "regression"), Task("sold", "binary")]
y = {"price": np.linspace(1, 2, 200), "sold": np.arange(200) % 2}
tenth = keep_labels(y, tasks, 0.1)  # of all tasks
one = keep_labels(y, tasks, {"sold": 0.1})  # of one, the other whole
assert (~np.isnan(tenth["price"])).sum() == (tenth["sold"] >= 0).sum() == 20
assert (one["sold"] >= 0).sum() == 20 and not np.isnan(one["price"]).any()
```

[Should these tasks share?](should_tasks_share.md) tells what to look at before
anything is trained to its end.
"""


class Section(NamedTuple):
    """A claim, what became of it in a sentence, and the figures."""

    title: str
    claim: str
    finding: str
    body: list[str]


def page(figures: Mapping[str, Any], planned: Iterable[str] = ()) -> str:
    """The page.

    Args:
        figures: By recipe and part, as `does_it_help.py` writes them.
        planned: The recipes that could have been measured.
    """
    sections = [
        section
        for make in (accuracy, few_labels, one_task, cost, new_task)
        if (section := make(figures)) is not None
    ]
    lines = [
        "# Does it help?",
        "",
        "<!-- Written by benchmarks/does_it_help.py: edit that. -->",
        "",
        wrap(INTRODUCTION),
        "",
        f"    {COMMAND}",
        "",
        wrap(
            "from its figures, `benchmarks/results/does_it_help.json`; "
            "sentences follow from them by the rule below. `--small` shows all "
            "of it in minutes, at sizes that tell nothing; `--full` takes the "
            "recipes' own sizes."
        ),
        "",
        "| it is said that | measured |",
        "|---|---|",
        *(f"| {s.claim} | {s.finding} |" for s in sections),
        "",
        "## What was trained",
        "",
        *sizes(figures, [n for n in planned if n not in figures]),
        "",
        "## When a difference counts",
        "",
        wrap(RULE),
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", wrap(section.finding), ""]
        lines += section.body
    if problems := failures(figures):
        lines += ["", "## What failed", "", *problems]
    return "\n".join(lines) + "\n" + OWN


def sizes(figures: Mapping[str, Any], left_out: Sequence[str]) -> list[str]:
    """What each recipe was measured on, and where; what was not measured."""
    rows = []
    about: list[Mapping[str, Any]] = []
    for name, parts in figures.items():
        own = [part["about"] for part in parts.values()]
        about += own
        first = own[0]
        rows.append(
            [
                name,
                first["data"] + ("" if first["real"] else " (made)"),
                _range(
                    "a stream" if a["examples"] is None else a["examples"]
                    for a in own
                ),
                _range(a["epochs"] for a in own),
                _range(len(a["seeds"]) for a in own),
            ]
        )
    lines = table(["recipe", "data", "examples", "epochs", "seeds"], rows)
    if not about:
        return lines
    versions = about[-1]["versions"]
    tensorflow = versions.get("tensorflow", versions.get("tensorflow-cpu"))
    threads = {a["threads"] for a in about} - {None}
    loads = [a["load"] for a in about]
    text = (
        f"Keras {versions['keras']}, TensorFlow {tensorflow}, "
        f"{_range(a['cores'] for a in about)} CPU cores"
    )
    if threads:
        text += f", {_range(threads)} thread"
        text += "" if threads == {"1"} else "s"
    text += f", {_range(a['date'] for a in about)}."
    if max(loads) > 1.5:
        text += (
            " The machine was busy with other things (a load of up to "
            f"{max(loads):.1f}): times are to be taken as rough."
        )
    if not all(a["real"] for a in about):
        text += (
            " Made data shows a recipe at work; what helps there need not help "
            "with the world's."
        )
    text += (
        " Where examples are fewer than a recipe has, or epochs, its own page "
        "has other figures."
    )
    if left_out:
        text += f" Not measured yet:{_named(left_out, '')}."
    return [*lines, "", wrap(text)]


def accuracy(figures: Mapping[str, Any]) -> Section | None:
    """Whether shared models are better."""
    rows, outcomes = [], {}
    for name, part in _measured(figures, "accuracy"):
        change = overall_change(part)
        outcomes[name] = change.outcome
        by_task = changes_by_task(part)
        rows.append(
            [
                name,
                part["chosen"],
                str(len(part["metrics"])),
                change.text,
                change.outcome,
                _tasks(by_task, HELPED),
                _tasks(by_task, HURT),
            ]
        )
    if not rows:
        return None
    body = table(
        ["recipe", "shared by", "tasks", "Δm, %", "", "better", "worse"], rows
    )
    body += [
        "",
        wrap(
            "*Shared by* is the method that was best on validation data, of "
            "those tried; figures are of test data. *Better* and *worse* are "
            "the tasks that changed by more than chance, each for itself."
        ),
    ]
    return Section(
        "Is it better?",
        "results are better",
        finding(outcomes),
        body,
    )


def few_labels(figures: Mapping[str, Any]) -> Section | None:
    """Whether shared models need fewer examples."""
    rows = []
    outcomes: dict[str, str] = {}
    growth: dict[str, tuple[float, float]] = {}
    for name, parts in _measured(figures, "labels"):
        whole = figures[name].get("accuracy", {"failed": ""})
        comparisons = {} if "failed" in whole else {"1": whole}
        comparisons |= _keyed(parts)
        changes = {}
        for fraction, part in comparisons.items():
            change = changes[fraction] = overall_change(part)
            single = shared = "–"
            if "1" in comparisons:
                single, shared = map(signed, levels(part, whole))
            if fraction != "1":
                outcomes[f"{name} with {_percent(fraction)}"] = change.outcome
            rows.append(
                [
                    name,
                    _percent(fraction),
                    single,
                    shared,
                    change.text,
                    change.outcome,
                ]
            )
        fractions = sorted(changes, key=float)
        if "1" in changes and len(fractions) > 1:
            growth[name] = (changes["1"].mean, changes[fractions[0]].mean)
    if not rows:
        return None
    body = table(
        ["recipe", "labels", "apart", "shared", "difference, Δm, %", ""], rows
    )
    body += [
        "",
        wrap(FEW),
    ]
    if growth:
        more = [n for n, (full, few) in growth.items() if few > full]
        body += [
            "",
            wrap(
                "With the fewest labels the difference is better than with "
                f"all in {len(more) or 'none'} of {len(growth)} "
                f"{'recipe' if len(growth) == 1 else 'recipes'}{_named(more)}, "
                "by the means alone."
            ),
        ]
    return Section(
        "Does it need fewer labels?",
        "fewer labels are needed",
        finding(outcomes, "comparisons"),
        body,
    )


def one_task(figures: Mapping[str, Any]) -> Section | None:
    """Whether the labels of other tasks help a task that has few."""
    rows, outcomes = [], {}
    for name, parts in _measured(figures, "one_task"):
        for key, part in _keyed(parts).items():
            task, fraction = key.rsplit(" ", 1)
            change = changes_by_task(part)[task]
            metric = part["metrics"][task]
            outcomes[f"{name}'s {task} with {_percent(fraction)}"] = (
                change.outcome
            )
            rows.append(
                [
                    name,
                    f"{task}, {metric['name']}",
                    _percent(fraction),
                    f"{change.apart:.3g}",
                    f"{change.shared:.3g}",
                    change.text,
                    change.outcome,
                ]
            )
    if not rows:
        return None
    body = table(
        ["recipe", "task", "labels", "apart", "shared", "change, %", ""], rows
    )
    body += [
        "",
        wrap(
            "One task has lost labels, the others have all of theirs. Examples "
            "that have kept the label come more often, so that a batch holds "
            "about as many as where all tasks have lost them. The shared model "
            "has equal weights."
        ),
    ]
    return Section(
        "Do the labels of other tasks help a task that has few?",
        "the labels of other tasks help a task with few",
        finding(outcomes, "comparisons"),
        body,
    )


def cost(figures: Mapping[str, Any]) -> Section | None:
    """What one model costs against several."""
    rows: list[list[str]] = []
    found = {name: cost_ratios(p) for name, p in _measured(figures, "accuracy")}
    for name, ratios in found.items():
        part = figures[name]["accuracy"]
        rows.append(
            [
                name,
                str(len(part["metrics"])),
                part["chosen"],
                f"{ratios.parameters:.2f}",
                _spread(ratios.seconds),
                "–"
                if math.isnan(ratios.operations)
                else f"{ratios.operations:.2f}",
                "–"
                if math.isnan(ratios.inference)
                else f"{ratios.inference:.2f}",
            ]
        )
    if not rows:
        return None
    texts = []
    for what, values in {
        "fewer parameters": {n: [r.parameters] for n, r in found.items()},
        "less time to train": {n: list(r.seconds) for n, r in found.items()},
        "less time to answer": {
            n: [r.inference]
            for n, r in found.items()
            if not math.isnan(r.inference)
        },
    }.items():
        if values:
            texts.append(_cheaper(what, values))
    body = table(
        [
            "recipe",
            "models apart",
            "shared by",
            "parameters",
            "training time",
            "operations",
            "answering time",
        ],
        rows,
    )
    body += [
        "",
        wrap(
            "Of one shared model as a part of all models apart: .5 is half; "
            "less is what takes .95 or less, with each seed. "
            "Models apart are trained, and asked, one after another. Training "
            "time is that of `fit`, compiling included, as the median of the "
            "seeds and their range; *operations* are those of a forward pass; "
            "a batch of test data is answered by the models of the first seed, "
            "both sides in turns."
        ),
    ]
    return Section(
        "Is it smaller and quicker?",
        "it is smaller and quicker",
        " ".join(texts),
        body,
    )


def new_task(figures: Mapping[str, Any]) -> Section | None:
    """Whether an encoder of other tasks helps a new one."""
    rows, outcomes = [], {}
    for name, part in _measured(figures, "new_task"):
        for found in new_task_changes(part["rows"]):
            best = max(
                (found.fine_tuned, found.frozen),
                key=lambda change: change.rank,
            )
            label = f"{found.task} ({name}, {found.examples} examples)"
            outcomes[label] = best.outcome
            rows.append(
                [
                    name,
                    f"{found.task}, {found.metric}",
                    str(found.examples),
                    f"{found.fine_tuned.apart:.3g}",
                    f"{found.fine_tuned.shared:.3g}",
                    f"{found.frozen.shared:.3g}",
                    f"{found.fine_tuned.text} {found.fine_tuned.outcome}",
                    f"{found.frozen.text} {found.frozen.outcome}",
                ]
            )
    if not rows:
        return None
    body = table(
        [
            *("recipe", "new task", "examples", "from scratch"),
            *("fine-tuned", "frozen", "fine-tuned, %", "frozen, %"),
        ],
        rows,
    )
    body += [
        "",
        wrap(NEW),
    ]
    return Section(
        "Does it give a new task a start?",
        "a new task learns from fewer examples",
        finding(outcomes, "comparisons"),
        body,
    )


def finding(outcomes: Mapping[str, str], things: str = "recipes") -> str:
    """The sentence about a claim that follows from its outcomes.

    Args:
        outcomes: By what was compared.
        things: What that is, in the plural.
    """
    named = {
        outcome: [name for name, one in outcomes.items() if one == outcome]
        for outcome in (HELPED, HURT, UNDECIDED, UNKNOWN)
    }
    known = len(outcomes) - len(named[UNKNOWN])
    helped, hurt = len(named[HELPED]), len(named[HURT])
    if not known:
        return (
            "**Cannot be told**: there is one seed only, or what was measured "
            "has no change in percent."
        )
    if known == 1:
        things = things.removesuffix("s")
        where = f"in the one {things}"
    else:
        where = f"in none of {known} {things}"
    if helped == known:
        text = f"**It holds** here: sharing helped in {_all(known)} {things}"
        text += _named(named[HELPED])
    elif helped:
        text = (
            f"**It holds in part**: sharing helped in {helped} of {known} "
            f"{things}{_named(named[HELPED])}"
        )
    elif known == 1:
        word = "It fails" if hurt else "It is not shown"
        text = f"**{word}** here: no help beyond chance {where}"
    elif hurt:
        text = f"**It fails** here: sharing helped {where}"
    else:
        text = f"**It is not shown** here: sharing helped beyond chance {where}"
    if hurt:
        text += f"; it hurt in {hurt}{_named(named[HURT])}"
    text += "."
    if named[UNDECIDED] and (helped or hurt):
        count = len(named[UNDECIDED])
        text += f" {count} {'is' if count == 1 else 'are'} undecided."
    if named[UNKNOWN]:
        text += (
            f" From one seed nothing can be told of{_named(named[UNKNOWN], '')}"
            "."
        )
    return text


def failures(figures: Mapping[str, Any]) -> list[str]:
    """What could not be measured, and why."""
    lines = []
    for name, parts in figures.items():
        for key, part in parts.items():
            if "failed" in part:
                reason = " ".join(part["failed"].split())
                lines.append(f"- {name}, {key}: {reason}")
                continue
            lost = [*part.get("failures", ())]
            for one in part.values():
                if isinstance(one, dict):
                    lost += one.get("failures", ())
            lines += [
                f"- {name}, {key}: {one['label']}, seed {one['seed']}: "
                f"{' '.join(one['reason'].split())}"
                for one in lost
            ]
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; a recipe is named in its first row alone."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    before = None
    for row in rows:
        shown = ["" if row[0] == before else row[0], *row[1:]]
        lines.append(f"| {' | '.join(shown)} |")
        before = row[0]
    return lines


def wrap(text: str) -> str:
    """Lines of 80 columns."""
    return textwrap.fill(
        " ".join(text.split()),
        80,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cheaper(what: str, ratios: Mapping[str, Sequence[float]]) -> str:
    """Whether one shared model takes clearly less, in every seed."""
    less = [name for name, values in ratios.items() if max(values) <= 0.95]
    more = [name for name in ratios if name not in less]
    middle = statistics.median(
        statistics.median(values) for values in ratios.values()
    )
    word = "It holds" if len(less) == len(ratios) else "It holds in part"
    count = (
        _all(len(ratios))
        if len(less) == len(ratios)
        else f"{len(less) or 'none'} of {len(ratios)}"
    )
    things = "recipe" if len(ratios) == 1 else "recipes"
    text = (
        f"**{word if less else 'It fails'}** for *{what}*: {count} {things} "
        f"(the middle one takes {middle:.2f} times as much)"
    )
    if more:
        text += f"; not{_named(more, '')}"
    return text + "."


def _measured(figures: Mapping[str, Any], part: str) -> list[tuple[str, Any]]:
    """A part of the recipes in which it did not fail."""
    return [
        (name, parts[part])
        for name, parts in figures.items()
        if part in parts and "failed" not in parts[part]
    ]


def _keyed(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The comparisons of a part, by what was left."""
    return {key: part for key, part in parts.items() if key != "about"}


def _tasks(changes: Mapping[str, Change], outcome: str) -> str:
    names = [n for n, change in changes.items() if change.outcome == outcome]
    if len(names) > 4:
        return f"{len(names)} of {len(changes)}"
    return ", ".join(names) or "–"


def _named(names: Sequence[str], brackets: str = "()") -> str:
    """Names in brackets; too many are left to the table."""
    if not names or (brackets and len(names) > 6):
        return ""
    text = ", ".join(names)
    return f" ({text})" if brackets else f" {text}"


def _all(count: int) -> str:
    return "the one" if count == 1 else f"all {count}"


def _percent(fraction: str) -> str:
    return f"{float(fraction):.0%}".replace("%", " %")


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.2f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):.2f} to {max(values):.2f})"


def _range(values: Any) -> str:
    """Each of some values, once."""
    found = [
        f"{value:,}" if isinstance(value, int) else str(value)
        for value in dict.fromkeys(values)
    ]
    return " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
