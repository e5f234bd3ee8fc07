"""Windows that are asked for become one join in sqlite, and its answer the nearest of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.outputs import OutputError, Stream
from engine.outputs._names import quoted
from engine.outputs._sqlite_table import column_names, connect
from engine.outputs._values import iso, texts
from engine.plan import WINDOW_START
from engine.spark.arrow import ARROW


class SqliteReader:
    """The past, from the tables that the output writes."""

    def __init__(self, path: str, output: str) -> None:
        self.output = output
        self.connection = connect(path)

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        """Of two windows that are as near the earlier one answers."""
        accuracy = pa.scalar(accuracy_ms * 1000, pa.duration("us"))
        # Of many keys there are few times: each is written once.
        encoded = asked.column(WINDOW_START).dictionary_encode()
        starts = encoded.dictionary
        times = [
            iso(each).take(encoded.indices).to_pylist()
            for each in (starts, pc.subtract(starts, accuracy), pc.add(starts, accuracy))
        ]
        keys = [texts(asked.column(key)) for key in stream.keys]
        rows = zip(range(asked.num_rows), *keys, *times, strict=True)
        found: list[Sequence[Any] | None] = [None] * asked.num_rows
        try:
            for place, *window in self._nearest(stream, list(rows)):
                found[place] = window
        except sqlite3.Error as error:
            raise OutputError(f"output '{self.output}': {error}") from error
        return _answer(stream, found)

    def _nearest(self, stream: Stream, rows: list[tuple[Any, ...]]) -> sqlite3.Cursor:
        names = zip(stream.columns, column_names(stream), strict=True)
        column = {each.name: f"w.{quoted(name)}" for each, name in names}
        places = [f"k{place}" for place in range(len(stream.keys))]
        start = column[WINDOW_START]
        read = [column[each.name] for each in stream.answer]
        same = [f"{column[key]} = a.{at}" for key, at in zip(stream.keys, places, strict=True)]
        away = f"abs(julianday({start}) - julianday(a.start))"
        self.connection.execute("DROP TABLE IF EXISTS temp.asked")
        self.connection.execute(
            f"CREATE TEMP TABLE asked ({', '.join(['_place', *places, 'start', 'first', 'last'])})"
        )
        # In one transaction: by itself each row is one, which takes ten times as long.
        self.connection.execute("BEGIN")
        self.connection.executemany(
            f"INSERT INTO temp.asked VALUES ({', '.join('?' * (len(places) + 4))})", rows
        )
        self.connection.execute("COMMIT")
        # A cross join is done in the order that is written: a step into the key for each asked row.
        where = " AND ".join([*same, f"{start} BETWEEN a.first AND a.last"])
        return self.connection.execute(
            f"SELECT _place, {', '.join(read)} FROM ("
            f"SELECT a._place, w.*, row_number() OVER "
            f"(PARTITION BY a._place ORDER BY round({away} * 86400000), {start}) AS _rank "
            f"FROM temp.asked a CROSS JOIN {quoted(stream.name)} w WHERE {where}) w "
            "WHERE _rank = 1"
        )

    def close(self) -> None:
        self.connection.close()


def _answer(stream: Stream, found: Sequence[Sequence[Any] | None]) -> pa.RecordBatch:
    arrays = []
    for place, column in enumerate(stream.answer):
        values = pa.array([None if row is None else row[place] for row in found])
        kind = ARROW[column.type]
        if pa.types.is_timestamp(kind):
            arrays.append(_times(values.cast(pa.string()), kind))
        else:
            arrays.append(values.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, [each.name for each in stream.answer])


def _times(written: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Times of texts such as ``2026-11-22T00:00:00.000Z``."""
    bare = pc.utf8_rtrim(written, "Z")
    return bare.cast(pa.timestamp("ms")).cast(pa.timestamp("us")).cast(kind)
