"""Should these tasks share? An answer in plain words, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_mtl.analysis.balancer_advice import BalancerAdvice, advise_balancer
from keras_mtl.analysis.effects import (
    HELPS,
    HURTS,
    NEITHER,
    UNCLEAR,
    UNKNOWN,
    Effect,
    gains,
    judge_effects,
)
from keras_mtl.analysis.evidence import Evidence
from keras_mtl.analysis.grouping import Grouping, group_tasks

SHARE_ALL = "share all"
GROUPS = "share in groups"
SEPARATE = "keep all apart"

# What a step for another task does counts from a twentieth of what the task's
# own step does; measured transfer from half a percent.
MATTERS = 0.05
MATTERS_PERCENT = 0.5


@dataclass(frozen=True)
class Advice:
    """What to do, and why.

    Attributes:
        kind: `SHARE_ALL`, `GROUPS` or `SEPARATE`.
        expected: `HELPS` or `NEITHER`: what sharing so does for the tasks;
            `HURTS` if the budget of networks leaves a task that suffers.
        headline: What to do, in one sentence.
        because: What it rests on, in sentences.
        sureness: How sure it is, in a sentence.
        grouping: The networks.
        by_budget: The best grouping for each number of networks.
        effects: Of each task on each other one, judged.
        balancer: Which balancer to begin with.
        remarks: On labels and overfitting, in sentences.
    """

    kind: str
    expected: str
    headline: str
    because: tuple[str, ...]
    sureness: str
    grouping: Grouping
    by_budget: tuple[Grouping, ...]
    effects: tuple[Effect, ...]
    balancer: BalancerAdvice
    remarks: tuple[str, ...]


def advise_from(evidence: Evidence, networks: int | None = None) -> Advice:
    """Advice from what was measured.

    The fewest networks are advised in which no task clearly suffers: sharing
    saves parameters and time, so it is to be left only where it does harm.
    Which tasks go together then is what `group_tasks` finds, with clear
    effects alone; an effect that seeds disagree about counts as none.

    Args:
        evidence: What was measured. Measured transfer, where it is there,
            decides in place of affinity.
        networks: At most so many; by default as many as tasks.
    """
    tasks = evidence.tasks
    measured = evidence.transfer is not None
    if measured:
        effects = judge_effects(evidence.transfer, tasks, MATTERS_PERCENT)
    else:
        effects = judge_effects(evidence.relative, tasks, MATTERS)
    matrix = gains(effects, tasks)
    most = min(networks or len(tasks), len(tasks))
    by_budget = tuple(
        group_tasks(matrix, tasks, budget) for budget in range(1, most + 1)
    )
    grouping = next(
        (g for g in by_budget if min(g.scores.values()) >= 0), by_budget[-1]
    )
    together = [network.trains for network in grouping.networks]
    if len(together) == 1:
        kind = SHARE_ALL
    elif all(len(trains) == 1 for trains in together):
        kind = SEPARATE
    else:
        kind = GROUPS
    lowest, highest = (
        min(grouping.scores.values()),
        max(grouping.scores.values()),
    )
    expected = HURTS if lowest < 0 else HELPS if highest > 0 else NEITHER
    return Advice(
        kind=kind,
        expected=expected,
        headline=_headline(
            kind,
            expected,
            grouping,
            measured,
            any(effect.judgement == HURTS for effect in effects),
        ),
        because=_because(effects, grouping, measured),
        sureness=_sureness(effects, evidence),
        grouping=grouping,
        by_budget=by_budget,
        effects=tuple(effects),
        balancer=advise_balancer(
            evidence,
            together,
            [(e.source, e.target) for e in effects if e.judgement == HELPS],
        ),
        remarks=_remarks(evidence),
    )


def _headline(
    kind: str, expected: str, grouping: Grouping, measured: bool, mixed: bool
) -> str:
    if kind == SEPARATE:
        return (
            "Do not share: give each task a network of its own, for they "
            "stand in each other's way."
        )
    if kind == SHARE_ALL:
        if expected == HELPS and mixed:
            return (
                "Share all: one network for all tasks. Some hold others back, "
                "but each of these is helped more than that."
            )
        if expected == HELPS and measured:
            return "Share all: one network for all tasks. They gain by it."
        if expected == HELPS:
            return (
                "Share all: one network for all tasks. They pull together, and "
                "none is held back."
            )
        if expected == NEITHER:
            return (
                "Share all if you want to save parameters and time; the tasks "
                "neither help nor hinder each other, so expect no better "
                "results from it."
            )
        return (
            "One network is all that the budget allows, but some tasks will "
            "suffer in it."
        )
    parts = []
    for network in grouping.networks:
        part = " and ".join(network.serves)
        if len(network.trains) == 1:
            part += " alone"
        elif network.helpers:
            part += f" (with {' and '.join(network.helpers)} to help it learn)"
        else:
            part += " together"
        parts.append(part)
    return (
        f"Share in {len(parts)} networks: {'; '.join(parts)}."
        if expected != HURTS
        else f"Within the budget, the least harm is in {len(parts)} networks: "
        f"{'; '.join(parts)}. Some tasks will suffer."
    )


def _because(
    effects: Sequence[Effect], grouping: Grouping, measured: bool
) -> tuple[str, ...]:
    sentences = []
    if measured:
        subject, hurt, helped = "training with ", "worsens", "improves"
    else:
        subject, hurt, helped = "a step for ", "sets back", "helps"
    for judgement, verb in ((HURTS, hurt), (HELPS, helped)):
        found = sorted(
            (e for e in effects if e.judgement == judgement),
            key=lambda e: -abs(e.mean),
        )
        if found:
            named = ", ".join(
                f"{e.source} {verb} {e.target}" for e in found[:4]
            )
            more = f", and {len(found) - 4} more" if len(found) > 4 else ""
            sentences.append(f"In every seed {subject}{named}{more}.")
    if not sentences:
        sentences.append(
            "No task has an effect on another that is large enough to matter "
            "and the same in every seed."
        )
    suffering = [task for task, s in grouping.scores.items() if s < 0]
    if suffering:
        sentences.append(f"Worse off than alone: {', '.join(suffering)}.")
    return tuple(sentences)


def _sureness(effects: Sequence[Effect], evidence: Evidence) -> str:
    seeds = evidence.seeds
    clear = sum(e.judgement not in (UNCLEAR, UNKNOWN) for e in effects)
    what = (
        "Measured on validation data, by training every pair and every task "
        "alone"
        if evidence.transfer is not None
        else "Told from gradients while all tasks trained together, not from "
        "results: a short cut that can be wrong"
    )
    if seeds == 1:
        return f"{what}; with one seed nobody can say how much is chance."
    chance = 2 ** (seeds - 1)
    return (
        f"{what}. {clear} of {len(effects)} effects are clear in {seeds} of "
        f"{seeds} seeds; by chance alone, one in {chance} effects that are not "
        "there would look the same in every seed."
    )


def _remarks(evidence: Evidence) -> tuple[str, ...]:
    remarks = [r for check in evidence.labels.values() for r in check.remarks]
    for task, check in evidence.labels.items():
        if 0 < check.missing < 1:
            remarks.append(
                f"{check.missing:.0%} of the labels of {task} are missing."
            )
    for i, task in enumerate(evidence.tasks):
        if np.isnan(evidence.relative[:, :, i]).all():
            remarks.append(
                f"Steps for {task} at the optimizer's learning rate do not "
                "lower its own loss, or that loss is not positive: what helps "
                "it cannot be told."
            )
    for task, gaps in evidence.gaps.items():
        if all(gap.overfits for gap in gaps):
            epoch = sorted(gap.best_epoch for gap in gaps)[len(gaps) // 2]
            remarks.append(
                f"{task} overfits from about epoch {epoch + 1}, in every seed: "
                "schedules.TaskEarlyStopping can stop it alone."
            )
    return tuple(remarks)
