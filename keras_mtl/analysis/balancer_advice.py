"""Which balancer suits what was measured, and why."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from keras_mtl.analysis.evidence import Evidence
from keras_mtl.analysis.loss_scales import FAR_APART, scale_ratio

# A mean cosine below this, in every seed, is a conflict to do something about.
CONFLICT = -0.1
# Gradients that many times longer than others lead.
LEADS = 3.0


@dataclass(frozen=True)
class BalancerAdvice:
    """A balancer to begin with.

    Attributes:
        balancer: Its name, or None for equal weights.
        others: What to try next, by name.
        why: In one or two sentences.
        weights: Constant weights that put the losses on one scale; None where
            they are.
    """

    balancer: str | None
    others: tuple[str, ...]
    why: str
    weights: dict[str, float] | None


def advise_balancer(
    evidence: Evidence,
    together: Sequence[Sequence[str]],
    helping: Collection[tuple[str, str]] = (),
) -> BalancerAdvice:
    """The simplest balancer that mends what is wrong.

    Losses of different scales want constant weights; gradients of different
    lengths a method that evens lengths; gradients that point apart one that
    turns them; both, one that does both; and else nothing is to be mended.

    Args:
        evidence: What was measured.
        together: The tasks of each network; conflicts between tasks that are
            not in one network count for nothing.
        helping: Pairs that help each other all the same: near the end of a
            training that goes well gradients cancel, so that they point apart.
    """
    index = {task: i for i, task in enumerate(evidence.tasks)}
    pairs = [
        (a, b)
        for tasks in together
        for n, a in enumerate(tasks)
        for b in tasks[n + 1 :]
    ]
    cosines = evidence.mean_cosines
    apart = [
        (a, b)
        for a, b in pairs
        if not {(a, b), (b, a)} & set(helping)
        and (cosines[:, index[a], index[b]] < CONFLICT).all()
    ]
    lengths = np.exp(np.log(evidence.lengths).mean(axis=0))
    uneven = [
        (a, b) if lengths[index[a]] > lengths[index[b]] else (b, a)
        for a, b in pairs
        if abs(np.log(lengths[index[a]] / lengths[index[b]])) > np.log(LEADS)
    ]
    ratio = scale_ratio(evidence.losses)
    weights = dict(evidence.weights) if ratio > FAR_APART else None
    if not pairs:
        return BalancerAdvice(
            None,
            (),
            "No network learns more than one task: there is nothing to "
            "balance.",
            None,
        )
    name, others, why = _method(apart, uneven, lengths, index)
    if weights is not None:
        why = (
            f"Before training the largest loss is {ratio:.0f} times the "
            "smallest: put them on one scale first, by standardizing targets "
            f"or by these weights. With them: {why[0].lower()}{why[1:]}"
        )
        if name is None:
            name = "fixed"
    return BalancerAdvice(name, others, why, weights)


def _method(
    apart: list[tuple[str, str]],
    uneven: list[tuple[str, str]],
    lengths: np.ndarray,
    index: dict[str, int],
) -> tuple[str | None, tuple[str, ...], str]:
    if apart and uneven:
        return (
            "imtlg",
            ("nash_mtl", "fairgrad", "aligned_mtl"),
            f"The gradients of {_pairs(apart)} point apart in every seed, and "
            f"those of {uneven[0][0]} are longer by more than {LEADS:g} times "
            "than others: take a method that evens out both.",
        )
    if apart:
        return (
            "pcgrad",
            ("cagrad", "upgrad"),
            f"The gradients of {_pairs(apart)} point apart in every seed, and "
            "are about equally long: take a method that turns them.",
        )
    if uneven:
        long, short = uneven[0]
        times = lengths[index[long]] / lengths[index[short]]
        return (
            "uncertainty",
            ("imtl_loss", "gradnorm"),
            f"The gradients of {long} are {times:.1f} times as long as those "
            f"of {short}, so that it leads the shared part, but no two tasks "
            "pull apart: weights are enough.",
        )
    return (
        None,
        (),
        "Gradients are of similar length, and no two tasks of one network "
        "pull apart in every seed: equal weights will do.",
    )


def _pairs(pairs: list[tuple[str, str]]) -> str:
    named = [f"{a} and {b}" for a, b in pairs[:3]]
    return "; ".join(named) + ("; …" if len(pairs) > 3 else "")
