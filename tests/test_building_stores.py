"""The building's results in a real RedisTimeSeries and on a real Kafka broker, after a run that was
killed several times: every point is the simulator's exact truth."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.simulator import Building, building_truth
from tests.jobs import Job
from tests.kills import finish, kill_at_random
from tests.servers.kafka import KafkaBroker
from tests.servers.redis import RedisServer

CONFIGS = Path(__file__).parent.parent / "configs"
ROWS_A_FILE, KILLS = 1500, 3
BUILDING = Building(seed=8, malformed=0.001)
COUNT = BUILDING.rows_in(24)
TRUTH = building_truth(BUILDING, COUNT)
STREAMS = ("AggDay", "AggDayDiff", "AggDayRest")
_SPARK = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


def configure(job: Job, redis: RedisServer, kafka: KafkaBroker) -> None:
    """The config that ships, with other rows and outputs."""
    config: dict[str, Any] = json.loads((CONFIGS / "building.json").read_text())
    del config["name"]
    config["input"] = {
        "input_type": "csv",
        "data_structure": str(CONFIGS / "building_data_structure.json"),
        "options": {"path": "data", "max_files_per_batch": 1},
    }
    topic = {"bootstrap_servers": kafka.address, "topic": "building-{stream}", "create": True}
    config["outputs"] = [
        {"method": "redis", "options": {"host": redis.host, "port": redis.port, "db": 5}},
        {"method": "kafka", "options": topic, "streams": ["aggregated", "malformed", "late"]},
    ]
    config["engine"] = {"spark": _SPARK}
    (job.folder / "config.json").write_text(json.dumps(config))


def points(stream: str, row: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], float]]:
    """Series, time and value of what a window's row holds."""
    start = int(datetime.fromisoformat(row["window_start"]).timestamp() * 1000)
    keys = [row["sensor"]] if "sensor" in row else []
    for measure, value in row.items():
        if measure not in ("window_start", "window_end", "sensor") and value is not None:
            yield (":".join([stream, *keys, measure]), start), float(value)


def test_after_kills_the_stores_hold_the_truth_point_by_point(
    job: Job, redis: RedisServer, kafka: KafkaBroker
) -> None:
    for first in range(0, COUNT, ROWS_A_FILE):
        job.arrive(BUILDING.lines(first, min(first + ROWS_A_FILE, COUNT)))
    configure(job, redis, kafka)
    drawn = random.Random(4)
    for _ in range(KILLS):
        kill_at_random(job, drawn)
    report = finish(job)
    assert report["balanced"]
    assert report["rows_read"] == COUNT
    expected = dict(
        point for stream in STREAMS for row in TRUTH[stream] for point in points(stream, row)
    )
    with redis.client(db=5) as client:
        held = {
            (key, time): value
            for key in client.keys("*")
            for time, value in client.ts().range(key, "-", "+")
        }
    assert held == expected
    for stream in STREAMS:
        # Of records with one key the last is right, as a compacted topic keeps it.
        last = {each.key: json.loads(each.value) for each in kafka.consume(f"building-{stream}")}
        assert sorted(map(str, last.values())) == sorted(
            str({"stream": stream, **row}) for row in TRUTH[stream]
        )
    malformed = {each.value for each in kafka.consume("building-malformed")}
    assert len({json.loads(each)["record"] for each in malformed}) > 0
