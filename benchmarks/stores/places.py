"""Real servers that a benchmark starts become outputs of a config, and what they hold."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from tests import stores
from tests.influx import Database
from tests.servers.cassandra import CassandraNode
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

Counter = Callable[[Any, dict[str, str], str, str], tuple[int, int]]
"""Takes the server, the values of the config's `${NAME}`, a stream and a measure of it; gives how
many windows there are, and the sum of the measure."""


@dataclass(frozen=True)
class Place:
    """A store that a benchmark writes to.

    Args:
        server: starts it, as a context; None where there is none.
        store: makes an empty place there.
        output: the section of the config, with the place's `${NAME}`.
        counted: what is there after a run.
    """

    server: Callable[[], Any] | None
    store: Callable[..., stores.Store]
    output: dict[str, Any]
    counted: Counter

    def empty(self, there: Any, folder: Path) -> dict[str, str]:
        """An empty place: the values of the config's `${NAME}`."""
        return {**self.store(there, folder).told, "FOLDER": str(folder)}


def _influx(there: Any, told: dict[str, str], stream: str, measure: str) -> tuple[int, int]:
    database = Database(there, {"database": told["DATABASE"]})
    (series,) = database.query(f'SELECT count("{measure}"), sum("{measure}") FROM "{stream}"')
    _, count, total = series["values"][0]
    return count, total


def _redis(there: RedisServer, told: dict[str, str], stream: str, measure: str) -> tuple[int, int]:
    with there.client() as client:
        found = client.ts().mrange("-", "+", [f"stream={stream}", f"measure={measure}"])
    samples = [value for each in found for _, value in next(iter(each.values()))[1]]
    return len(samples), int(sum(samples))


def _kafka(there: KafkaBroker, told: dict[str, str], stream: str, measure: str) -> tuple[int, int]:
    records = there.consume(told["PREFIX"] + "." + stream)
    last = {each.key: each.value for each in records}
    return len(last), sum(json.loads(each)[measure] for each in last.values())


def _postgres(
    there: PostgresServer, told: dict[str, str], stream: str, measure: str
) -> tuple[int, int]:
    asked = f'SELECT count(*), sum("{measure}") FROM "{told["SCHEMA"]}"."{stream}"'
    with there.connect() as connection:
        count, total = connection.execute(asked).fetchall()[0]
    return count, int(total)


def _cassandra(
    there: CassandraNode, told: dict[str, str], stream: str, measure: str
) -> tuple[int, int]:
    with there.session() as session:
        found = session.execute(f'SELECT "{measure}" FROM "{told["KEYSPACE"]}"."{stream}"')
        return _summed(row[0] for row in found)


def _sqlite(there: None, told: dict[str, str], stream: str, measure: str) -> tuple[int, int]:
    with contextlib.closing(sqlite3.connect(Path(told["FOLDER"], "out.sqlite"))) as connection:
        found = connection.execute(f'SELECT count(*), sum("{measure}") FROM "{stream}"')
        return tuple(found.fetchone())


def _parquet(there: None, told: dict[str, str], stream: str, measure: str) -> tuple[int, int]:
    # A window that a later batch corrects is there again, with that batch's number.
    files = Path(told["FOLDER"], "out", "**", "*.parquet")
    last = f"""SELECT last("{measure}" ORDER BY _batch) AS last FROM read_parquet('{files}')
    GROUP BY sensor_id, window_start"""
    found = duckdb.sql(f"SELECT count(*), sum(last) FROM ({last})").fetchall()[0]
    return found[0], int(found[1])


def _summed(values: Iterable[int]) -> tuple[int, int]:
    count = total = 0
    for value in values:
        count, total = count + 1, total + value
    return count, total


_LOGIN = {"username": "${USER}", "password": "${PASSWORD}"}
_AT = {"host": "${HOST}", "port": "${PORT}"}


def _section(method: str, **options: Any) -> dict[str, Any]:
    return {"method": method, "options": options}


PLACES = {
    "sqlite": Place(None, stores.sqlite, _section("sqlite", path="${FOLDER}/out.sqlite"), _sqlite),
    "parquet": Place(None, stores.files, _section("parquet", path="${FOLDER}/out"), _parquet),
    "influx1": Place(
        InfluxOne,
        stores.influx,
        _section("influx", **_AT, **_LOGIN, database="${DATABASE}"),
        _influx,
    ),
    "influx2": Place(
        InfluxTwo,
        stores.influx,
        _section("influx", **_AT, org="${ORG}", token="${TOKEN}", bucket="${DATABASE}"),
        _influx,
    ),
    "redis": Place(
        RedisServer,
        stores.redis,
        _section("redis", **_AT, key="${PREFIX}:{keys}:{measure}"),
        _redis,
    ),
    "kafka": Place(
        KafkaBroker,
        stores.kafka,
        _section("kafka", bootstrap_servers="${BROKERS}", topic="${PREFIX}.{stream}", create=True),
        _kafka,
    ),
    "postgres": Place(
        PostgresServer,
        stores.postgres,
        _section("postgres", **_AT, **_LOGIN, database="${DATABASE}", schema="${SCHEMA}"),
        _postgres,
    ),
    "cassandra": Place(
        CassandraNode,
        stores.cassandra,
        _section(
            "cassandra", hosts=["${HOST}"], port="${PORT}", keyspace="${KEYSPACE}", create=True
        ),
        _cassandra,
    ),
}
