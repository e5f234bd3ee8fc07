"""The driver's side of Cassandra: tables that fit the streams, and the time of a micro-batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cassandra.cluster import Session

from engine.outputs import Batch, Factory, Job, Open, OutputError, Stream
from engine.outputs._cassandra_cql import TYPES, quoted, series, table
from engine.outputs._cassandra_line import CassandraLine
from engine.outputs._cassandra_rows import CassandraReader, CassandraWriter
from engine.outputs._patience import START_SECONDS, Patience
from engine.plan import WINDOW_START
from engine.types import Type

if TYPE_CHECKING:
    from engine.outputs.cassandra import Cassandra

_COLUMNS = (
    "SELECT column_name, kind, position, type FROM system_schema.columns "
    "WHERE keyspace_name = %s AND table_name = %s"
)
_KEYSPACE = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
_WHO = "SELECT release_version FROM system.local"


class OpenCassandra(Open):
    """A cluster that was reached, with a table for each stream."""

    def __init__(self, target: Cassandra, job: Job) -> None:
        self.target, self.job = target, job
        self.patience = Patience(job.output, target.server, job.notices)
        self.written_us = 0
        line = CassandraLine(target, replace(self.patience, seconds=START_SECONDS))
        try:
            line.call(self._prepare)
        finally:
            line.close()

    def begin(self, batch: Batch) -> Factory:
        # All rows of a micro-batch are written at one time, the driver's, and a later batch's at a
        # later one: of two writes the servers keep the one with the later time, and the clocks of
        # executors differ. What is removed is so a microsecond before what is written.
        self.written_us = max(self.written_us + 2, time.time_ns() // 1000)
        return partial(CassandraWriter, self.target, self.patience, self.written_us)

    def reader(self) -> Callable[[], CassandraReader]:
        return partial(CassandraReader, self.target, self.patience)

    def _prepare(self, session: Session) -> None:
        if not list(session.execute(_KEYSPACE, [self.target.keyspace])):
            self._or_refuse(f"there is no keyspace '{self.target.keyspace}'")
            session.execute(
                f"CREATE KEYSPACE IF NOT EXISTS {quoted(self.target.keyspace)} "
                f"WITH replication = {_map(self.target.replication)}"
            )
        for stream in self.job.streams:
            self._make(session, stream)

    def _make(self, session: Session, stream: Stream) -> None:
        """Makes the stream's table, or adds the columns that an older one lacks."""
        at = table(self.target.keyspace, stream)
        declared = _declared(stream)
        present = _present(session, self.target, stream)
        if not present:
            self._or_refuse(f"there is no table {at}")
            lines = ", ".join(f"{quoted(name)} {of}" for name, of in declared.items())
            keys = ", ".join(map(quoted, series(stream)))
            session.execute(
                f"CREATE TABLE IF NOT EXISTS {at} "
                f"({lines}, PRIMARY KEY (({keys}), {quoted(WINDOW_START)}))"
            )
            return
        self._judge(stream, present)
        for name, of in declared.items():
            if name not in present:
                self._or_refuse(f"the table {at} has no column '{name}'")
                session.execute(f"ALTER TABLE {at} ADD {quoted(name)} {of}")

    def _judge(self, stream: Stream, present: dict[str, tuple[str, str]]) -> None:
        key = {name for name, (kind, _) in present.items() if kind != "regular"}
        at = table(self.target.keyspace, stream)
        if key != {*series(stream), WINDOW_START} or present[WINDOW_START][0] != "clustering":
            told = f"the table {at} has another key ({', '.join(sorted(key))})"
            raise OutputError(f"{self.patience.who}: {told}; name another keyspace, or drop it")
        for name, of in _declared(stream).items():
            if name in present and present[name][1] != of:
                told = f"the column '{name}' of {at} is {present[name][1]}, and should be {of}"
                raise OutputError(f"{self.patience.who}: {told}; name another keyspace, or drop it")

    def _or_refuse(self, told: str) -> None:
        if not self.target.create:
            raise OutputError(f'{self.patience.who}: {told}; make it, or write "create": true')


def probe(target: Cassandra, job: Job) -> str:
    """A line about the cluster and what is there; rights cannot be asked for."""
    line = CassandraLine(target, Patience(job.output, target.server))
    try:
        return line.attempt(partial(_asked, target, job, line.patience.who))
    finally:
        line.close()


def _asked(target: Cassandra, job: Job, who: str, session: Session) -> str:
    version = session.execute(_WHO).one().release_version
    missing = [each.name for each in job.streams if not _present(session, target, each)]
    has_keyspace = list(session.execute(_KEYSPACE, [target.keyspace]))
    if not target.create and (missing or not has_keyspace):
        told = f"no table '{missing[0]}' in the keyspace" if has_keyspace else "no keyspace"
        cure = 'make it, or write "create": true'
        raise OutputError(f"{who}: there is {told} '{target.keyspace}'; {cure}")
    what = [] if has_keyspace else [f"the keyspace '{target.keyspace}'"]
    made = f"; to be made: {', '.join([*what, *missing])}" if missing else ""
    return f"{target.server}, version {version}: keyspace '{target.keyspace}'{made}"


def _declared(stream: Stream) -> dict[str, str]:
    """The columns of the stream's table and their types."""
    found = {column.name: TYPES[column.type] for column in stream.columns}
    return {**{name: TYPES[Type.STRING] for name in series(stream) if name not in found}, **found}


def _present(session: Session, target: Cassandra, stream: Stream) -> dict[str, tuple[str, str]]:
    """The columns of the table that is there, as their kinds and types."""
    found = session.execute(_COLUMNS, [target.keyspace, stream.name])
    return {row.column_name: (row.kind, row.type) for row in found}


def _map(values: dict[str, Any]) -> str:
    """A literal of CQL."""

    def text(value: Any) -> str:
        whole = isinstance(value, float) and value.is_integer()
        return "'" + str(int(value) if whole else value).replace("'", "''") + "'"

    return "{" + ", ".join(f"{text(name)}: {text(value)}" for name, value in values.items()) + "}"
