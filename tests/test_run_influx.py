"""Runs that write to InfluxDB: cases in folders, and one that is killed while the network fails."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests import output_cases
from tests.influx import Database
from tests.jobs import Job
from tests.kills import finish, kill_at_random
from tests.servers.faults import at_random
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.proxy import Proxy

_NUMBERS = count()


def _told(server: InfluxOne | InfluxTwo, port: int) -> dict[str, str]:
    """What configs call a server that has a database of its own for the case."""
    told = {
        **{"HOST": server.host, "PORT": str(port), "USER": server.username},
        **{"PASSWORD": server.password, "DATABASE": f"run {next(_NUMBERS)}"},
    }
    if isinstance(server, InfluxOne):
        server.create_database(told["DATABASE"])
        return told
    server.create_bucket(told["DATABASE"])
    return {**told, "ORG": server.org, "TOKEN": server.token}


def _held(database: Database) -> list[dict[str, Any]]:
    """All that is there, as `expected.jsonl` says it."""
    names = [each for series in database.query("SHOW MEASUREMENTS") for each in series["values"]]
    return [
        {"measurement": name, "tags": tags, "time": time, "fields": fields}
        for (name,) in names
        for tags, time, fields in database.points(name)
    ]


def _sorted(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(points, key=lambda each: json.dumps(each, sort_keys=True))


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("case", output_cases.cases("influx"))
def test_a_run_leaves_what_its_folder_says(
    case: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = request.getfixturevalue(f"influx{case.name[0]}")
    told = _told(server, server.port)

    def restart() -> None:
        with server.stopped():
            pass

    secrets = [told[each] for each in ("PASSWORD", "TOKEN") if each in told]
    said = output_cases.run(case, tmp_path, told, monkeypatch, restart, secrets, capfd)
    for line in output_cases.lines(case, "error.txt"):
        assert line in said
    database = Database(server, {"database": told["DATABASE"]})
    assert _sorted(_held(database)) == _sorted(output_cases.expected(case))
    aside = [json.loads(line) for file in tmp_path.glob("aside/malformed/*/*")
             for line in file.read_text().splitlines()]  # fmt: skip
    reasons = output_cases.lines(case, "malformed.txt")
    assert sorted(each["reason"] for each in aside) == sorted(reasons)


def _options(told: dict[str, str]) -> dict[str, Any]:
    where = {"host": told["HOST"], "port": int(told["PORT"])}
    if "TOKEN" in told:
        return {**where, "org": told["ORG"], "bucket": told["DATABASE"], "token": told["TOKEN"]}
    who = {"username": told["USER"], "password": told["PASSWORD"]}
    return {**where, **who, "database": told["DATABASE"]}


@pytest.fixture
def failing(influx2: InfluxTwo) -> Iterator[Proxy]:
    with Proxy(influx2.port, http=True) as proxy:
        proxy.behave(then=at_random(7, share=0.2, within=3_000, http=True))
        yield proxy


def test_a_killed_run_over_a_failing_network_loses_and_doubles_nothing(
    job: Job, influx2: InfluxTwo, failing: Proxy
) -> None:
    told = _told(influx2, failing.port)
    more = {"batch_size": 20, "timeout": "2 seconds"}
    influx = {"method": "influx", "options": {**_options(told), **more}}
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
        for tags, time, f in Database(influx2, {"bucket": told["DATABASE"]}).points("w")
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
