"""The output ``sqlite``: a table for each stream in one file, no server needed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
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
from engine.outputs._names import quoted, task_name
from engine.outputs._patience import START_SECONDS, PassingError, Patience
from engine.types import Type

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES = {Type.STRING: "TEXT", Type.TIMESTAMP: "TEXT", Type.FLOAT: "REAL", Type.DOUBLE: "REAL"}
#: Which rows a task of a micro-batch wrote into tables that have no key, so that a replay can
#: replace them: by checkpoint, because another one counts its batches from 0 again.
_JOURNAL = "_ts_engine_batches"
#: Writers of one file take turns; each waits so long for the others before it says so.
_BUSY_SECONDS = 60
#: What sqlite says of a disk on which somebody may make room, and of a file that another program
#: writes to.
_PASSING = ("database or disk is full", "database is locked")
#: So many rows are held back by a task, at most; and so many of them are Python's at a time.
_ROWS, _TUPLES = 200_000, 10_000
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
        self.patience = Patience(job.output, self.path, job.notices)
        self._run(self._prepare, replace(self.patience, seconds=START_SECONDS))

    def _run(self, act: Callable[[sqlite3.Connection], None], patience: Patience) -> None:
        """Gives a connection to what begins and ends a transaction, as often as it takes."""

        def attempt() -> None:
            with closing(connect(self.path)) as connection:
                act(connection)

        with _told(patience):
            patience.call(_passing(attempt))

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_JOURNAL} (checkpoint TEXT, stream TEXT, "
            "batch INTEGER, task TEXT, first INTEGER, last INTEGER)"
        )
        for stream in self.job.streams:
            _make_table(connection, stream)
        connection.execute("COMMIT")

    def begin(self, batch: Batch) -> Factory:
        self._run(partial(self._begin, batch=batch), self.patience)
        return partial(SqliteWriter, self.path, self.patience, self.job.checkpoint, batch.id)

    def _begin(self, connection: sqlite3.Connection, batch: Batch) -> None:
        checkpoint = self.job.checkpoint
        connection.execute("BEGIN IMMEDIATE")
        if batch.replayed:
            _forget(connection, checkpoint, batch.id)
        connection.execute(
            f"DELETE FROM {_JOURNAL} WHERE checkpoint = ? AND batch < ?", (checkpoint, batch.id)
        )
        connection.execute("COMMIT")

    def reader(self) -> Callable[[], Reader]:
        from engine.outputs._sqlite_reader import SqliteReader

        return partial(SqliteReader, self.path, self.job.output)

    def close(self) -> None:
        # Rows that have no room in the file yet are in the log beside it, and are read there.
        with suppress(sqlite3.OperationalError), closing(connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class SqliteWriter(Writer):
    """A task's side: rows wait until there are many, or no more, and go in by one transaction.

    Whoever writes keeps the others out, so that nobody does while he waits for something else: for
    the rows, or for another output's server.
    """

    def __init__(
        self, path: str, patience: Patience, checkpoint: str, batch: int, partition: int
    ) -> None:
        self.path, self.patience, self.checkpoint = path, patience, checkpoint
        self.batch, self.task = batch, task_name(partition)
        #: Rows of a stream that are written, and others that are removed.
        self.waiting: dict[tuple[Stream, bool], list[pa.RecordBatch]] = {}
        self.rows = 0
        self.is_first = True

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._keep(stream, False, rows)

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._keep(stream, True, rows.select(list(stream.identity)))

    def _keep(self, stream: Stream, removes: bool, rows: pa.RecordBatch) -> None:
        self.waiting.setdefault((stream, removes), []).append(rows)
        self.rows += rows.num_rows
        if self.rows >= _ROWS:
            self._send()

    def commit(self) -> None:
        if self.waiting:
            self._send()

    def _send(self) -> None:
        with _told(self.patience):
            self.patience.call(_passing(self._written))
        self.waiting, self.rows, self.is_first = {}, 0, False

    def _written(self) -> None:
        """One transaction; whatever goes wrong, nothing of it is there."""
        with closing(connect(self.path)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("BEGIN IMMEDIATE")
            if self.is_first:
                # What an earlier attempt at this task wrote before it failed.
                _forget(connection, self.checkpoint, self.batch, self.task)
            for (stream, removes), batches in self.waiting.items():
                self._put(connection, stream, removes, batches)
            connection.execute("COMMIT")

    def _put(
        self,
        connection: sqlite3.Connection,
        stream: Stream,
        removes: bool,
        batches: list[pa.RecordBatch],
    ) -> None:
        import pyarrow as pa

        from engine.outputs._values import in_order
        from engine.outputs._values import rows as tuples

        table = pa.Table.from_batches(batches)
        if removes or stream.is_windowed:
            statement, first = (_delete if removes else _upsert)(stream), 0
            table = in_order(stream, table)
        else:
            # The transaction is alone, so the ids of its rows follow each other.
            top = f"SELECT coalesce(max(rowid), 0) FROM {quoted(stream.name)}"
            statement, first = _insert(stream), connection.execute(top).fetchone()[0] + 1
        for rows in table.combine_chunks().to_batches(max_chunksize=_TUPLES):
            connection.executemany(statement, tuples(rows))
        if first:
            connection.execute(
                f"INSERT INTO {_JOURNAL} VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(self.checkpoint, stream.name, self.batch, self.task),
                    *(first, first + table.num_rows - 1),
                ),
            )


def _forget(
    connection: sqlite3.Connection, checkpoint: str, batch: int, task: str | None = None
) -> None:
    """Removes the rows without a key that this batch and later ones wrote before, or one task of
    them, and the journal's lines about them."""
    where = "checkpoint = ? AND batch >= ? AND coalesce(task = ?, TRUE)"
    values = (checkpoint, batch, task)
    written = connection.execute(
        f"SELECT stream, first, last FROM {_JOURNAL} WHERE {where}", values
    ).fetchall()
    for stream, first, last in written:
        connection.execute(
            f"DELETE FROM {quoted(stream)} WHERE rowid BETWEEN ? AND ?", (first, last)
        )
    connection.execute(f"DELETE FROM {_JOURNAL} WHERE {where}", values)


def _passing(attempt: Callable[[], None]) -> Callable[[], None]:
    """The attempt, that raises ``PassingError`` where there may be room, or a turn, later."""

    def tried() -> None:
        try:
            attempt()
        except sqlite3.OperationalError as error:
            if str(error) not in _PASSING:
                raise
            raise PassingError(str(error)) from error

    return tried


@contextmanager
def _told(patience: Patience) -> Iterator[None]:
    """An error of sqlite as a sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(f"{patience.who}: {error}") from error


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
