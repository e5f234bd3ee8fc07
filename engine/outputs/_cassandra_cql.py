"""Streams become CQL; columns of rows become the values that its statements take."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from engine.outputs import Stream
from engine.outputs._names import quoted
from engine.outputs._values import milliseconds
from engine.plan import WINDOW_START
from engine.types import Type

TYPES = {
    Type.BOOLEAN: "boolean",
    Type.BYTE: "bigint",
    Type.SHORT: "bigint",
    Type.INT: "bigint",
    Type.LONG: "bigint",
    Type.FLOAT: "double",
    Type.DOUBLE: "double",
    Type.STRING: "text",
    Type.TIMESTAMP: "timestamp",
}
#: The partition of a stream that has no keys; no key may be called so.
_STREAM = "stream"


def table(keyspace: str, stream: Stream) -> str:
    return f"{quoted(keyspace)}.{quoted(stream.name)}"


def series(stream: Stream) -> tuple[str, ...]:
    """The columns that say in which partition a window is."""
    return stream.keys or (_STREAM,)


def upsert(keyspace: str, stream: Stream) -> str:
    """Takes the columns of ``values``, then seconds to live (0: for ever) and microseconds."""
    names = _columns(stream)
    return (
        f"INSERT INTO {table(keyspace, stream)} ({', '.join(map(quoted, names))}) "
        f"VALUES ({', '.join('?' * len(names))}) USING TTL ? AND TIMESTAMP ?"
    )


def delete(keyspace: str, stream: Stream) -> str:
    """Takes microseconds, then the series and the start."""
    same = " AND ".join(f"{quoted(name)} = ?" for name in (*series(stream), WINDOW_START))
    return f"DELETE FROM {table(keyspace, stream)} USING TIMESTAMP ? WHERE {same}"


def between(keyspace: str, stream: Stream, of: str) -> str:
    """Takes the other columns of the series, a list of this one, the first and the last start; it
    gives this one and the windows from the first on, series after series.

    Args:
        of: the column of the series that several partitions differ in.
    """
    same = [f"{quoted(name)} = ?" for name in series(stream) if name != of]
    start = quoted(WINDOW_START)
    where = " AND ".join([*same, f"{quoted(of)} IN ?", f"{start} >= ?", f"{start} <= ?"])
    names = [of, *(each.name for each in stream.answer)]
    return f"SELECT {', '.join(map(quoted, names))} FROM {table(keyspace, stream)} WHERE {where}"


def values(stream: Stream, rows: pa.RecordBatch) -> list[list[Any]]:
    """The columns of ``upsert``, or those of the series and the start where there are no more."""
    names = [name for name in _columns(stream) if name == _STREAM or name in rows.schema.names]
    return [
        plain(rows.column(name)) if name in rows.schema.names else [stream.name] * rows.num_rows
        for name in names
    ]


def plain(column: pa.Array) -> list[Any]:
    """A column's values, times as epoch milliseconds: the servers have no finer ones."""
    if pa.types.is_timestamp(column.type):
        column = milliseconds(column)
    found: list[Any] = column.to_pylist()
    return found


def _columns(stream: Stream) -> list[str]:
    """The columns of a stream's table: first what identifies a window."""
    first = [*series(stream), WINDOW_START]
    return [*first, *(column.name for column in stream.columns if column.name not in first)]
