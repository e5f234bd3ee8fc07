"""Which window is behind which: in plain numbers, as everywhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import plan
from engine.analysis._steps import Steps
from tests.model import spans

SECOND = 1_000_000
#: Windows, and how the model calls them.
WINDOWS: list[tuple[plan.Tumbling | plan.Hopping | plan.Calendar, tuple[Any, ...]]] = [
    (plan.Tumbling(10_000), (10, 10)),
    (plan.Hopping(60_000, 15_000), (60, 15)),
    (plan.Hopping(50_000, 15_000), (50, 15)),
    (plan.Calendar(1, "day", "Europe/Athens"), ("Europe/Athens", 1)),
    (plan.Calendar(3, "day", "America/Toronto"), ("America/Toronto", 3)),
    (plan.Calendar(1, "week", "Europe/Athens"), ("Europe/Athens", "week", 1)),
    (plan.Calendar(1, "month", "America/Havana"), ("America/Havana", "month", 1)),
    (plan.Calendar(5, "month", "Pacific/Apia"), ("Pacific/Apia", "month", 5)),
]
TIMES = st.integers(-2_500_000_000, 4_000_000_000)


@pytest.mark.parametrize(("window", "about"), WINDOWS, ids=lambda each: str(each))
@given(time=TIMES, count=st.integers(1, 40))
# Toronto in 1919: clocks went from 23:30 to 00:30. Apia had no 2011-12-30.
@example(time=-1_601_753_400, count=1)
@example(time=1_325_239_200, count=2)
def test_windows_follow_each_other(
    window: plan.Tumbling | plan.Hopping | plan.Calendar,
    about: tuple[Any, ...],
    time: int,
    count: int,
) -> None:
    steps = Steps(window)
    start, end = max(spans(time, about))
    assert steps.start(time * SECOND) == start * SECOND
    assert steps.end(start * SECOND) == end * SECOND
    there = start
    for _ in range(count):
        # Where windows overlap, the next one is not the one that begins at the end.
        there = there + about[1] if isinstance(window, plan.Hopping) else spans(there, about)[0][1]
    assert steps.later(start * SECOND, count) == there * SECOND
    least, most = steps.shortest(count), steps.longest(count)
    assert least <= (there - start) * SECOND <= most
    over = steps.end(there * SECOND) - start * SECOND
    assert steps.shortest_to_end(count) <= over


@pytest.mark.parametrize("unit", ["day", "week", "month"])
def test_there_is_no_window_behind_the_last_year(unit: str) -> None:
    steps = Steps(plan.Calendar(1, unit, "Europe/Athens"))
    last = steps.later(steps.start(253_402_200_000 * SECOND), 1_000_000)
    assert steps.later(last, 1) >= last
    assert steps.start(-(2**62)) < steps.start(0)
