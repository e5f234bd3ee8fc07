"""Whole runs into Cassandra: the tables hold what sqlite holds, however often a run dies."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import count
from typing import Any

import pytest

from engine.cli import main
from tests import kills
from tests.by_hand import HOSTILE
from tests.jobs import Job, iso
from tests.servers.cassandra import CassandraNode

_NUMBERS = count()


@pytest.fixture
def keyspace() -> str:
    return f"Run_{next(_NUMBERS)}"


def output(server: CassandraNode, keyspace: str, **more: Any) -> dict[str, Any]:
    options = {
        "hosts": [server.host],
        "port": server.port,
        "keyspace": keyspace,
        "create": True,
        **more,
    }
    return {"method": "cassandra", "options": options}


def holds(server: CassandraNode, keyspace: str, table: str) -> Counter[tuple[Any, ...]]:
    """The rows of a table, times as ISO texts, without the stream's name that stands for a key."""
    with server.session() as session:
        found = session.execute(f'SELECT * FROM "{keyspace}"."{table}"')
        names = found.column_names
        return _told(dict(zip(names, row, strict=True)) for row in found)


def _told(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    told: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        shown = {
            # The driver's times are in UTC, and silent about it.
            name: iso(value.replace(tzinfo=timezone.utc).timestamp())
            if isinstance(value, datetime)
            else str(value)
            for name, value in row.items()
            if name != "stream"
        }
        told[tuple(sorted(shown.items()))] += 1
    return told


def test_a_run_leaves_in_cassandra_what_it_leaves_in_sqlite(
    job: Job, cassandra: CassandraNode, keyspace: str
) -> None:
    job.config(
        [
            {"name": "w", "rule": ["key: key", "n: count()", "total: sum(value)"]},
            {"name": "visits", "window": {"gap": "20 seconds"}, "rule": ["key: key", "n: count()"]},
            {"name": "All", "window": "1 minute", "rule": ["n: count()", "hot: max(value)"]},
        ],
        streams=["aggregated", "malformed"],
        processing={"allowed_lateness": "30 seconds"},
        outputs=[output(cassandra, keyspace, batch_size=20)],
    )
    keys = [each for each in HOSTILE if each and "\n" not in each and "\r" not in each]
    quoted = ['"' + each.replace('"', '""') + '"' for each in keys]
    job.arrive([*(f"{100 + i % 3},{key},{i}" for i, key in enumerate(quoted)), "x,a,1", "100,a,"])
    # Sessions grow together; a window is corrected; a key is empty, which is no key of Cassandra.
    job.arrive(["130,a,1", "131,b,2", *(f"101,{key},1" for key in quoted), '131,"",1'])
    job.arrive(["115,a,1", "500,a,2", "109,b,1"])
    job.arrive(["501,a,2"])
    job.arrive(["100,a,2", "131,c,3", "502,a,2"])
    report = job.run("--once")
    assert report["balanced"]
    assert report["refused"] == {"cassandra": 2}, "of two aggregations"
    for table in ("w", "visits", "All"):
        expected = _told(row for row in job.rows(table, "1") if row.get("key") != "")
        assert sum(expected.values()) > 1
        assert holds(cassandra, keyspace, table) == expected, table
    reasons = [row["reason"] for row in job.rows("malformed", "1")]
    assert reasons.count("output 'cassandra': Key may not be empty") == 2


def test_a_run_that_is_killed_twice_leaves_what_one_that_nobody_disturbs_does(
    job: Job, cassandra: CassandraNode, keyspace: str
) -> None:
    drawn = random.Random(7)
    by_key, *others = kills.FIXTURES["all"]
    windows = [{**by_key, "name": "by_key"}, *others]
    shared = {"processing": {"allowed_lateness": "5 seconds"}, "engine": {"spark": kills._SPARK}}
    here = output(cassandra, keyspace, batch_size=10, concurrency=4)
    job.config(windows, outputs=[here], **shared)
    for _ in range(2):
        kills.arrive(job, drawn)
        kills.arrive(job, drawn)
        kills.kill_at_random(job, drawn)
    assert kills.finish(job)["balanced"]
    calm = Job(kills._made(job.folder / "calm"))
    calm.config(windows, **shared)
    for path in sorted(job.data.iterdir()):
        calm.arrive([path.read_bytes().rstrip(b"\n")])
    kills.finish(calm)
    for table in ("by_key", "high", "visits"):
        expected = _told(calm.rows(table, "1"))
        assert expected == _told(job.rows(table, "1"))
        assert holds(cassandra, keyspace, table) == expected, table


def test_a_run_over_tls_writes_and_tells_no_password(
    job: Job, cassandra_tls: CassandraNode, keyspace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1", "2,b,2"])
    known = {"tls": True, "ca_file": str(cassandra_tls.certificate), "username": "cassandra"}
    for password, status in (("hunter2", 1), (cassandra_tls.password, 0)):
        options = output(cassandra_tls, keyspace, **known, password=password)
        path = job.config({"name": "w", "rule": ["key: key", "n: count()"]}, outputs=[options])
        assert main(["check-servers", str(path)]) == status
        report = job.run("--once", status=status)
        told = capfd.readouterr()
        assert "hunter2" not in f"{told.out}{told.err}{report}"
    where = f"output 'cassandra': Cassandra at 127.0.0.1:{cassandra_tls.port}"
    assert told.out.count(f"{where}, version 5.0.9: keyspace '{keyspace}'") == 1
    assert holds(cassandra_tls, keyspace, "w") == _told(job.rows("w"))
