"""Arrow columns become Python values as outputs of text write them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def iso(times: pa.Array) -> pa.Array:
    """Times as ISO 8601 in UTC with milliseconds, such as ``2026-11-22T00:00:00.000Z``."""
    # The floor first: a cast would cut the microseconds of times before 1970 upwards.
    floored = pc.floor_temporal(times.cast(pa.timestamp("us")), unit="millisecond")
    return pc.strftime(floored.cast(pa.timestamp("ms")), format="%Y-%m-%dT%H:%M:%SZ")


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


def written(rows: pa.Table) -> pa.Table:
    """The table with its times as ISO texts."""
    for place, column in enumerate(rows.columns):
        if pa.types.is_timestamp(column.type):
            texts = pa.chunked_array([iso(chunk) for chunk in column.chunks], pa.string())
            rows = rows.set_column(place, rows.field(place).name, texts)
    return rows
