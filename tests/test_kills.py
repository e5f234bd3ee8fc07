"""A run killed at random points, SIGKILL to all of its processes, loses nothing and doubles
nothing. ``make chaos`` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import differences, killed_and_undisturbed


#: Kills, and whether duplicates are dropped.
@pytest.mark.parametrize(("kills", "deduplicates"), [(20, False), (10, True)])
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_nobody_disturbed(
    tmp_path: Path, kills: int, deduplicates: bool
) -> None:
    killed, calm, where = killed_and_undisturbed(tmp_path, kills, 1, deduplicates)
    assert list(differences(killed, calm)) == []
    # The kills were where they can do harm.
    assert where["in a batch"] + where["the last commit is gone"] >= kills / 3, where
    assert len(killed.rows("late")) > 3 * kills
    assert len(killed.rows("malformed", "1")) > kills / 3
