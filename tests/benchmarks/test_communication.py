import pytest
from communication import Counts, formula, scaled, seconds
from workloads import WORKLOADS


def test_a_ring_passes_twice_the_bytes_but_one_part():
    counts = Counts(sums=3, numbers=100, bytes=400)
    # 2 · 3 / 4 of 400 bytes at 100 a second, and one round.
    assert seconds(counts, (4, 100.0, 0.5)) == pytest.approx(6.5)


def test_counts_are_taken_over_to_a_large_model():
    workload = WORKLOADS["W1-8"]
    own, shared = 1000, workload.shared_parameters
    exact = Counts(2, 8 * shared + own, 4 * (8 * shared + own))
    large = scaled(exact, workload, own, shared=1e6, heads=2e5)
    assert large.numbers == pytest.approx(8 * 1e6 + 2e5)
    assert large.bytes == pytest.approx(4 * large.numbers)
    assert formula(8, shared, own, exact.numbers) == "T P + H"
    assert formula(8, shared, own, 1.8 * shared + own) == "1.80 P + H"
