"""Trainings are killed and go on; the figure is in `kills.py`."""

import pytest

from tests.faults.kills import kill_and_resume


@pytest.mark.slow
def test_nothing_is_lost_by_fifty_kills(tmp_path):
    hit, found = kill_and_resume(50, tmp_path)
    assert hit.total() == 50
    assert set(hit) == {"step", "saving", "logging"}
    assert found["half a checkpoint beside the good one"] > 0
