"""Rows that repeat one that came before are not aggregated, and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pyspark.sql import SparkSession

from engine.check import check
from engine.explain import explained
from tests.jobs import FIELDS, Job, iso

pytestmark = pytest.mark.usefixtures("spark")

STRUCTURE = {**FIELDS, "id": {"index": 3, "type": "string"}}
N = ["key: key", "n: count()"]
ONE = {"name": "one", "rule": N}
HIGH = {"name": "high", "where": "value > 3", "rule": N}
HOPS = {"name": "hops", "window": {"size": "20 seconds", "slide": "10 seconds"}, "rule": N}
DAYS = {"name": "days", "window": {"size": "1 day", "time_zone": "Europe/Athens"}, "rule": N}
VISITS = {"name": "visits", "window": {"gap": "10 seconds"}, "rule": N}


def terms(duplicate: int, aggregated: int, **more: int) -> dict[str, int]:
    return {
        "malformed": 0, "filtered": 0, "late": 0, "duplicate": duplicate, "aggregated": aggregated,
        **more,
    }  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Rows and what must come of them.

    Args:
        files: of records, a micro-batch each.
        accounts: of the stream, by aggregation.
        batch: those of the batch that are others.
        windows: starts, in seconds, and number of rows of the first aggregation's windows.
    """

    aggregations: list[dict[str, Any]]
    files: list[list[str]]
    accounts: dict[str, dict[str, int]]
    windows: list[tuple[int, int]]
    batch: dict[str, dict[str, int]] = field(default_factory=dict)
    by: tuple[str, ...] = ("id",)
    within: str = "1 hour"


