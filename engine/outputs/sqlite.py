"""The output ``sqlite``: a table for each stream in one file, no server needed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from engine.option import option
from engine.outputs import (
    Batch,
    Factory,
    Job,
    Open,
    OutputError,
    Reader,
    Say,
    Stream,
    Target,
    Writer,
)
from engine.outputs._names import quoted
from engine.types import Type

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = {Type.STRING: "TEXT", Type.TIMESTAMP: "TEXT", Type.FLOAT: "REAL", Type.DOUBLE: "REAL"}
#: Which rows a task of a micro-batch wrote into tables that have no key, so that a replay can
#: replace them: by checkpoint, because another one counts its batches from 0 again.
_JOURNAL = "_ts_engine_batches"
#: Writers of one file take turns; each waits so long for the others.
_BUSY_SECONDS = 600
#: Pages that a task keeps at hand, in KiB: sqlite's own 2 MB are too few for a large table's key.
_CACHE_KIB = 65_536


@dataclass(frozen=True, kw_only=True)
class Sqlite(Target):
    """One file, one table a stream; rows of windows are replaced when a window changes."""

    METHOD: ClassVar[str] = "sqlite"
    ANSWERS: ClassVar[bool] = True

    path: str = option(
        "the database's file, relative to the config; made when absent",
        nonempty=True,
        format="path",
        example="results.sqlite",
    )

    def check(self, say: Say) -> None:
        folder = os.path.dirname(self.path) or "."
        if "://" in self.path:
            say("path", f"'{self.path}' is no file of this machine", "sqlite writes a local file")
        elif os.path.isdir(self.path):
            say("path", f"'{self.path}' is a folder", "name a file in it")
        elif not os.path.isdir(folder):
            say("path", f"there is no folder '{folder}'", "make it first")
        elif os.path.isfile(self.path) and not _is_database(self.path):
            say("path", f"'{self.path}' is no sqlite database", "name another file")

    def open(self, job: Job) -> OpenSqlite:
        return OpenSqlite(self.path, job)

    def described(self) -> dict[str, Any]:
        return {"path": os.path.basename(self.path)}

    def place(self) -> str | None:
        return os.path.relpath(self.path)


def _is_database(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


class OpenSqlite(Open):
    """The driver's side: tables that fit the streams, and no rows of a batch that is replayed."""

    def __init__(self, path: str, job: Job) -> None:
        self.path = os.path.abspath(path)
        self.job = job
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_JOURNAL} (checkpoint TEXT, stream TEXT, "
                "batch INTEGER, task INTEGER, first INTEGER, last INTEGER)"
            )
            for stream in job.streams:
                _make_table(connection, stream)
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(connect(self.path)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise OutputError(f"output '{self.job.output}': {self.path}: {error}") from error

    def begin(self, batch: Batch) -> Factory:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if batch.replayed:
                self._forget(connection, batch.id)
            connection.execute(
                f"DELETE FROM {_JOURNAL} WHERE checkpoint = ? AND batch < ?",
                (self.job.checkpoint, batch.id),
            )
            connection.execute("COMMIT")
        return partial(SqliteWriter, self.path, self.job.output, self.job.checkpoint, batch.id)

    def _forget(self, connection: sqlite3.Connection, batch: int) -> None:
        """Removes the rows without a key that an earlier attempt at this batch wrote."""
        written = connection.execute(
            f"SELECT stream, first, last FROM {_JOURNAL} WHERE checkpoint = ? AND batch >= ?",
            (self.job.checkpoint, batch),
        ).fetchall()
        for stream, first, last in written:
            connection.execute(
                f"DELETE FROM {quoted(stream)} WHERE rowid BETWEEN ? AND ?", (first, last)
            )
        connection.execute(
            f"DELETE FROM {_JOURNAL} WHERE checkpoint = ? AND batch >= ?",
            (self.job.checkpoint, batch),
        )

    def reader(self) -> Callable[[], Reader]:
        from engine.outputs._sqlite_reader import SqliteReader

        return partial(SqliteReader, self.path, self.job.output)

    def close(self) -> None:
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class SqliteWriter(Writer):
    """A task's side: all rows of its partition in one transaction."""

    def __init__(self, path: str, output: str, checkpoint: str, batch: int, task: int) -> None:
        self.path, self.output, self.checkpoint = path, output, checkpoint
        self.batch, self.task = batch, task
        self.connection: sqlite3.Connection | None = None
        self.written: dict[str, tuple[int, int]] = {}

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        from engine.outputs._values import in_order
        from engine.outputs._values import rows as tuples

        try:
            connection = self._begun()
            if stream.is_windowed:
                connection.executemany(_upsert(stream), tuples(in_order(stream, rows)))
            else:
                self._append(connection, stream, tuples(rows))
        except sqlite3.Error as error:
            raise OutputError(f"output '{self.output}': {self.path}: {error}") from error

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        from engine.outputs._values import rows as tuples

        try:
            rows = rows.select(list(stream.identity))
            self._begun().executemany(_delete(stream), tuples(rows))
        except sqlite3.Error as error:
            raise OutputError(f"output '{self.output}': {self.path}: {error}") from error

    def _begun(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = connect(self.path)
            self.connection.execute("PRAGMA synchronous = NORMAL")
            self.connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self.connection.execute("BEGIN IMMEDIATE")
        return self.connection

    def _append(
        self, connection: sqlite3.Connection, stream: Stream, rows: list[tuple[Any, ...]]
    ) -> None:
        """Inserts rows that have no key; the transaction is alone, so their ids follow."""
        table = quoted(stream.name)
        top = connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]
        connection.executemany(_insert(stream), rows)
        first = self.written.get(stream.name, (top + 1, 0))[0]
        self.written[stream.name] = (first, top + len(rows))

    def commit(self) -> None:
        if self.connection is None:
            return
        try:
            with closing(self.connection) as connection:
                connection.executemany(
                    f"INSERT INTO {_JOURNAL} VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (self.checkpoint, stream, self.batch, self.task, *ids)
                        for stream, ids in self.written.items()
                    ],
                )
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(f"output '{self.output}': {self.path}: {error}") from error

    def abort(self) -> None:
        if self.connection is not None:
            self.connection.close()


