"""The driver's side of PostgreSQL: tables that fit the streams, no rows of a repeated batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from engine.outputs import Batch, Factory, Job, Open, OutputError, Stream
from engine.outputs._patience import START_SECONDS, Patience, RowError
from engine.outputs._postgres_line import Line, limited
from engine.outputs._postgres_rows import PostgresReader, PostgresWriter
from engine.outputs._postgres_sql import JOURNAL, RUN, TYPES, named, upsert
from engine.plan import WINDOW_START

if TYPE_CHECKING:
    from engine.outputs.postgres import Postgres

_WHO = """SELECT current_setting('server_version'), current_user, pg_is_in_recovery(),
    to_regnamespace(quote_ident(%(schema)s)) IS NOT NULL,
    coalesce(has_schema_privilege(to_regnamespace(quote_ident(%(schema)s)), 'CREATE'), false)"""
_RIGHTS = """SELECT has_table_privilege(found, 'SELECT') AND has_table_privilege(found, 'INSERT')
    AND has_table_privilege(found, 'UPDATE') AND has_table_privilege(found, 'DELETE')
    FROM to_regclass(%s) AS found WHERE found IS NOT NULL"""


class OpenPostgres(Open):
    """A server that was reached, with a table for each stream."""

    def __init__(self, target: Postgres, job: Job) -> None:
        self.target, self.job = target, job
        self.run = job.run
        self.patience = Patience(job.output, target.server, job.notices)
        self.line = Line(target, replace(self.patience, seconds=START_SECONDS))
        self._do(self._prepare)
        self.line.patience = self.patience

    @property
    def beside(self) -> list[Stream]:
        """The streams whose rows have no key."""
        return [each for each in self.job.streams if not each.is_windowed]

    def begin(self, batch: Batch) -> Factory:
        if self.beside:
            self._do(partial(self._forget, batch))
        return partial(PostgresWriter, self.target, self.patience, self.run, batch.id)

    def reader(self) -> Callable[[], PostgresReader]:
        return partial(PostgresReader, self.target, self.patience)

    def close(self) -> None:
        self.line.close()

    def _do(self, act: Callable[[psycopg.Connection[Any]], None]) -> None:
        try:
            self.line.call(act)
        except RowError as error:
            raise OutputError(f"{self.patience.who}: {error}") from error

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        with limited(connection, self.target), connection.transaction():
            # Two runs that begin together make each table once.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('ts-engine'))")
            for stream in self.job.streams:
                self._make(connection, stream)
            journal = self._named(JOURNAL)
            if self.beside and not _columns(connection, journal):
                connection.execute(
                    SQL(
                        "CREATE TABLE {} (run text, batch bigint, task text, "
                        "PRIMARY KEY (run, batch, task))"
                    ).format(journal)
                )

    def _make(self, connection: psycopg.Connection[Any], stream: Stream) -> None:
        """Makes the stream's table, or adds the columns that an older one lacks."""
        table = self._named(stream.name)
        declared = {column.name: TYPES[column.type] for column in stream.columns}
        if not stream.is_windowed:
            declared[RUN] = "text"
        lines = {
            name: SQL("{} {}").format(Identifier(name), SQL(of)) for name, of in declared.items()
        }
        present = _columns(connection, table)
        if not present:
            self._create(connection, stream, table, lines.values())
        for name in lines if present else ():
            if name not in present:
                connection.execute(SQL("ALTER TABLE {} ADD COLUMN {}").format(table, lines[name]))
        if stream.is_windowed:
            # Whether key, types and rights fit what will be written; nothing is.
            nothing: list[Any] = [[] for _ in stream.columns]
            connection.execute(SQL("EXPLAIN ") + upsert(self.target.schema, stream), nothing)

    def _create(
        self,
        connection: psycopg.Connection[Any],
        stream: Stream,
        table: Identifier,
        lines: Iterable[Composed],
    ) -> None:
        of = list(lines)
        if stream.is_windowed:
            primary = map(Identifier, stream.identity)
            of.append(SQL("PRIMARY KEY ({})").format(SQL(", ").join(primary)))
        connection.execute(SQL("CREATE TABLE {} ({})").format(table, SQL(", ").join(of)))
        if not stream.is_windowed:
            # A repeated batch removes its rows: they stand together, so a few bytes find them.
            connection.execute(SQL("CREATE INDEX ON {} USING brin (_batch)").format(table))
        elif self.target.hypertable:
            self._spread(connection, table)

    def _spread(self, connection: psycopg.Connection[Any], table: Identifier) -> None:
        """Makes a new table a hypertable."""
        there = "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
        if connection.execute(there).fetchone() is None:
            raise OutputError(
                f"{self.patience.who}: the database '{self.target.database}' lacks the extension "
                "timescaledb; CREATE EXTENSION timescaledb, or leave out 'hypertable'"
            )
        connection.execute(
            "SELECT create_hypertable(%s::regclass, %s::name)",
            [table.as_string(connection), WINDOW_START],
        )

    def _forget(self, batch: Batch, connection: psycopg.Connection[Any]) -> None:
        """Removes the rows without a key that an earlier attempt at this batch wrote; and what the
        journal knows of batches that are done."""
        with limited(connection, self.target), connection.transaction():
            if batch.replayed:
                for stream in self.beside:
                    gone = SQL("DELETE FROM {} WHERE _batch >= %s AND {} = %s").format(
                        named(self.target.schema, stream.name), named(RUN)
                    )
                    connection.execute(gone, [batch.id, self.run])
            connection.execute(
                SQL("DELETE FROM {} WHERE run = %s AND (batch < %s OR %s)").format(
                    named(self.target.schema, JOURNAL)
                ),
                [self.run, batch.id, batch.replayed],
            )

    def _named(self, table: str) -> Identifier:
        return Identifier(self.target.schema, table)


