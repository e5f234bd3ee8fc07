"""A run killed at random points, SIGKILL to all of its processes, loses nothing and doubles
nothing. ``make chaos`` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills import differences, killed_and_undisturbed


@pytest.mark.parametrize(("fixture", "kills"), [("all", 10), ("sessions", 10), ("duplicates", 10)])
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_nobody_disturbed(
    tmp_path: Path, fixture: str, kills: int
) -> None:
    killed, calm, where = killed_and_undisturbed(tmp_path, fixture, kills, seed=1)
    assert list(differences(killed, calm)) == []
    # The kills were where they can do harm.
    assert where["in a batch"] + where["the last commit is gone"] >= kills / 3, where
    assert len(killed.rows("late")) > 3 * kills
    assert len(killed.rows("malformed", "1")) > kills / 3
    if fixture == "all":
        told = {each["kind"] for each in killed.rows("alerts")}
        assert told == {"alert", "recovered", "correction"}