CASES = {
    "in one batch, each window": Case(
        [ONE],
        [["1,a,1,i", "1,a,1,i", "2,a,1,j", "11,a,1,j", "12,a,1,k"]],
        {"one": terms(2, 3)},
        [(0, 2), (10, 1)],
    ),
    "in other batches, and out of order": Case(
        [ONE],
        [["8,a,1,i"], ["2,a,1,i", "2,a,1,j"], ["8,a,1,i", "2,a,1,j", "3,a,1,k"]],
        {"one": terms(3, 3)},
        [(0, 3)],
    ),
    "a repeated row of other fields counts where these are": Case(
        [ONE],
        [["1,a,1,i", "1,b,1,i", "1,a,1,j"], ["1,a,1,i"]],
        {"one": terms(1, 3)},
        [(0, 2), (0, 1)],
        by=("key", "id"),
    ),
    "a row that is filtered, or has no key, came not before for that aggregation": Case(
        [ONE, HIGH, {**HIGH, "name": "same"}],
        [["1,a,1,i", "1,,9,j"], ["2,a,9,i", "2,a,9,j"], ["2,a,9,i"]],
        {
            "one": terms(2, 2, malformed=1),
            "high": terms(1, 2, filtered=1, malformed=1),
            "same": terms(1, 2, filtered=1, malformed=1),
        },
        [(0, 2)],
    ),
    "a null is never a duplicate": Case(
        [ONE, HOPS],
        [["1,a,1,", "1,a,1,"], ["1,a,1,", "1,a,1,i"], ["1,a,1,i"]],
        {"one": terms(1, 4), "hops": terms(2, 8, rows_read=10)},
        [(0, 4)],
    ),
    "late comes before duplicate": Case(
        [ONE],
        [["1,a,1,i"], ["61,a,1,j"], ["62,a,1,k"], ["1,a,1,i", "3,a,1,l", "3,a,1,l", "61,a,1,j"]],
        {"one": terms(1, 3, late=3)},
        [(0, 1), (60, 2)],
        batch={"one": terms(3, 4)},
    ),
    "hopping windows judge each for itself": Case(
        [HOPS],
        [["11,a,1,i"], ["25,a,1,j"], ["26,a,1,k"], ["11,a,1,i", "25,a,1,j", "12,a,1,l"]],
        {"hops": terms(3, 7, late=2)},
        [(0, 1), (10, 4), (20, 2)],
        batch={"hops": terms(4, 8)},
    ),
    "several groupings": Case(
        [HOPS, ONE, DAYS, {**HIGH, "window": "1 minute", "rule": ["n: count()", "last(value)"]}],
        [["1,a,1,i", "1,a,9,j"], ["70,b,9,k", "1,a,1,i"], ["70,b,9,k", "1,a,9,j"], ["1,a,1,i"]],
        {
            "hops": terms(6, 6, late=2, rows_read=14),
            "one": terms(3, 3, late=1),
            "days": terms(4, 3),
            "high": terms(2, 2, filtered=3),
        },
        [(-10, 2), (0, 2), (60, 1), (70, 1)],
        batch={"hops": terms(8, 6, rows_read=14), "one": terms(4, 3)},
    ),
    "what is near is known as long as a window is open for it": Case(
        [ONE],
        [["9,a,1,i"], ["16,a,1,j"], ["17,a,1,k"], ["14,a,1,i"]],
        {"one": terms(1, 3)},
        [(0, 1), (10, 2)],
        within="5 seconds",
    ),
    "and so by the calendar": Case(
        [{**DAYS, "window": {"size": "1 day", "time_zone": "UTC"}}],
        [["86300,a,1,i"], ["90100,a,1,j"], ["90101,a,1,k"], ["89000,a,1,i"]],
        {"days": terms(1, 3)},
        [(0, 1), (86_400, 2)],
    ),
    "what is far from it is new when it has been forgotten": Case(
        [ONE],
        [["1,a,1,i"], ["25,a,1,j"], ["26,a,1,k"], ["27,a,1,i"]],
        {"one": terms(0, 4)},
        [(0, 1), (20, 3)],
        within="10 seconds",
    ),
    "and in a stream a duplicate before": Case(
        [ONE],
        [["1,a,1,i"], ["27,a,1,i"]],
        {"one": terms(1, 1)},
        [(0, 1)],
        batch={"one": terms(0, 2)},
        within="10 seconds",
    ),
    "sessions, in one batch and in others": Case(
        [VISITS],
        [["1,a,1,i", "5,a,1,j", "5,a,1,j", "8,a,1,i"], ["5,a,1,j", "9,a,1,k"], ["1,a,1,i"]],
        {"visits": terms(4, 3)},
        [(1, 3)],
    ),
    "a duplicate makes no session longer, and joins none": Case(
        [
            VISITS,
            {**VISITS, "name": "all", "window": {"gap": "20 seconds"}, "rule": ["n: count()"]},
        ],
        [["0,a,1,i", "8,a,1,i", "16,a,1,j"], ["8,b,1,i", "24,b,1,j"]],
        {"visits": terms(3, 2), "all": terms(3, 2)},
        [(0, 1), (16, 1)],
    ),
    "what repeats a row of a session that has ended": Case(
        [VISITS],
        [["100,a,1,i"], ["140,a,1,j"], ["141,a,1,k"], ["142,a,1,i", "143,a,1,"], ["144,a,1,"]],
        {"visits": terms(1, 5)},
        [(100, 1), (140, 4)],
    ),
    "in sessions late comes before duplicate, too": Case(
        [VISITS],
        [["1,a,1,i"], ["61,a,1,j"], ["62,a,1,k"], ["1,a,1,i", "3,a,1,l", "3,a,1,l", "61,a,1,j"]],
        {"visits": terms(1, 3, late=3)},
        [(1, 1), (61, 2)],
        batch={"visits": terms(3, 4)},
    ),
    "what is near a duplicate repeats it, however the rows are cut": Case(
        [VISITS],
        [["100,a,1,i", "150,a,1,i"], ["200,a,1,i", "300,a,1,i"]],
        {"visits": terms(2, 2)},
        [(100, 1), (300, 1)],
        within="1 minute",
    ),
    "sessions beside windows": Case(
        [VISITS, ONE, {**HIGH, "window": {"gap": "1 minute"}}],
        [["1,a,9,i", "1,a,9,i", "2,b,1,j"], ["1,a,9,i", "12,a,9,k", "2,b,1,j"]],
        {"visits": terms(3, 3), "one": terms(3, 3), "high": terms(2, 2, filtered=2)},
        [(1, 1), (2, 1), (12, 1)],
    ),
    "nothing to aggregate": Case([ONE], [["broken"]], {"one": terms(0, 0, malformed=1)}, []),
}