def _columns(connection: psycopg.Connection[Any], table: Identifier) -> set[str]:
    """The names of a table's columns; none where there is no such table."""
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
        "AND NOT attisdropped",
        [table.as_string(connection)],
    )
    return {name for (name,) in found}


def probe(target: Postgres, job: Job) -> str:
    """A line about the server and what the user may do there."""
    line = Line(target, Patience(job.output, target.server))
    try:
        return line.attempt(partial(_asked, target, job, line.patience.who))
    finally:
        line.close()


def _asked(target: Postgres, job: Job, who: str, connection: psycopg.Connection[Any]) -> str:
    with limited(connection, target):
        found = connection.execute(_WHO, {"schema": target.schema}).fetchone()
        assert found is not None
        version, user, standby, has_schema, creates = found
        rights = {each.name: _rights(connection, target, each) for each in job.streams}
    refused = [name for name, may in rights.items() if may is False]
    missing = [name for name, may in rights.items() if may is None]
    told = ""
    if standby:
        told = "the server is a standby, which nobody can write to"
    elif not has_schema:
        told = f"there is no schema '{target.schema}'; make it, or check 'schema'"
    elif refused:
        told = f"the user '{user}' may not read, write and delete in '{refused[0]}'; grant it"
    elif missing and not creates:
        told = f"the user '{user}' may not make the table '{missing[0]}'; grant it, or make it"
    if told:
        raise OutputError(f"{who}: {told}")
    made = f"; to be made: {', '.join(missing)}" if missing else ""
    return (
        f"{target.server}, version {version}: may write to the database '{target.database}'{made}"
    )


def _rights(connection: psycopg.Connection[Any], target: Postgres, stream: Stream) -> bool | None:
    """Whether the user may do with the stream's table what is needed; None: there is none."""
    name = Identifier(target.schema, stream.name).as_string(connection)
    found = connection.execute(_RIGHTS, [name]).fetchone()
    return None if found is None else bool(found[0])
