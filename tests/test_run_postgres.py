"""Whole runs into PostgreSQL: the tables hold what sqlite holds, however often a run dies."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests import kills
from tests.by_hand import HOSTILE
from tests.jobs import Job, iso
from tests.servers.postgres import PostgresServer

STREAMS = ["aggregated", "raw", "late", "malformed"]


@pytest.fixture
def schema(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    name = request.node.name
    with postgres.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return str(name)


def output(server: PostgresServer, schema: str, **more: Any) -> dict[str, Any]:
    options = {
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "username": server.username,
        "password": server.password,
        "schema": schema,
        **more,
    }
    return {"method": "postgres", "streams": STREAMS, "options": options}


def holds(server: PostgresServer, schema: str, table: str) -> Counter[tuple[Any, ...]]:
    """The rows of a table, times as ISO texts, without when they arrived and who wrote them."""
    with server.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f'SELECT * FROM "{schema}"."{table}"')
        names = [each.name for each in found.description or ()]
        return _told(dict(zip(names, row, strict=True)) for row in found)


def _told(rows: Any) -> Counter[tuple[Any, ...]]:
    told: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        shown = {
            name: iso(value.timestamp()) if hasattr(value, "timestamp") else value
            for name, value in row.items()
            if name not in ("_arrived", "_run", "_batch")
        }
        told[tuple(sorted((name, str(value)) for name, value in shown.items()))] += 1
    return told


def test_a_run_leaves_in_postgres_what_it_leaves_in_sqlite(
    job: Job, postgres: PostgresServer, schema: str
) -> None:
    job.config(
        [
            {"name": "w", "rule": ["key: key", "n: count()", "total: sum(value)"]},
            {"name": "visits", "window": {"gap": "20 seconds"}, "rule": ["key: key", "n: count()"]},
        ],
        streams=STREAMS,
        processing={"allowed_lateness": "30 seconds"},
        outputs=[output(postgres, schema, batch_size=20)],
    )
    keys = [each for each in HOSTILE if "\n" not in each and "\r" not in each]
    quoted = ['"' + each.replace('"', '""') + '"' for each in keys]
    job.arrive([*(f"{100 + i % 3},{key},{i}" for i, key in enumerate(quoted)), "x,a,1", "100,a,"])
    # Sessions grow together; a window is corrected; a row has a NUL.
    job.arrive(["130,a,1", "131,b,2", *(f"101,{key},1" for key in quoted), b"131,a\0b,1"])
    job.arrive(["115,a,1", "500,a,2", "109,b,1"])
    job.arrive(["501,a,2"])
    job.arrive(["100,a,2", "131,c,3", "502,a,2"])
    report = job.run("--once")
    assert report["balanced"]
    assert report["refused"] == {"postgres": 3}, "of raw and of two aggregations"
    for table in ("w", "visits", "raw", "late"):
        expected = _told(row for row in job.rows(table, "1") if "\0" not in str(row["key"]))
        assert sum(expected.values()) > 1
        assert holds(postgres, schema, table) == expected, table
    assert holds(postgres, schema, "malformed") == _told(job.rows("malformed", "1"))
    said = str(holds(postgres, schema, "malformed"))
    assert "output 'postgres': a text of PostgreSQL cannot hold the character NUL" in said


def test_a_run_that_is_killed_again_and_again_writes_each_row_once(
    job: Job, postgres: PostgresServer, schema: str
) -> None:
    drawn = random.Random(7)
    job.config(
        kills.FIXTURES["all"],
        streams=STREAMS,
        processing={"allowed_lateness": "5 seconds"},
        outputs=[output(postgres, schema, batch_size=10, connections=2)],
        engine={"spark": kills._SPARK},
    )
    for _ in range(2):
        kills.arrive(job, drawn)
        kills.arrive(job, drawn)
        kills.kill_at_random(job, drawn)
    report = kills.finish(job)
    assert report["balanced"]
    for table in ("by key", "high", "visits", *kills.SIDE):
        assert holds(postgres, schema, table) == _told(job.rows(table, "1")), table


def test_a_wrong_password_ends_the_run_and_is_shown_nowhere(
    job: Job, postgres: PostgresServer, schema: str, capfd: pytest.CaptureFixture[str]
) -> None:
    job.config(
        {"name": "w", "rule": ["n: count()"]},
        outputs=[output(postgres, schema, password="hunter2")],
    )
    job.arrive(["1,a,1"])
    job.run("--once", status=1)
    told = capfd.readouterr()
    where = f"output 'postgres': PostgreSQL at {postgres.host}:{postgres.port}: "
    assert f"{where}password authentication failed for user" in told.err
    written = [path.read_text(errors="replace") for path in job.folder.rglob("*.json")]
    assert sum("hunter2" in each for each in written) == 1, "the config alone"
    assert "hunter2" not in told.err + told.out
