"""Servers become places for a case of an output: what a config calls them, and what they hold."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet

from tests.influx import Database
from tests.jobs import iso, rows
from tests.servers.cassandra import CassandraNode
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

_NUMBERS = count()


@dataclass(frozen=True)
class Store:
    """A place that nobody else writes to.

    Args:
        told: the values of the config's `${NAME}`.
        held: all that is there, as `expected.jsonl` says it.
        stopped: a context in which the server is away; None where there is none.
        secrets: what must not be said.
    """

    told: Mapping[str, str]
    held: Callable[[], Iterable[dict[str, Any]]]
    stopped: Callable[[], Any] = nullcontext
    secrets: tuple[str, ...] = field(default=(), repr=False)


def influx(server: InfluxOne | InfluxTwo, folder: Path) -> Store:
    name = _name()
    told = _at(server) | {"USER": server.username, "PASSWORD": server.password, "DATABASE": name}
    if isinstance(server, InfluxOne):
        server.create_database(name)
    else:
        server.create_bucket(name)
        told |= {"ORG": server.org, "TOKEN": server.token}
    secrets = tuple(told[each] for each in ("PASSWORD", "TOKEN") if each in told)
    held = partial(_points, Database(server, {"database": name}))
    return Store(told, held, server.stopped, secrets)


def _points(database: Database) -> Iterator[dict[str, Any]]:
    for series in database.query("SHOW MEASUREMENTS"):
        for (name,) in series["values"]:
            for tags, time, fields in database.points(name):
                yield {"measurement": name, "tags": tags, "time": time, "fields": fields}


def redis(server: RedisServer, folder: Path) -> Store:
    prefix = _name()
    told = _at(server) | {"PREFIX": prefix}
    return Store(told, partial(_samples, server, f"{prefix}:"), server.stopped)


def _samples(server: RedisServer, prefix: str) -> Iterator[dict[str, Any]]:
    with server.client() as client:
        for key in client.keys(f"{prefix}*"):
            samples = [list(each) for each in client.ts().range(key, "-", "+")]
            labels = client.ts().info(key).labels
            yield {"key": key.removeprefix(prefix), "labels": labels, "samples": samples}


def kafka(server: KafkaBroker, folder: Path) -> Store:
    prefix = _name().replace(" ", "-")
    told = {"BROKERS": server.address, "PREFIX": prefix}
    return Store(told, partial(_records, server, f"{prefix}."), server.stopped)


def _records(server: KafkaBroker, prefix: str) -> Iterator[dict[str, Any]]:
    """The last record of each key, as a compacted topic keeps it."""
    for topic in server.topics():
        if topic.startswith(prefix):
            last = {each.key: each for each in server.consume(topic)}
            for key, record in last.items():
                yield {
                    "topic": topic.removeprefix(prefix),
                    "key": json.loads(key),
                    "value": json.loads(record.value),
                    "headers": {name: value.decode() for name, value in record.headers},
                }


def postgres(server: PostgresServer, folder: Path) -> Store:
    schema = _name()
    with server.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{schema}"')
    told = {
        **_at(server),
        **{"DATABASE": server.database, "USER": server.username, "PASSWORD": server.password},
        **{"SCHEMA": schema},
    }
    return Store(told, partial(_tables, server, schema), server.stopped, (server.password,))


def _tables(server: PostgresServer, schema: str) -> Iterator[dict[str, Any]]:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    with server.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for (name,) in connection.execute(tables, [schema]).fetchall():
            for (row,) in connection.execute(f'SELECT to_jsonb(t) FROM "{schema}"."{name}" t'):
                yield {"table": name, "row": row}


def cassandra(server: CassandraNode, folder: Path) -> Store:
    keyspace = _name().replace(" ", "_")
    told = _at(server) | {"KEYSPACE": keyspace}
    return Store(told, partial(_column_families, server, keyspace), server.stopped)


def _column_families(server: CassandraNode, keyspace: str) -> Iterator[dict[str, Any]]:
    tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    with server.session() as session:
        for (name,) in session.execute(tables, [keyspace]):
            found = session.execute(f'SELECT * FROM "{keyspace}"."{name}"')
            for row in found:
                told = zip(found.column_names, map(_plain, row), strict=True)
                yield {"table": name, "row": dict(told)}


def files(server: None, folder: Path) -> Store:
    return Store({}, partial(_rows, folder / "out"))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of all files, by the folder that they are in."""
    for path in folder.rglob("*.*"):
        if path.is_file() and not path.name.startswith("."):
            for row in _READERS[path.suffix](path):
                yield {
                    "folder": str(path.parent.relative_to(folder)),
                    "row": {name: _plain(value) for name, value in row.items()},
                }


def _csv(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _json(path: Path) -> Iterable[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _parquet(path: Path) -> Iterable[dict[str, Any]]:
    found: list[dict[str, Any]] = pyarrow.parquet.ParquetFile(path).read().to_pylist()
    return found


_READERS = {".csv": _csv, ".json": _json, ".parquet": _parquet}


def sqlite(server: None, folder: Path) -> Store:
    return Store({}, partial(_sqlite_rows, folder / "out.sqlite"))


def _sqlite_rows(path: Path) -> Iterator[dict[str, Any]]:
    for name in ("all", "by key"):
        for row in rows(path, name):
            yield {"table": name, "row": row}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        # Cassandra's driver gives times in UTC, and is silent about it.
        return iso((value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp())
    return value


def _at(server: Any) -> dict[str, str]:
    return {"HOST": server.host, "PORT": str(server.port)}


def _name() -> str:
    return f"case {next(_NUMBERS)}"


#: By the beginning of a case's folder: what makes its store, and the fixture of the server.
STORES: dict[str, tuple[Callable[[Any, Path], Store], str | None]] = {
    "influx/1": (influx, "influx1"),
    "influx/2": (influx, "influx2"),
    "redis/": (redis, "redis"),
    "kafka/": (kafka, "kafka"),
    "postgres/": (postgres, "postgres"),
    "cassandra/": (cassandra, "cassandra"),
    "csv/": (files, None),
    "json/": (files, None),
    "parquet/": (files, None),
    "sqlite/": (sqlite, None),
}
