"""The building's config, run over 90 days: every result is the simulator's exact truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.simulator import Building, building_truth
from tests.jobs import Job
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.usefixtures("spark")

CONFIGS = Path(__file__).parent.parent / "configs"
STREAMS = {
    "AggDay": "window_start, sensor",
    "AggDayDiff": "window_start, sensor",
    "AggDayRest": "1",
}
DAYS, ROWS_A_FILE = 90, 2000
BUILDING = Building(seed=5, malformed=0.0005)
COUNT = BUILDING.rows_in(DAYS)
TRUTH = building_truth(BUILDING, COUNT)


def arrive(job: Job) -> None:
    """The rows as they were sent, in files a second apart: two of them span less than the 6 days
    that the truth wants."""
    for first in range(0, COUNT, ROWS_A_FILE):
        job.arrive(BUILDING.lines(first, min(first + ROWS_A_FILE, COUNT)))


def configure(job: Job, input_type: str, **options: Any) -> None:
    """The config that ships, with other rows."""
    config: dict[str, Any] = json.loads((CONFIGS / "building.json").read_text())
    structure = str(CONFIGS / "building_data_structure.json")
    config["input"] = {"input_type": input_type, "data_structure": structure, "options": options}
    config["outputs"][0]["options"]["path"] = "out.sqlite"
    (job.folder / "config.json").write_text(json.dumps(config))


def late_rows(job: Job, aggregation: str) -> list[dict[str, Any]]:
    told = ("window_start", "window_end", "timestamp", "sensor", "value")
    rows = job.rows("late", "timestamp, value")
    return [{each: row[each] for each in told} for row in rows if row["aggregation"] == aggregation]


def in_order(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["timestamp"], row["value"]))


def test_ninety_days_of_the_building_are_exact(job: Job) -> None:
    arrive(job)
    configure(job, "csv", path="data", max_files_per_batch=1)
    assert_exact(job, job.run("--once"))


def test_from_kafka_in_batches_of_any_size_they_are_exact_too(job: Job, kafka: KafkaBroker) -> None:
    # One partition: the rows arrive as they were sent.
    kafka.create_topic("building")
    half = COUNT // 2
    kafka.produce("building", BUILDING.lines(0, half))
    for rows_a_batch in (1900, 1237):
        options = {"topic": "building", "max_rows_per_batch": rows_a_batch}
        configure(job, "kafka", bootstrap_servers=kafka.address, **options)
        report = job.run("--once")
        if rows_a_batch == 1900:
            kafka.produce("building", BUILDING.lines(half, COUNT))
    assert_exact(job, report)


def assert_exact(job: Job, report: dict[str, Any]) -> None:
    """Every value is the truth's, and every row that came ten days late is in ``late``."""
    for stream, order in STREAMS.items():
        assert job.rows(stream, order) == TRUTH[stream], stream
    assert len(TRUTH["late"]) > 60
    for aggregation in ("AggDay", "AggDayRest"):
        assert late_rows(job, aggregation) == in_order(TRUTH["late"])
    assert late_rows(job, "AggDayDiff") == []
    assert len(job.rows("malformed", "record")) == TRUTH["malformed"] > 10
    assert report["balanced"]
    assert report["rows_read"] == COUNT
    meters = sum(row["rows"] for row in TRUTH["AggDay"])
    assert report["aggregations"]["AggDay"]["aggregated"] == meters
    assert report["aggregations"]["AggDayRest"]["late"] == len(TRUTH["late"])


@pytest.mark.parametrize("files_a_batch", [2, 1000])
def test_however_the_batches_are_cut_streaming_and_late_are_the_same_together(
    job: Job, files_a_batch: int
) -> None:
    arrive(job)
    configure(job, "csv", path="data", max_files_per_batch=files_a_batch)
    assert job.run("--once")["balanced"]
    whole: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for row in TRUTH["AggDay"]:
        whole[row["window_start"], row["sensor"]] += row["rows"]
        sums[row["window_start"], row["sensor"]] += row["sum"]
    for row in TRUTH["late"]:
        whole[row["window_start"], row["sensor"]] += 1
        sums[row["window_start"], row["sensor"]] += row["value"]
    for row in job.rows("AggDay"):
        whole[row["window_start"], row["sensor"]] -= row["rows"]
        sums[row["window_start"], row["sensor"]] -= row["sum"]
    late = late_rows(job, "AggDay")
    for row in late:
        whole[row["window_start"], row["sensor"]] -= 1
        sums[row["window_start"], row["sensor"]] -= row["value"]
    assert not any(whole.values())
    assert not any(sums.values())
    # Where less is late more is aggregated: read at once, nothing is.
    assert len(late) < len(TRUTH["late"])
    assert (len(late) == 0) == (files_a_batch == 1000)
    assert job.rows("AggDayDiff", "window_start, sensor") == TRUTH["AggDayDiff"]
