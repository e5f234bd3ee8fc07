"""Random rows, cut into random batches, through random configs: as the plain model says. Of those
in batches the first have the config in one order, and the others in another one.

A run has many aggregations at once, each of them a case; ``WORLDS`` in the environment says how
many runs there are.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.jobs import Job
from tests.model import CONDITIONS, DELTA, MEASURES, Aggregation, Model, Row

pytestmark = pytest.mark.usefixtures("spark")

WORLDS = int(os.environ.get("WORLDS", "8"))
CASES = 25
SIZES = (1, 7, 60, 600, 86_400)
ZONES = ("Europe/Athens", "America/St_Johns", "Asia/Kolkata")


KINDS = ["tumbling", "tumbling", "hopping", "calendar", "session"]


@st.composite
def windows(draw: st.DrawFn, kinds: list[str]) -> tuple[Any, tuple[Any, ...]]:
    match draw(st.sampled_from(kinds)):
        case "tumbling":
            size = draw(st.sampled_from(SIZES))
            return f"{size} seconds", (size, size)
        case "hopping":
            slide = draw(st.sampled_from(SIZES[1:]))
            size = slide * draw(st.integers(1, 4)) + draw(st.sampled_from([0, 0, 1, slide // 3]))
            return {"size": f"{size} seconds", "slide": f"{slide} seconds"}, (size, slide)
        case "session":
            gap = draw(st.sampled_from(SIZES))
            return {"gap": f"{gap} seconds"}, ("gap", gap)
        case _:
            zone = draw(st.sampled_from(ZONES))
            unit = draw(st.sampled_from(["day", "week", "month"]))
            about = (zone, 1) if unit == "day" else (zone, unit, 1)
            return {"size": f"1 {unit}", "time_zone": zone}, about


@st.composite
def aggregations(draw: st.DrawFn, name: str, kinds: list[str]) -> Aggregation:
    window, about = draw(windows(kinds))
    # What goes on from a window needs one that ends where it begins.
    is_even = about[0] != "gap" and (not isinstance(about[0], int) or about[0] % about[1] == 0)
    measures = draw(st.permutations([*MEASURES, *([DELTA] if is_even else [])]))
    return Aggregation(
        name,
        window,
        about,
        draw(st.sampled_from([(), ("key",), ("key",), ("band",), ("band", "key")])),
        draw(st.sampled_from([None, None, *CONDITIONS])),
        tuple(measures[: draw(st.integers(1, 4))]),
    )


@dataclass(frozen=True)
class World:
    """A config, and files of rows.

    Args:
        before: so many files come before all of the config is put into another order.
        order: a seed of that.
    """

    aggregations: tuple[Aggregation, ...]
    lateness: int
    files: tuple[tuple[Row, ...], ...]
    deduplicates: bool
    before: int
    order: int

    def configs(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The aggregations, and the same in another order, their measures too."""
        found = [each.config() for each in self.aggregations]
        drawn = random.Random(self.order)
        others = [{**each, "rule": drawn.sample(each["rule"], len(each["rule"]))} for each in found]
        return found, drawn.sample(others, len(others))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Files whose rows are about a time that goes on from file to file, before and after 1970."""
    start = draw(st.sampled_from([-86_400, 0, 1_698_500_000]))
    step = draw(st.sampled_from([10, 600, 40_000]))
    back = st.one_of(st.integers(-step, step), st.integers(-9 * step, 0))
    deduplicates = draw(st.booleans())
    keys, values = st.sampled_from(["a", "b", "c", None]), st.none() | st.integers(-5, 30)
    files: list[tuple[Row, ...]] = []
    for number in range(draw(st.integers(3, 6))):
        found = draw(st.lists(st.tuples(back, keys, values), min_size=15, max_size=40))
        places = range(1000 * number, 1000 * number + len(found))
        middle = start + number * step * 2
        rows = [
            Row(middle + off, place, key, value)
            for place, (off, key, value) in zip(places, found, strict=True)
        ]
        if deduplicates:
            known = st.sampled_from([*rows, *(row for file in files for row in file)])
            copies = draw(st.lists(known, max_size=15))
            rows += [replace(row, place=place) for place, row in enumerate(copies, places[-1] + 1)]
        files.append(tuple(rows))
    # Where there are only sessions, Spark has no state, and the rows are read once.
    kinds = draw(st.sampled_from([KINDS, KINDS, KINDS, ["session"]]))
    drawn = tuple(draw(aggregations(f"a{number}", kinds)) for number in range(CASES))
    return World(
        drawn,
        draw(st.sampled_from([0, step, 5 * step])),
        tuple(files),
        deduplicates,
        draw(st.integers(1, len(files) - 1)),
        draw(st.integers(0, 1000)),
    )


@settings(
    max_examples=WORLDS,
    derandomize="WORLDS" not in os.environ,
    deadline=None,
    database=None,
    # To shrink a case would take hours; it is told as it is.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(world=worlds(), mode=st.sampled_from(["--once", "--once", "--batch"]))
def test_what_a_run_gives_is_what_plain_python_says(
    tmp_path_factory: pytest.TempPathFactory, world: World, mode: str
) -> None:
    job = Job(tmp_path_factory.mktemp("world"))
    lateness = world.lateness if mode == "--once" else None
    model = Model(world.aggregations, lateness, world.deduplicates)
    before = world.before if mode == "--once" else 0
    for aggregations, files in zip(
        world.configs(), (world.files[:before], world.files[before:]), strict=True
    ):
        for rows in files:
            job.arrive(_line(row) for row in rows)
            model.batch(rows)
        job.config(
            aggregations,
            structure={
                "time": {"index": 0, "type": "long"},
                "key": {"index": 1, "type": "string"},
                "value": {"index": 2, "type": "long"},
            },
            # `key` and `value` are named, so that no random config leaves the field unused.
            transformation=["band: value // 7"],
            streams=["aggregated", "late", "raw"],
            processing={
                "allowed_lateness": f"{world.lateness} seconds",
                "deduplicate": {"by": ["time", "key", "value"], "within": "1 minute"}
                if world.deduplicates
                else None,
            },
        )
        if files:
            report = job.run(mode)
    assert (report["rows_read"], report["aggregations"]) == model.reported()
    for each in world.aggregations:
        names = [*each.keys, "window_start", "window_end"]
        names += [f"m{place}" for place in range(len(each.measures))]
        found = {tuple(row[name] for name in names) for row in job.rows(each.name)}
        assert found == set(model.windows(each)), each
    names = ["aggregation", "window_start", "window_end", "time", "key", "value"]
    late = Counter(tuple(row[name] for name in names) for row in job.rows("late"))
    assert late == model.late


def _line(row: Row) -> str:
    return f"{row.time},{row.key or ''},{'' if row.value is None else row.value}"
