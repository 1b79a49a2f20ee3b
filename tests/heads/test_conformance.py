"""The contracts of layers, run over the rows of heads; outputs are float32."""

import keras
import numpy as np
import pytest

from keras_mtl import heads
from tests.layers.test_conformance import (
    assert_close,
    make,
    test_a_mask_passes_through,  # noqa: F401
    test_compiled_by_xla_it_gives_the_same,  # noqa: F401
    test_config_makes_the_same_layer,  # noqa: F401
    test_double_precision_stays_double,  # noqa: F401
    test_exported_in_a_model_it_gives_the_same,  # noqa: F401
    test_gradients_are_finite_and_reach_every_weight,  # noqa: F401
    test_saved_in_a_model_and_loaded,  # noqa: F401
    test_shapes_are_as_computed,  # noqa: F401
)

from .cases import CASES


def test_registry_exports_and_rows_name_the_same_heads():
    exported = {getattr(heads, name) for name in heads.__all__}
    registered = {heads.registry[name] for name in heads.registry}
    assert registered <= exported
    assert {case.name for case in CASES} == set(heads.registry)


@pytest.mark.parametrize(
    "policy", ["float16", "mixed_float16", "mixed_bfloat16"]
)
def test_outputs_are_float32_under_any_policy(case, policy):
    head, x = make(case, policy), case.arrays()
    outputs = keras.tree.flatten(head(x))
    assert {y.dtype.name for y in outputs} == {"float32"}
    assert {y.dtype for y in keras.tree.flatten(head(case.symbols()))} == {
        "float32"
    }
    whole = make(case)
    whole(x)
    whole.set_weights(head.get_weights())
    rough = 1e-1 if policy == "mixed_bfloat16" else 2e-2
    assert_close(outputs, whole(x), rtol=rough, atol=rough)


def test_outputs_of_large_features_are_finite(case):
    head, x = make(case), case.arrays()
    large = [1e4 * x[0], x[1]] if isinstance(x, list) else 1e4 * x
    for y in keras.tree.flatten(head(large)):
        assert np.isfinite(np.asarray(y)).all()
