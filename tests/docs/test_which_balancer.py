import json
import re

import pytest

from keras_mtl import balancers


def test_the_page_is_what_the_generator_writes(generate):
    text = generate.PAGE.read_text("utf-8")
    assert text == generate.page(), "run `make docs`"


def test_every_method_has_one_row(generate):
    rows = re.findall(r"^\| `(\w+)`<br>`(\w+)` \|", generate.tables(), re.M)
    assert sorted(rows) == [
        (name, balancers.registry[name].__name__) for name in balancers.registry
    ]


def test_what_the_page_advises_exists(generate):
    text = generate.PAGE.read_text("utf-8")
    advice = text.partition("| what you see | try |")[2].partition("\n\n")[0]
    advised = [
        name
        for line in advice.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[2])
    ]
    assert len(advised) > 10
    assert set(advised) <= set(balancers.registry)


@pytest.mark.parametrize(
    ("method", "needs", "passes", "state"),
    [
        (balancers.Fixed(), ["losses"], "1", "—"),
        (balancers.Uncertainty(), ["losses"], "1", "T learned"),
        (balancers.MGDA(), ["Gram matrix"], "T; 1 with `features`", "—"),
        (
            balancers.MGDA(normalize="loss", wrt="features", update_every=2),
            ["Gram matrix", "positive losses"],
            "1; T with `variables`",
            "T + 1",
        ),
        (
            balancers.GradDrop(),
            ["whole Jacobian"],
            "T; 1 with `features`",
            "a seed",
        ),
    ],
)
def test_cells(generate, method, needs, passes, state):
    assert generate.needs(method, []) == needs
    assert generate.passes(method, []) == passes
    assert generate.state(method) == state


def test_needs_that_few_methods_have(generate):
    class Odd(balancers.LossBalancer):
        looks_again = True

    assert generate.needs(Odd(), ["preference"]) == [
        "a preference",
        "losses",
        "a second forward pass",
    ]

    class Sampled(balancers.GradientBalancer):
        double_sampled = True
        needs_losses = True

    sampled = Sampled()
    assert generate.needs(sampled, []) == [
        "Gram matrix",
        "losses",
        "two halves of the batch",
    ]
    assert generate.passes(sampled, []).startswith("2 T")

    class Tracking(balancers.TrackingBalancer):
        pass

    tracking = Tracking()
    assert generate.passes(tracking, []) == "T"
    assert generate.state(tracking) == "T P"


@pytest.mark.parametrize(
    ("reference", "link"),
    [
        (
            'A, "Title", 2020, arXiv:2001.06782. Rest.',
            "[2001.06782](https://ar",
        ),
        (
            'A, "Title", 2020, doi:10.1007/9_17. Rest.',
            "[doi](https://doi.org/10",
        ),
        ('A, "A long\n  title", 2020.', "A long title, 2020"),
        ("By nobody.", "—"),
    ],
)
def test_papers(generate, reference, link):
    assert generate.paper(f"Text.\n\nReference:\n  {reference}").startswith(
        link
    )


def test_step_times(generate, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "STEP_TIMES", tmp_path / "step_time.json")
    assert generate.step_times() == {}
    records = [
        {
            "workload": workload,
            "variant": variant,
            "to_plain": {"median": value},
        }
        for workload, variant, value in [
            ("W1-8", "plain", 1.0),
            ("W1-8", "mgda", 2.444),
            ("W1-8", "mgda@features", 1.08),
            ("W1-8", "fixed", 1.013),
            ("W1-2", "fixed", 9.0),
            ("W1-8", "gradnorm@features", 1.1),
        ]
    ]
    generate.STEP_TIMES.write_text(json.dumps({"records": records}))
    assert generate.step_times() == {
        "fixed": "1.01",
        "gradnorm": "1.10 with `features`",
        "mgda": "2.44; 1.08 with `features`",
    }
