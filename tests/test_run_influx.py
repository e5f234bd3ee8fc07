"""A run that writes to InfluxDB, and is killed while the network fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.influx import Database
from tests.jobs import Job
from tests.kills import finish, kill_at_random
from tests.servers.faults import at_random
from tests.servers.influx2 import InfluxTwo
from tests.servers.proxy import Proxy


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


def _ms(iso: str) -> int:
    return int(datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp() * 1000)
