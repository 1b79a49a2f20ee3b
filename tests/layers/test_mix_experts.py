"""Stacking and mixing experts: against loops; what they refuse."""

import numpy as np
import pytest

from keras_mtl.layers import MixExperts, StackExperts

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
GROUPS = {
    "vectors": [(5, 3, 4)],
    "sequences": [(5, 7, 3, 4)],
    "maps": [(2, 3, 3, 3, 4)],
    "two_groups": [(5, 3, 4), (5, 2, 4)],
    "three_groups_of_sequences": [(5, 7, 1, 4), (5, 7, 2, 4), (5, 7, 3, 4)],
}
each_group = pytest.mark.parametrize("shapes", GROUPS.values(), ids=GROUPS)


def made(shapes):
    experts = sum(shape[-2] for shape in shapes)
    return [
        *(RNG.normal(size=shape) for shape in shapes),
        RNG.normal(size=(shapes[0][0], experts)),
    ]


def by_loops(*groups, gate):
    result = np.zeros((*groups[0].shape[:-2], groups[0].shape[-1]))
    for index in np.ndindex(result.shape):
        *position, channel = index
        column = 0
        for group in groups:
            for expert in range(group.shape[-2]):
                weight = gate[index[0], column]
                result[index] += weight * group[(*position, expert, channel)]
                column += 1
    return result


@each_group
def test_mixture_by_loops(shapes):
    *groups, gate = made(shapes)
    np.testing.assert_allclose(
        MixExperts(dtype="float64")([*groups, gate]),
        by_loops(*groups, gate=gate),
        rtol=1e-10,
        atol=1e-12,
    )


@each_group
def test_gradients_of_a_mixture_by_differences(shapes):
    assert_gradients_are_differences(MixExperts(dtype="float64"), made(shapes))


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 5, 4, 3)], ids=len)
def test_stacked_by_loops(shape):
    outputs = [RNG.normal(size=shape) for _ in range(6)]
    stacked = StackExperts(dtype="float64")(outputs)
    assert stacked.shape == (*shape[:-1], 6, 3)
    for expert, output in enumerate(outputs):
        np.testing.assert_array_equal(stacked[..., expert, :], output)


def test_gradients_of_stacking_by_differences():
    outputs = [RNG.normal(size=(2, 4, 3)) for _ in range(3)]
    assert_gradients_are_differences(StackExperts(dtype="float64"), outputs)


@pytest.mark.parametrize(
    "shapes",
    [[(2, 3, 4), (2, 4)], [(2, 3, 4), (2, 1, 4), (2, 3)], [(2, 3, 4), (2, 1)]],
    ids=str,
)
def test_a_gate_for_other_experts_is_refused(shapes):
    with pytest.raises(ValueError, match="gate must have the shape"):
        MixExperts()([np.zeros(shape, "float32") for shape in shapes])


def test_experts_of_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"of one shape.*\(2, 4\)"):
        StackExperts()([np.zeros((2, n), "float32") for n in (3, 4)])
