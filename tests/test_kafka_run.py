"""The sample config reads a real Kafka broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.simulator import Sensors, truth
from tests.jobs import Job
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.usefixtures("spark")
CONFIGS = Path(__file__).parent.parent / "configs"
SAMPLE = json.loads((CONFIGS / "sensors.json").read_text())


def sample(job: Job, port: int, topic: str, **options: object) -> None:
    """The sample config, its input unchanged but for host, port and topic."""
    config = json.loads(json.dumps(SAMPLE))
    config["input"]["data_structure"] = str(CONFIGS / "config_data_structure.json")
    config["input"]["options"] |= {"server": "127.0.0.1", "port": port, "topic": topic, **options}
    config["outputs"] = [
        {
            "main": True,
            "method": "sqlite",
            "options": {"path": "out.sqlite"},
            "streams": ["aggregated", "malformed", "raw"],
        }
    ]
    (job.folder / "config.json").write_text(json.dumps(config))


def test_the_sample_config_reads_kafka_and_gives_what_plain_python_computes(
    job: Job, kafka: KafkaBroker
) -> None:
    sensors = Sensors(seed=3, start=1_700_000_000, speed=100, malformed=0.02)
    lines = [sensors.line(i) for i in range(4000)]
    topic = "sensors-sample"
    kafka.create_topic(topic, partitions=1)
    kafka.produce(topic, lines[:1500])
    sample(job, kafka.port, topic, max_rows_per_batch=700)
    assert job.run("--once")["rows_read"] == 1500
    kafka.produce(topic, lines[1500:])
    report = job.run("--once")
    expected = truth(sensors, 4000)
    assert job.rows("aggregated", "window_start, sensor_id") == expected["windows"]
    assert (report["rows_read"], report["malformed"]) == (4000, expected["malformed"])
    assert report["balanced"]
    malformed = job.rows("malformed", "_offset")
    assert {(row["_topic"], row["_partition"]) for row in malformed} == {(topic, 0)}
    offsets = [row["_offset"] for row in (*malformed, *job.rows("raw", "_offset"))]
    assert sorted(offsets) == list(range(4000))


def test_without_an_event_time_the_records_own_time_counts(job: Job, kafka: KafkaBroker) -> None:
    topic = "record-times"
    times = [1_700_000_000_000 + 1000 * i for i in range(30)]
    kafka.produce(topic, [b"1,a,1"] * 30, timestamps_ms=times)
    job.config(
        {"name": "w", "rule": ["n: count()"]},
        input_type="kafka",
        options={"bootstrap_servers": kafka.address, "topic": [topic]},
        processing={"event_time": None},
    )
    job.run("--once")
    assert [(row["window_start"], row["n"]) for row in job.rows("w")] == [
        ("2023-11-14T22:13:20.000Z", 10),
        ("2023-11-14T22:13:30.000Z", 10),
        ("2023-11-14T22:13:40.000Z", 10),
    ]


def test_rows_are_late_by_the_records_own_time(job: Job, kafka: KafkaBroker) -> None:
    topic = "late-record-times"
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        input_type="kafka",
        options={"bootstrap_servers": kafka.address, "topic": topic},
        processing={"event_time": None},
        streams=["aggregated", "late"],
    )
    for seconds in ([0], [100], [200, 201], [7, 95, 202]):
        records = [f'{each},"a",1'.encode() for each in seconds]
        times = [(1_700_000_000 + each) * 1000 for each in seconds]
        kafka.produce(topic, records, timestamps_ms=times)
        report = job.run("--once")
    assert [(row["time"], row["key"]) for row in job.rows("late", "time")] == [(7, "a"), (95, "a")]
    terms = {"malformed": 0, "filtered": 0, "late": 2, "aggregated": 5}
    assert report["aggregations"]["w"] == terms


def test_a_quiet_partition_holds_nobody_back_and_what_it_sends_too_late_is_late(
    job: Job, kafka: KafkaBroker
) -> None:
    topic = "one-is-quiet"
    kafka.create_topic(topic, partitions=2)
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        input_type="kafka",
        options={"bootstrap_servers": kafka.address, "topic": topic},
        streams=["aggregated", "late"],
    )
    # Both send; then the second is silent, and at last sends what it has kept.
    for busy, quiet in [([b"1,a,1"], [b"2,b,1"]), ([b"100,a,1"], []), ([b"200,a,1"], []),
                        ([b"201,a,1"], [b"7,b,1", b"95,b,1", b"202,b,1"])]:  # fmt: skip
        kafka.produce(topic, busy, partition=0)
        if quiet:
            kafka.produce(topic, quiet, partition=1)
        report = job.run("--once")
    # The watermark was 100 two batches before: the window that 95 is in had just ended.
    assert [(row["_partition"], row["time"]) for row in job.rows("late", "time")] == [
        (1, 7),
        (1, 95),
    ]
    assert report["aggregations"]["w"]["aggregated"] == 6
    found = {(row["window_start"][17:19], row["key"]): row["n"] for row in job.rows("w")}
    assert found == {
        ("00", "a"): 1,
        ("00", "b"): 1,
        ("40", "a"): 1,
        ("20", "a"): 2,
        ("20", "b"): 1,
    }


def test_a_topic_that_does_not_exist_is_told(
    job: Job, kafka: KafkaBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(job, kafka.port, "no-such-topic")
    job.run("--once", status=1)
    told = capsys.readouterr().err
    assert "the topic does not exist on the broker" in told
    assert "Traceback" not in told
    assert "\tat " not in told


def test_a_topic_may_come_and_not_go(
    job: Job, kafka: KafkaBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    for topic in ("came-first", "came-later"):
        kafka.produce(topic, [b"1,a,1", b"2,a,1"])

    def run(*topics: str, status: int = 0) -> dict[str, Any]:
        job.config(
            {"name": "w", "window": "10 seconds", "rule": ["n: count()"]},
            input_type="kafka",
            options={"server": "127.0.0.1", "port": kafka.port, "topic": [*topics]},
        )
        return job.run("--once", status=status)

    assert run("came-first")["rows_read"] == 2
    assert run("came-first", "came-later")["rows_read"] == 4
    told = "from here on: the input's topic is came-first, came-later (was came-first)"
    assert told in capsys.readouterr().err
    # Spark takes a topic that it does not read any more for lost data.
    run("came-later", status=2)
    told = "'topic' is came-later, in the checkpoint came-first, came-later"
    assert told in capsys.readouterr().err