def connect(path: str) -> sqlite3.Connection:
    """A connection that commits each statement, and waits for its turn."""
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def columns(names: Iterable[str]) -> list[str]:
    """The columns' names in the table: sqlite takes ``id`` and ``ID`` for one, so the second
    becomes ``ID_2``.

    Example:
        >>> columns(["id", "ID"])
        ['id', 'ID_2']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        unique, count = name, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique.lower())
        found.append(unique)
    return found


def column_names(stream: Stream) -> list[str]:
    """The columns' names in the stream's table, in the stream's order."""
    return columns(column.name for column in stream.columns)


def _primary(stream: Stream) -> list[str]:
    """The names in the table of what identifies a window's row: its keys and its start."""
    named = dict(zip((each.name for each in stream.columns), column_names(stream), strict=True))
    return [named[name] for name in stream.identity]


def _make_table(connection: sqlite3.Connection, stream: Stream) -> None:
    """Makes the stream's table, or adds the columns that an older one lacks."""
    table = quoted(stream.name)
    declared = {
        name: _TYPES.get(column.type, "INTEGER")
        for name, column in zip(column_names(stream), stream.columns, strict=True)
    }
    present = connection.execute(f"PRAGMA table_info({table})").fetchall()
    if not present:
        lines = [f"{quoted(name)} {of}" for name, of in declared.items()]
        if stream.is_windowed:
            lines.append(f"PRIMARY KEY ({', '.join(map(quoted, _primary(stream)))})")
        connection.execute(f"CREATE TABLE {table} ({', '.join(lines)})")
        return
    known = {row[1].lower() for row in present}
    keys = {row[1] for row in present if row[5]}
    if stream.is_windowed and keys != set(_primary(stream)):
        told = ", ".join(sorted(keys)) or "none"
        raise OutputError(
            f"the table '{stream.name}' exists with another key ({told}); "
            "name another file, or drop the table"
        )
    for name, of in declared.items():
        if name.lower() not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {of}")


def _insert(stream: Stream) -> str:
    names = column_names(stream)
    places = ", ".join("?" * len(names))
    return f"INSERT INTO {quoted(stream.name)} ({', '.join(map(quoted, names))}) VALUES ({places})"


def _delete(stream: Stream) -> str:
    same = " AND ".join(f"{quoted(name)} = ?" for name in _primary(stream))
    return f"DELETE FROM {quoted(stream.name)} WHERE {same}"


def _upsert(stream: Stream) -> str:
    primary = _primary(stream)
    updated = [quoted(name) for name in column_names(stream) if name not in primary]
    changes = ", ".join(f"{name} = excluded.{name}" for name in updated)
    conflict = ", ".join(map(quoted, primary))
    return f"{_insert(stream)} ON CONFLICT ({conflict}) DO UPDATE SET {changes}"
