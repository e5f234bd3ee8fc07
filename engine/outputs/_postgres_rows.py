"""A task's side of PostgreSQL: Arrow batches become upserts and rows, questions become windows."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg.sql import SQL, Composed

from engine.outputs import MALFORMED, STOP, OutputError, Reader, Refused, Stream, Writer
from engine.outputs._names import task_name
from engine.outputs._patience import Patience, RowError
from engine.outputs._postgres_line import Line, limited
from engine.outputs._postgres_sql import (
    JOURNAL,
    RUN,
    copy,
    delete,
    literal,
    named,
    nearest,
    plain,
    upsert,
)
from engine.outputs._values import in_order, record

if TYPE_CHECKING:
    from engine.outputs.postgres import Postgres

#: Bytes of rows that are sent at once, about: keys may be long.
_BYTES = 8_000_000
#: Bytes of a file that are sent at once.
_PIECE = 262_144
#: A text cannot hold this character; where a record is shown, its picture stands for it.
_NUL, _PICTURE = "\x00", "\u2400"


class PostgresWriter(Writer):
    """The rows of a partition.

    Windows are sent a batch at a time, each a transaction of its own: they may be written twice.
    Rows without a key wait in a file, and are written in one transaction when all are there.
    """

    def __init__(
        self, target: Postgres, patience: Patience, run: str, batch: int, partition: int
    ) -> None:
        self.target, self.patience, self.run, self.batch = target, patience, run, batch
        self.task = task_name(partition)
        #: By a stream's name and whether its rows are removed.
        self.waiting: dict[tuple[str, bool], list[pa.RecordBatch]] = {}
        self.streams: dict[str, Stream] = {}
        self.files: dict[str, IO[bytes]] = {}
        self.turned_down: list[Refused] = []
        self.lines = [Line(target, patience) for _ in range(target.connections)]
        self.idle = deque(self.lines)
        self.threads = ThreadPoolExecutor(target.connections)
        self.sent: deque[Future[list[Refused]]] = deque()

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        rows = self._storable(stream, rows)
        if stream.is_windowed:
            self._keep(stream, rows, removes=False)
        else:
            self._spool(stream, rows)

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._keep(stream, rows.select(list(stream.identity)), removes=True)

    def settle(self) -> None:
        for name, removes in list(self.waiting):
            self._send(self.streams[name], removes)
        while self.sent:
            self._answered()

    def refused(self) -> list[Refused]:
        found, self.turned_down = self.turned_down, []
        if found and self.target.on_reject == STOP:
            first = found[0]
            raise OutputError(f"{self.patience.who}: {first.reason}: {first.record[:200]}")
        return found

    def commit(self) -> None:
        try:
            if self.files:
                self.lines[0].call(self._append)
        except RowError as error:
            raise OutputError(f"{self.patience.who}: {error}") from error
        finally:
            self.abort()

    def abort(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for line in self.lines:
            line.stop()
        for file in self.files.values():
            file.close()

    def _storable(self, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that a table can hold; the others are refused."""
        for place, column in enumerate(stream.columns):
            values = rows.column(place)
            if not pa.types.is_string(values.type):
                continue
            bad = pc.fill_null(pc.match_substring(values, _NUL), False)
            if not pc.any(bad).as_py():
                continue
            if stream.name == MALFORMED:
                shown = pc.replace_substring(values, _NUL, _PICTURE)
                rows = rows.set_column(place, column.name, shown)
                continue
            reason = f"a text of PostgreSQL cannot hold the character NUL, '{column.name}' does"
            self.turned_down += [
                Refused(record(rows, place.as_py()), reason) for place in pc.indices_nonzero(bad)
            ]
            rows = rows.filter(pc.invert(bad))
        return rows

    def _keep(self, stream: Stream, rows: pa.RecordBatch, removes: bool) -> None:
        self.streams[stream.name] = stream
        waiting = self.waiting.setdefault((stream.name, removes), [])
        waiting.append(rows)
        if (
            sum(each.num_rows for each in waiting) >= self.target.batch_size
            or sum(each.nbytes for each in waiting) >= _BYTES
        ):
            self._send(stream, removes)

    def _send(self, stream: Stream, removes: bool) -> None:
        """Hands what waits to the connections; waits for them where they have enough to do."""
        rows = pa.Table.from_batches(self.waiting.pop((stream.name, removes)))
        # In one order everywhere: two that lock the same rows do not wait for each other.
        rows = in_order(stream, rows).combine_chunks()
        statement = (delete if removes else upsert)(self.target.schema, stream)
        for batch in rows.to_batches():
            for part in _parts(batch, self.target.batch_size):
                if len(self.sent) > len(self.lines):
                    self._answered()
                self.sent.append(self.threads.submit(self._sent, statement, part))

    def _answered(self) -> None:
        self.turned_down += self.sent.popleft().result()

    def _sent(self, statement: Composed, rows: pa.RecordBatch) -> list[Refused]:
        """In a thread: writes the rows, all but those that the server refuses."""
        line = self.idle.popleft()
        try:
            return list(_written(line, statement, rows))
        finally:
            self.idle.append(line)

    def _spool(self, stream: Stream, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        if stream.name not in self.files:
            self.streams[stream.name] = stream
            # Closed by `abort`, which `commit` calls too.
            self.files[stream.name] = tempfile.TemporaryFile()  # noqa: SIM115
        of = pa.repeat(pa.scalar(self.run), rows.num_rows)
        columns = [plain(each) for each in rows.columns]
        whole = pa.RecordBatch.from_arrays([*columns, of], [*rows.schema.names, RUN])
        options = pyarrow.csv.WriteOptions(include_header=False)
        pyarrow.csv.write_csv(whole, self.files[stream.name], options)

    def _append(self, connection: psycopg.Connection[Any]) -> None:
        """Writes the rows that have no key, unless that is done."""
        journal = named(self.target.schema, JOURNAL)
        entry = SQL("INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING").format(journal)
        with limited(connection, self.target) as begin_again:
            connection.execute("BEGIN")
            # The rows of a task may be many: of the time that they take, no piece may take long.
            connection.execute("SET LOCAL statement_timeout = 0")
            entered = connection.execute(entry, [self.run, self.batch, self.task])
            for name, file in self.files.items() if entered.rowcount else ():
                file.seek(0)
                statement = copy(self.target.schema, self.streams[name])
                with connection.cursor().copy(statement) as to:
                    while piece := file.read(_PIECE):
                        to.write(piece)
                        begin_again()
            connection.execute("COMMIT")


def _written(line: Line, statement: Composed, rows: pa.RecordBatch) -> Iterator[Refused]:
    """Writes the rows; those that the server refuses are found by halves, and given."""

    def execute(connection: psycopg.Connection[Any]) -> None:
        with limited(connection, line.target):
            connection.execute(statement, [literal(column) for column in rows.columns])

    try:
        line.call(execute)
    except RowError as error:
        if rows.num_rows == 1:
            yield Refused(record(rows, 0), str(error))
            return
        half = rows.num_rows // 2
        yield from _written(line, statement, rows.slice(0, half))
        yield from _written(line, statement, rows.slice(half))


def _parts(rows: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """The rows in order, so many at a time, and fewer where they are long."""
    fitting = max(1, rows.num_rows * _BYTES // max(rows.nbytes, 1))
    size = min(most, fitting)
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _findable(keys: pa.Array) -> pa.Array:
    """The keys, null for those that no table can hold; a null is equal to nothing."""
    if not pa.types.is_string(keys.type):
        return keys
    return pc.if_else(pc.match_substring(keys, _NUL), pa.scalar(None, keys.type), keys)


class PostgresReader(Reader):
    """What the tables know of the past."""

    def __init__(self, target: Postgres, patience: Patience) -> None:
        self.line = Line(target, patience)

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        from engine.spark.arrow import ARROW

        target = self.line.target
        question = nearest(target.schema, stream)
        arrays = [literal(_findable(asked.column(n))) for n in stream.identity]
        within = [f"{accuracy_ms} milliseconds"] * 2

        def ask(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
            with limited(connection, target):
                return connection.execute(question, [*arrays, *within]).fetchall()

        found = list(zip(*self.line.call(ask), strict=True))
        values = found or [()] * len(stream.answer)
        arrays_found = [
            pa.array(column, ARROW[of.type])
            for of, column in zip(stream.answer, values, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays_found, [each.name for each in stream.answer])

    def close(self) -> None:
        self.line.close()
