import dataclasses

import numpy as np
import pytest
from evidence_cases import SEEDS, evidence

from keras_mtl import balancers
from keras_mtl.analysis.advice import (
    GROUPS,
    SEPARATE,
    SHARE_ALL,
    advise_from,
)

HELP = [[1, 0.4], [0.3, 1]]
NOTHING = [[1, 0.01], [-0.02, 1]]
FIGHT = [[1, -0.4], [-0.3, 1]]
GROUPED = [[1, 0.4, -0.3], [0.4, 1, -0.3], [-0.3, -0.3, 1]]
ONE_WAY = [[1, 0.4], [-0.4, 1]]
MIXED = [[1, 0, 0.4], [0, 1, -0.2], [0.2, 0.2, 1]]


@pytest.mark.parametrize(
    ("relative", "kind", "expected", "headline"),
    [
        (HELP, SHARE_ALL, "helps", "They pull together, and none is held"),
        (NOTHING, SHARE_ALL, "neither", "neither help nor hinder"),
        (FIGHT, SEPARATE, "neither", "Do not share"),
        (GROUPED, GROUPS, "helps", "2 networks: a and b together; c alone"),
        (MIXED, SHARE_ALL, "helps", "Some hold others back, but each of these"),
        (ONE_WAY, GROUPS, "helps", "a alone; b (with a to help it learn)"),
    ],
)
def test_kinds(relative, kind, expected, headline):
    advice = advise_from(evidence(relative))
    assert (advice.kind, advice.expected) == (kind, expected)
    assert headline in advice.headline
    assert (
        "clear in 5 of 5 seeds; by chance alone, one in 16" in advice.sureness
    )


def test_seeds_that_disagree_change_nothing():
    advice = advise_from(evidence(FIGHT, spread=0.6))
    assert (advice.kind, advice.expected) == (SHARE_ALL, "neither")
    assert {e.judgement for e in advice.effects} == {"unclear"}
    assert "0 of 2 effects are clear" in advice.sureness
    assert "No task has an effect" in advice.because[0]


def test_a_budget_that_is_too_small_is_told():
    advice = advise_from(evidence(FIGHT), networks=1)
    assert (advice.kind, advice.expected) == (SHARE_ALL, "hurts")
    assert "some tasks will suffer" in advice.headline
    assert advice.because[-1] == "Worse off than alone: a, b."
    three = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    advice = advise_from(evidence(three), networks=2)
    assert advice.kind == GROUPS
    assert "the least harm is in 2 networks" in advice.headline
    assert len(advice.by_budget) == 2


def test_measured_transfer_decides_where_it_is():
    transfer = np.array([np.array(HELP) * 10] * SEEDS)
    advice = advise_from(evidence(FIGHT, transfer=transfer))
    assert (advice.kind, advice.expected) == (SHARE_ALL, "helps")
    assert "Measured on validation data" in advice.sureness
    assert advice.headline.endswith("They gain by it.")
    assert advice.because == (
        "In every seed training with a improves b, b improves a.",
    )


def cosine(value):
    return np.full((SEEDS, 2, 2), float(value))


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({}, None, "equal weights will do"),
        ({"mean_cosines": cosine(-0.3)}, "pcgrad", "a and b point apart"),
        (
            {"lengths": np.array([[0.5, 2.0]] * SEEDS)},
            "uncertainty",
            "b are 4.0 times as long as those of a",
        ),
        (
            {
                "mean_cosines": cosine(-0.3),
                "lengths": np.array([[0.5, 2.0]] * SEEDS),
            },
            "imtlg",
            "take a method that evens out both",
        ),
        (
            {
                "losses": {"a": 1.0, "b": 40.0},
                "weights": {"a": 1.0, "b": 0.025},
            },
            "fixed",
            "40 times the smallest",
        ),
    ],
)
def test_balancers(changes, name, why):
    advice = advise_from(evidence(NOTHING, **changes)).balancer
    assert advice.balancer == name
    assert why in advice.why
    named = {name, *advice.others} - {None}
    assert named <= set(balancers.registry)
    assert (advice.weights is None) == (name != "fixed")


def test_gradients_that_cancel_are_no_conflict_of_tasks_that_help():
    advice = advise_from(evidence(HELP, mean_cosines=cosine(-0.3)))
    assert advice.balancer.balancer is None


def test_nothing_to_balance_in_networks_of_one_task():
    advice = advise_from(evidence(FIGHT, mean_cosines=cosine(-0.5)))
    assert "nothing to balance" in advice.balancer.why


def test_remarks():
    from keras_mtl.analysis.label_checks import LabelCheck
    from keras_mtl.analysis.overfitting import OverfittingGap

    rising = OverfittingGap([1.0, 0.5, 0.2], [1.0, 0.6, 0.9])
    advice = advise_from(
        evidence(
            HELP,
            labels={
                "a": LabelCheck(9, 0.5, 0.0, 1.0, np.nan, ()),
                "b": LabelCheck(9, 0.0, 9.0, 1.0, np.nan, ("Odd.",)),
            },
            gaps={
                "a": [rising] * SEEDS,
                "b": [OverfittingGap([1.0, 0.5], [1.0, 0.6]), rising],
            },
        )
    )
    assert advice.remarks[0] == "Odd."
    assert advice.remarks[1] == "50% of the labels of a are missing."
    assert "a overfits from about epoch 3" in advice.remarks[2]
    assert len(advice.remarks) == 3


def test_a_task_whose_own_steps_do_not_help_it_is_told():
    advice = advise_from(evidence([[1, np.nan], [0.5, np.nan]]))
    assert "Steps for b at the optimizer's learning rate" in advice.remarks[0]
    assert [e.judgement for e in advice.effects] == ["unknown", "helps"]
    assert advice.kind == SHARE_ALL


def test_one_seed_claims_nothing():
    one = evidence(HELP)
    one = dataclasses.replace(
        one, relative=one.relative[:1], affinity=one.affinity[:1]
    )
    assert "with one seed nobody can say" in advise_from(one).sureness