#: Windows, and how long a row is known that may come again within 25 seconds.
KNOWN = [
    ([ONE], " by 30 seconds"),
    ([HOPS], ""),
    ([ONE, {**ONE, "name": "two", "window": "1 minute"}], " by 1 minute"),
    ([ONE, DAYS], " by 172825 seconds"),
]


@pytest.mark.parametrize(("aggregations", "longer"), KNOWN)
def test_explain_says_how_long_a_row_is_known(
    job: Job, aggregations: list[dict[str, Any]], longer: str
) -> None:
    configure(job, Case(aggregations, [], {}, [], by=("id", "key"), within="25 seconds"))
    query = check(str(job.folder / "config.json")).query
    assert query is not None
    told = f"""
  before it, an operator that drops duplicates by (id, key) within 25 seconds
  a row is known there until the watermark has passed its window's end{longer}
"""
    assert told in explained(query)


def configure(job: Job, case: Case) -> None:
    job.config(
        case.aggregations,
        structure=STRUCTURE,
        streams=["aggregated", "raw", "late"],
        processing={"deduplicate": {"by": list(case.by), "within": case.within}},
    )


@pytest.mark.parametrize("name", CASES)
def test_duplicates_of_a_stream(job: Job, name: str) -> None:
    case = CASES[name]
    for records in case.files:
        job.arrive(records)
    configure(job, case)
    report = job.run("--once")
    assert (report["aggregations"], report["balanced"]) == (case.accounts, True)
    found = job.rows(case.aggregations[0]["name"], "window_start, key")
    assert [(row["window_start"], row["n"]) for row in found] == [
        (iso(start), n) for start, n in case.windows
    ]
    well = sum(record != "broken" for records in case.files for record in records)
    assert len(job.rows("raw", "1") if well else []) == well
    late = sum(account["late"] for account in case.accounts.values())
    assert len(job.rows("late")) == late


@pytest.mark.parametrize("name", CASES)
def test_duplicates_of_a_batch(job: Job, name: str) -> None:
    case = CASES[name]
    for records in case.files:
        job.arrive(records)
    configure(job, case)
    report = job.run("--batch")
    assert report["aggregations"] == {**case.accounts, **case.batch}
    assert report["balanced"]


def test_duplicates_are_known_through_restarts_and_forgotten_in_time(
    job: Job, spark: SparkSession
) -> None:
    case = Case([ONE, HOPS, DAYS], [], {}, [], within="30 seconds")
    configure(job, case)
    for number in range(3):
        job.arrive([f"{each},a,1,{each}" for each in range(1000 * number, 1000 * number + 20)])
        job.arrive(
            [f"{each},a,1,{each}" for each in range(1000 * number + 19, 1000 * number + 9, -1)]
        )
        report = job.run("--once")
    assert report["aggregations"] == {
        "one": terms(30, 60), "hops": terms(60, 120, rows_read=180), "days": terms(30, 60),
    }  # fmt: skip
    assert report["rows_read"] == 90
    # Days know their rows for days, and so do the others beside them.
    state = spark.read.format("statestore").option("operatorId", 1)
    assert state.load(str(job.folder / "config.checkpoint")).count() == 60 + 120 + 60
    job.config(
        [ONE, HOPS],
        structure=STRUCTURE,
        processing={"deduplicate": {"by": ["id"], "within": "30 seconds"}},
    )
    checkpoint = str(job.folder / "other")
    job.run("--once", "--checkpoint", checkpoint)
    state = spark.read.format("statestore").option("operatorId", 1)
    assert state.load(checkpoint).count() == 20 + 40


def test_what_a_batch_takes_for_duplicates_goes_by_the_order_of_arrival(job: Job) -> None:
    """Copies that differ in time: the one that came first counts, near it none that came behind."""
    records = ["100,a,1,i", "40,a,2,i", "161,a,3,i", "300,a,4,i", "30,a,5,i"]
    for record in records:
        job.arrive([record])
    configure(job, Case([ONE], [], {}, [], within="1 minute"))
    report = job.run("--batch")
    assert report["aggregations"] == {"one": terms(2, 3)}
    assert [row["window_start"] for row in job.rows("one")] == [iso(100), iso(160), iso(300)]
