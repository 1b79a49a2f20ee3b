"""Writes the tables of `which_balancer.md` from the registry.

    python docs/generate.py

The page's other text is written by hand; what stands between the two markers
is replaced. Step times come from `benchmarks/results/step_time.json`, where
`make bench` has left one.
"""

import inspect
import json
import math
import os
import re
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_mtl import balancers
from keras_mtl._files import write_text

PAGE = Path(__file__).with_name("which_balancer.md")
STEP_TIMES = PAGE.parents[1] / "benchmarks/results/step_time.json"
WORKLOAD = "W1-8"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

# For what constructors ask without a default.
NEEDED = {
    "balancer": ("another method", "imtlg"),
    "groups": ("K groups of tasks", [[0], [1, 2, 3, 4, 5, 6]]),
    "preference": ("a preference", [1.0] * 7),
}
# A number of tasks by which a size tells what it counts: 7 is T, 49 is T².
NUM_TASKS = 7
NUM_GROUPS = 2

KINDS = {
    "Loss weighting": "Weights from the losses alone. One backward pass.",
    "Gradient methods": (
        "Weights from the T×T Gram matrix of the tasks' gradients with "
        'respect to the shared part. With `wrt="variables"` it takes T '
        'backward passes through the shared part; with `wrt="features"` one, '
        "where the table says so."
    ),
    "Coordinate by coordinate": (
        "The whole Jacobian, without weights for the tasks. Passes as above."
    ),
    "Wrappers": (
        "Change what another method does. Needs and state of that method come "
        "on top."
    ),
}


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """A section with a table for each kind of method."""
    rows: dict[str, list[str]] = {kind: [] for kind in KINDS}
    times = step_times()
    for name in balancers.registry:
        cls = balancers.registry[name]
        asked = required(cls)
        method = cls(**{a: NEEDED[a][1] for a in asked})
        cells = (
            f"`{name}`<br>`{cls.__name__}`",
            cls.__doc__.strip().split("\n")[0],
            "<br>".join(needs(method, asked)),
            passes(method, asked),
            state(method),
            times.get(name, "—"),
            paper(cls.__doc__),
        )
        rows[kind(method, asked)].append(f"| {' | '.join(cells)} |")
    head = (
        "| name | what it does | needs | backward passes | state | step time "
        "| paper |\n|---|---|---|---|---|---|---|"
    )
    return "\n".join(
        f"\n### {kind}\n\n{text}\n\n{head}\n" + "\n".join(rows[kind])
        for kind, text in KINDS.items()
        if rows[kind]
    )


def required(cls: type) -> list[str]:
    """Arguments without a default."""
    return [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]


def kind(method: balancers.Balancer, asked: list[str]) -> str:
    """The table that a method belongs to."""
    if {"balancer", "groups"} & set(asked):
        return "Wrappers"
    if isinstance(method, balancers.LossBalancer):
        return "Loss weighting"
    if isinstance(method, balancers.CoordinateBalancer):
        return "Coordinate by coordinate"
    return "Gradient methods"


def needs(method: balancers.Balancer, asked: list[str]) -> list[str]:
    """What a method has to be given."""
    found = [NEEDED[argument][0] for argument in asked]
    if kind(method, asked) == "Wrappers":
        return found
    if isinstance(method, balancers.CoordinateBalancer):
        found.append("whole Jacobian")
    elif getattr(method, "needs_gradients", False):
        found.append("Gram matrix")
    if method.needs_positive_losses:
        found.append("positive losses")
    elif isinstance(method, balancers.LossBalancer) or method.needs_losses:
        found.append("losses")
    if getattr(method, "double_sampled", False):
        found.append("two halves of the batch")
    if getattr(method, "looks_again", False):
        found.append("a second forward pass")
    return found


def passes(method: balancers.Balancer, asked: list[str]) -> str:
    """Backward passes through the shared part."""
    if kind(method, asked) == "Wrappers":
        return "as inside"
    if isinstance(method, balancers.LossBalancer):
        return "1"
    if not getattr(method, "needs_gradients", True):
        return "1"
    exact = "2 T" if getattr(method, "double_sampled", False) else "T"
    if method.exact_only:
        return exact
    if method.wrt == "features":
        return f"1; {exact} with `variables`"
    return f"{exact}; 1 with `features`"


def state(method: balancers.Balancer) -> str:
    """How many numbers a method keeps."""
    if isinstance(method, balancers.TrackingBalancer):
        method.bind_variables([NUM_TASKS**3])
    method.build((NUM_TASKS,))
    learned = _sizes(method.trainable_variables)
    kept = _sizes(method.non_trainable_variables)
    seed = len(method.variables) - len(method.weights)
    parts = [f"{learned} learned" if learned else "", kept]
    parts.append("a seed" if seed else "")
    return ", ".join(filter(None, parts)) or "—"


def _sizes(variables: list) -> str:
    """A sum such as "2 T + 1"."""
    symbols = {
        NUM_TASKS**4: "T P",
        NUM_TASKS**2: "T²",
        NUM_TASKS: "T",
        NUM_GROUPS: "K",
        1: "",
    }
    variables = [v for v in variables if not v.path.endswith("generator_state")]
    count = Counter(math.prod(v.shape) for v in variables)
    terms = []
    for size, symbol in symbols.items():
        if number := count.pop(size, 0):
            factor = str(number) if number > 1 or not symbol else ""
            terms.append(f"{factor} {symbol}".strip())
    if count:
        raise ValueError(f"Sizes that count nothing known: {dict(count)}")
    return " + ".join(terms)


def paper(doc: str) -> str:
    """A link to the arXiv or DOI of the reference, else title and year.

    These lead to its address, if the reference has one.
    """
    reference = " ".join(doc.partition("Reference:")[2].split())
    if found := re.search(r"arXiv:(\d{4}\.\d{4,5})", reference):
        return f"[{found[1]}](https://arxiv.org/abs/{found[1]})"
    if found := re.search(r"doi:(\S+[^\s.,;])", reference):
        return f"[doi](https://doi.org/{found[1]})"
    title = re.search(r'"([^"]+)"', reference)
    year = re.search(r"\b(19|20)\d\d\b", reference)
    parts = [title[1] if title else "", year[0] if year else ""]
    text = ", ".join(filter(None, parts)) or "—"
    url = re.search(r"https://[^\s,]+[^\s,.;]", reference)
    return f"[{text}]({url[0]})" if url else text


def step_times() -> dict[str, str]:
    """Median ratios to a step of plain Keras, by name."""
    if not STEP_TIMES.exists():
        return {}
    ratios = {
        record["variant"]: record["to_plain"]["median"]
        for record in json.loads(STEP_TIMES.read_text("utf-8"))["records"]
        if record["workload"] == WORKLOAD
    }
    found = {}
    for name in balancers.registry:
        texts = [f"{ratios[name]:.2f}"] if name in ratios else []
        if (features := f"{name}@features") in ratios:
            texts.append(f"{ratios[features]:.2f} with `features`")
        if texts:
            found[name] = "; ".join(texts)
    return found


if __name__ == "__main__":
    write_text(PAGE, page())
