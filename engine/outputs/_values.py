"""Arrow columns become Python values as outputs of text write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.outputs import Stream


def iso(times: pa.Array) -> pa.Array:
    """Times as ISO 8601 in UTC with milliseconds, such as ``2026-11-22T00:00:00.000Z``."""
    return pc.strftime(_floored(times), format="%Y-%m-%dT%H:%M:%SZ")


def milliseconds(times: pa.Array) -> pa.Int64Array:
    """Times since 1970, rounded down."""
    return _floored(times).cast(pa.int64())


def _floored(times: pa.Array) -> pa.Array:
    # The floor first: a cast would cut the microseconds of times before 1970 upwards.
    floored = pc.floor_temporal(times.cast(pa.timestamp("us")), unit="millisecond")
    return floored.cast(pa.timestamp("ms"))


def texts(column: pa.Array) -> list[Any]:
    """A column's values, times as ISO texts."""
    if not pa.types.is_timestamp(column.type):
        found: list[Any] = column.to_pylist()
        return found
    # Rows of a batch share their times, and to write one is costly.
    coded = column.dictionary_encode()
    written = iso(coded.dictionary).to_pylist()
    return [None if place is None else written[place] for place in coded.indices.to_pylist()]


def rows(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """The rows as tuples in the order of the columns, times as ISO texts."""
    return list(zip(*(texts(column) for column in batch.columns), strict=True))


def objects(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows with the columns' names, times as ISO texts."""
    for row in rows(batch):
        yield dict(zip(batch.schema.names, row, strict=True))


def record(batch: pa.RecordBatch, place: int) -> str:
    """A row as text, as a person would look for it."""
    (found,) = objects(batch.slice(place, 1))
    return json.dumps(found, ensure_ascii=False)


def in_order(stream: Stream, rows: Any) -> Any:
    """Windows, in a batch or a table, by what tells them apart."""
    order = [(name, "ascending") for name in stream.identity]
    return rows.take(pc.sort_indices(rows, sort_keys=order))


def written(rows: pa.Table) -> pa.Table:
    """The table with its times as ISO texts."""
    for place, column in enumerate(rows.columns):
        if pa.types.is_timestamp(column.type):
            texts = pa.chunked_array([iso(chunk) for chunk in column.chunks], pa.string())
            rows = rows.set_column(place, rows.field(place).name, texts)
    return rows
