"""Whether sharing helped, in plain words."""

import math
from dataclasses import dataclass

from keras_mtl.analysis.results import SINGLE, Comparison, Spread

HELPED = "helped"
HURT = "did not help"
UNDECIDED = "within the spread"
UNKNOWN = "unknown"

RULE = (
    "A difference counts if it is larger than the spread between seeds: one "
    "standard deviation of the single-task and of the shared models together."
)


@dataclass(frozen=True)
class Verdict:
    """A judgement and the sentences that say it.

    Attributes:
        outcome: `HELPED`, `HURT`, `UNDECIDED` or `UNKNOWN`, over all tasks.
        sentence: The judgement over all tasks.
        tasks: One sentence for each task.
        cost: Parameters and times against the separate models.
    """

    outcome: str
    sentence: str
    tasks: dict[str, str]
    cost: str


def verdict(comparison: Comparison) -> Verdict:
    """Judges the shared model that was chosen on validation data.

    A difference counts as one only if it exceeds the standard deviation over
    seeds of the single-task and the shared models, added in quadrature. With
    one seed there is no spread, and nothing is concluded.
    """
    chosen = comparison.summary(comparison.chosen)
    single = comparison.summary(SINGLE)
    seeds = len(comparison.seeds)
    outcomes = {
        task: _judge(delta, single.deltas[task])
        for task, delta in chosen.deltas.items()
    }
    outcome = _judge(chosen.delta_m, single.delta_m)
    sentence = _overall(outcome, chosen.method, chosen.delta_m, seeds)
    for kind, verb in ((HURT, "lost"), (HELPED, "gained")):
        names = [task for task, o in outcomes.items() if o == kind]
        if names and outcome not in (kind, UNKNOWN):
            sentence += f" But {_and(names)} {verb} by it."
    return Verdict(
        outcome=outcome,
        sentence=sentence,
        tasks={
            task: f"{task}: {_task(outcomes[task], delta)}"
            for task, delta in chosen.deltas.items()
        },
        cost=_cost(comparison),
    )


def percent(spread: Spread) -> str:
    """A signed change with its spread: "+1.2 ± 0.3 %"."""
    if math.isnan(spread.mean):
        return "undefined"
    if math.isnan(spread.sd):
        return f"{signed(spread.mean)} %"
    return f"{signed(spread.mean)} ± {spread.sd:.1f} %"


def signed(value: float) -> str:
    """With one decimal and a sign, but for zero: "+1.2", "0.0"."""
    text = f"{value:+.1f}"
    return text[1:] if float(text) == 0 else text


def _judge(delta: Spread, single: Spread) -> str:
    spread = math.hypot(delta.sd, single.sd)
    if math.isnan(delta.mean) or math.isnan(spread):
        return UNKNOWN
    if delta.mean > spread:
        return HELPED
    return HURT if delta.mean < -spread else UNDECIDED


def _overall(outcome: str, method: str, delta: Spread, seeds: int) -> str:
    change = percent(delta)
    if outcome == HELPED:
        return (
            f"Sharing helped: the shared model with {method}, chosen on "
            f"validation data, is on average over the tasks {change} against "
            "single-task models, more than the spread between seeds."
        )
    if outcome == HURT:
        return (
            "Sharing did not help: even the best shared model on validation "
            f"data, with {method}, is on average over the tasks {change} "
            "against single-task models, a loss larger than the spread "
            "between seeds."
        )
    if outcome == UNDECIDED:
        return (
            "Sharing did not help measurably: the best shared model on "
            f"validation data, with {method}, is on average over the tasks "
            f"{change} against single-task models, within the spread between "
            "seeds."
        )
    if math.isnan(delta.mean):
        return (
            "Whether sharing helped cannot be said: Δm is undefined, because "
            "a single-task value is 0 or a training diverged."
        )
    return (
        "Whether sharing helped cannot be said from "
        f"{seeds} seed{'s' if seeds > 1 else ''}: the shared model with "
        f"{method} is on average over the tasks {change} against single-task "
        "models. More seeds tell whether that is more than chance."
    )


def _task(outcome: str, delta: Spread) -> str:
    change = percent(delta)
    return {
        HELPED: f"better shared ({change})",
        HURT: f"worse shared ({change})",
        UNDECIDED: f"no difference beyond the spread ({change})",
        UNKNOWN: f"{change}, spread unknown",
    }[outcome]


def _cost(comparison: Comparison) -> str:
    chosen = comparison.summary(comparison.chosen)
    single = comparison.summary(SINGLE)
    parameters = chosen.parameters / single.parameters
    seconds = chosen.seconds.mean / single.seconds.mean
    text = (
        f"Against {len(comparison.metrics)} separate models, the one with "
        f"{chosen.method} has {parameters:.2f} times the parameters and took "
        f"{seconds:.2f} times the training time"
    )
    if comparison.inference is None:
        return text + "."
    inference = comparison.inference
    ratio = inference.shared[1] / inference.separate[1]
    return text + (
        f"; it answers a batch of {inference.batch_size} in {ratio:.2f} times "
        "the time."
    )


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
