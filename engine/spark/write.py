"""A frame of stream columns becomes rows in outputs: one pass, one job, from the executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from engine.plan import LATE
from engine.spark.arrow import map_in_arrow

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Route:
    """A column of the frame and where its rows go.

    Args:
        column: a struct column, or an array of structs; null where a row is not of the stream.
        stream: the stream's name.
        description: the stream as outputs know it.
        outputs: indexes of the factories that take it.
        removes: whether its rows name, by keys and start, windows that are no more.
    """

    column: str
    stream: str
    description: Any
    outputs: tuple[int, ...]
    removes: bool = False


def write(
    frame: DataFrame,
    routes: Sequence[Route],
    factories: Sequence[Callable[[int], Any]],
    batch: int,
) -> Mapping[tuple[str, str], int]:
    """Writes every stream to every output that takes it, in one job.

    Returns:
        How many rows each stream had, by (stream, aggregation); the aggregation is that of late
        rows, else empty.
    """
    task = _Task(tuple(routes), tuple(factories), batch)
    told = map_in_arrow(frame, task, "stream string, aggregation string, rows long").collect()
    counts: dict[tuple[str, str], int] = {}
    for row in told:
        key = (row["stream"], row["aggregation"])
        counts[key] = counts.get(key, 0) + row["rows"]
    return counts


@dataclass(frozen=True)
class _Task:
    """What runs in each task: hands Arrow batches to the writers, then commits all of them."""

    routes: tuple[Route, ...]
    factories: tuple[Callable[[int], Any], ...]
    batch: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = context.partitionId() if context is not None else 0
        writers: dict[int, Any] = {}
        counts: dict[tuple[str, str], int] = {}
        try:
            for batch in batches:
                for route in self.routes:
                    rows = _rows(batch, route.column, self.batch)
                    if rows.num_rows and not route.removes:
                        _count(counts, route.stream, rows)
                    for index in route.outputs if rows.num_rows else ():
                        if index not in writers:
                            writers[index] = self.factories[index](partition)
                        writer = writers[index]
                        act = writer.remove if route.removes else writer.write
                        act(route.description, rows)
            for writer in writers.values():
                writer.commit()
        except BaseException:
            for writer in writers.values():
                writer.abort()
            raise
        if counts:
            streams, aggregations = zip(*counts, strict=True)
            columns = [pa.array(streams), pa.array(aggregations), pa.array(list(counts.values()))]
            yield pa.RecordBatch.from_arrays(columns, ["stream", "aggregation", "rows"])


def _rows(batch: pa.RecordBatch, column: str, number: int) -> pa.RecordBatch:
    """The rows of one stream, flat; ``_batch`` filled in."""
    import pyarrow as pa

    values = batch.column(column)
    if pa.types.is_list(values.type):
        values = values.flatten()
    values = values.drop_null() if values.null_count else values
    rows = pa.RecordBatch.from_arrays(values.flatten(), names=[f.name for f in values.type])
    if "_batch" in rows.schema.names:
        place = rows.schema.names.index("_batch")
        numbers = pa.repeat(pa.scalar(number, pa.int64()), rows.num_rows)
        rows = rows.set_column(place, "_batch", numbers)
    return rows


def _count(counts: dict[tuple[str, str], int], stream: str, rows: pa.RecordBatch) -> None:
    """Adds the rows to the counts."""
    found = [("", rows.num_rows)]
    if stream == LATE:
        values = rows.column("aggregation").value_counts().to_pylist()
        found = [(each["values"], each["counts"]) for each in values]
    for aggregation, number in found:
        key = (stream, aggregation)
        counts[key] = counts.get(key, 0) + number
