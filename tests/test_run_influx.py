"""A run that writes to InfluxDB, and is killed while the network fails."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from tests.influx import Database
from tests.jobs import Job
from tests.kills import finish, kill_at_random
from tests.servers.faults import at_random
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.proxy import Proxy

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.fixture
def failing(influx2: InfluxTwo) -> Iterator[Proxy]:
    with Proxy(influx2.port, http=True) as proxy:
        proxy.behave(then=at_random(7, share=0.2, within=3_000, http=True))
        yield proxy


def test_a_killed_run_over_a_failing_network_loses_and_doubles_nothing(
    job: Job, influx2: InfluxTwo, failing: Proxy
) -> None:
    influx2.create_bucket(bucket := "killed")
    options = {
        **{"host": failing.host, "port": failing.port, "org": influx2.org, "bucket": bucket},
        **{"token": influx2.token, "batch_size": 20, "timeout": "2 seconds"},
    }
    influx = {"method": "influx", "options": options}
    rule = ["key: key", "n: count()", "total: sum(value)", "most: max(value)"]
    job.config([{"name": "w", "window": "10 seconds", "rule": rule}], outputs=[influx])
    drawn = random.Random(5)
    for _ in range(2):
        for _ in range(3):
            at = 60 * job.files
            job.arrive(
                f"{at + drawn.randrange(60)},k{drawn.randrange(20)},{drawn.randrange(1000)}"
                for _ in range(300)
            )
        kill_at_random(job, drawn)
    finish(job)
    found = {
        (tags["key"], time): (f["n"], f["total"], f["most"], f["window_end"])
        for tags, time, f in Database(influx2, {"bucket": bucket}).points("w")
    }
    truth = {
        (row["key"], _ms(row["window_start"])): (
            *(row["n"], row["total"], row["most"], _ms(row["window_end"])),
        )
        for row in job.rows("w")
    }
    assert sum(each[0] for each in truth.values()) == 1_800
    assert found == truth
    assert failing.happened.total() > 5


def test_the_report_says_what_a_run_waits_for(job: Job, influx1: InfluxOne) -> None:
    influx1.create_database(database := "waited for")
    options = {
        **{"host": influx1.host, "port": influx1.port, "database": database},
        **{"username": influx1.username, "password": influx1.password},
    }
    config = job.config(
        {"name": "w", "window": "10 seconds", "rule": ["key: sensor_type", "n: count()"]},
        outputs=[{"method": "influx", "options": options}],
        input_type="generator",
        structure=json.loads((CONFIGS / "config_data_structure.json").read_text()),
        options={"count": 5_000, "rate": 500, "batchDuration": 1},
        processing={"event_time": "timestamp"},
    )
    path = job.folder / "report.json"
    seen: list[dict[str, Any]] = []
    free: list[bool] = []

    def until(told: Callable[[dict[str, Any]], bool]) -> None:
        while not path.exists() or not told(report := json.loads(path.read_text())):
            time.sleep(0.1)
        seen.append(report)

    def outage() -> None:
        until(lambda report: bool(report["batches"]))
        with influx1.stopped():
            until(lambda report: "waiting" in report)
            # A task that waits keeps no other one out of a file: they could not wait for as long.
            with closing(sqlite3.connect(job.database, timeout=10)) as connection:
                connection.execute("BEGIN IMMEDIATE")
            free.append(True)

    watcher = threading.Thread(target=outage)
    watcher.start()
    assert main(["run", str(config), "--report", str(path)]) == 0
    watcher.join(timeout=60)
    before, waiting = seen
    assert free
    assert "waiting" not in before
    (told,) = waiting["waiting"]
    assert told["for"] == f"output 'influx': InfluxDB at {influx1.host}:{influx1.port}"
    assert told["reason"].startswith("cannot be reached")
    assert before["started"] < told["since"]
    # The balance is that of the batches that have ended, and closes.
    assert waiting["balanced"]
    assert waiting["ended"] is None
    ended = json.loads(path.read_text())
    assert "waiting" not in ended
    assert told["since"] < ended["ended"]
    counts = [f["n"] for _, _, f in Database(influx1, {"database": database}).points("w")]
    assert sum(counts) == ended["rows_read"] == 5_000


def _ms(iso: str) -> int:
    return int(datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp() * 1000)
