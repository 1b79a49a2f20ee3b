import numpy as np
import pytest

from keras_mtl.analysis.effects import gains, judge_effects


@pytest.mark.parametrize(
    ("values", "judgement", "gain"),
    [
        ([0.1, 0.2, 0.3], "helps", 0.2),
        ([-0.1, -0.2, -0.3], "hurts", -0.2),
        ([0.01, 0.02, 0.03], "neither", 0),
        ([-0.1, 0.5, 0.5], "unclear", 0),
        ([0.1, np.nan, 0.3], "helps", 0.2),
        ([np.nan] * 3, "unknown", 0),
    ],
)
def test_judgements(values, judgement, gain):
    effects = judge_effects(
        np.array(values)[:, None, None] * np.array([[1, 1], [0, 1]]),
        ["a", "b"],
        0.05,
    )
    (effect, _) = effects
    assert (effect.source, effect.target) == ("a", "b")
    assert effect.judgement == judgement
    assert gains(effects, ["a", "b"])[0, 1] == pytest.approx(gain)
    assert gains(effects, ["a", "b"])[1, 0] == 0
