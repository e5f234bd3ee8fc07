"""The output ``sqlite``: a table for each stream in one file, no server needed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
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
from engine.outputs._sqlite_table import connect, deletion, insertion, make_table, upsert

if TYPE_CHECKING:
    import pyarrow as pa

#: Which rows a task of a micro-batch wrote into tables that have no key, so that a replay can
#: replace them: by checkpoint, because another one counts its batches from 0 again.
_JOURNAL = "_ts_engine_batches"
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
            make_table(connection, stream)
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
            statement, first = (deletion if removes else upsert)(stream), 0
            table = in_order(stream, table)
        else:
            # The transaction is alone, so the ids of its rows follow each other.
            top = f"SELECT coalesce(max(rowid), 0) FROM {quoted(stream.name)}"
            statement, first = insertion(stream), connection.execute(top).fetchone()[0] + 1
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
