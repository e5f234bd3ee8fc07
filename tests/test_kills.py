"""A run killed at random points, SIGKILL to all of its processes, loses nothing and doubles
nothing. ``make chaos`` does more of it."""

from __future__ import annotations

from pathlib import Path

from tests.kills import differences, killed_and_undisturbed

KILLS = 30


def test_a_run_that_is_killed_thirty_times_ends_like_one_that_nobody_disturbed(
    tmp_path: Path,
) -> None:
    killed, calm, where = killed_and_undisturbed(tmp_path, KILLS, seed=1)
    assert list(differences(killed, calm)) == []
    # The kills were where they can do harm.
    assert where["in a batch"] + where["the last commit is gone"] >= KILLS / 3, where
    assert len(killed.rows("late")) > 100
    assert len(killed.rows("malformed", "1")) > 10
