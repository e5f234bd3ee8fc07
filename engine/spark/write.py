"""A frame of stream columns becomes rows in outputs: one pass, one job, from the executors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from engine.outputs import Factory, OutputError, Refused, Stream, Writer
from engine.plan import LATE
from engine.spark.arrow import ARROW, map_in_arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: In the counts, in place of a stream: rows that a server refused. No stream has a blank in front.
_REFUSED = "refused by"


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


@dataclass(frozen=True)
class Sinks:
    """The outputs as the tasks of one micro-batch reach them; it is pickled.

    Args:
        batch: the micro-batch's number.
        factories: make the writers, one for each output.
        names: the outputs' names.
        malformed: where rows go that a server refuses.
    """

    batch: int
    factories: tuple[Factory, ...]
    names: tuple[str, ...]
    malformed: Route


@dataclass(frozen=True)
class Written:
    """How many rows went where.

    Args:
        rows: by (stream, aggregation); the aggregation is that of late rows, else empty.
        refused: by output, those that its server refused.
    """

    rows: Mapping[tuple[str, str], int]
    refused: Mapping[str, int]


def write(frame: DataFrame, routes: Sequence[Route], sinks: Sinks) -> Written:
    """Writes every stream to every output that takes it, in one job."""
    told = map_in_arrow(
        frame, _Write(tuple(routes), sinks), "stream string, about string, rows long"
    ).collect()
    counts: Counter[tuple[str, str]] = Counter()
    for row in told:
        counts[row["stream"], row["about"]] += row["rows"]
    refused = {about: number for (stream, about), number in counts.items() if stream == _REFUSED}
    rows = {key: number for key, number in counts.items() if key[0] != _REFUSED}
    return Written(rows, refused)


@dataclass(frozen=True)
class _Write:
    """What runs in each task: hands Arrow batches to the writers, then commits all of them."""

    routes: tuple[Route, ...]
    sinks: Sinks

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        task = _Task(self.sinks, context.partitionId() if context is not None else 0)
        try:
            for batch in batches:
                for route in self.routes:
                    task.take(route, _rows(batch, route.column, self.sinks.batch))
            task.commit()
        except BaseException:
            task.abort()
            raise
        if task.counts:
            streams, about = zip(*task.counts, strict=True)
            columns = [pa.array(streams), pa.array(about), pa.array(list(task.counts.values()))]
            yield pa.RecordBatch.from_arrays(columns, ["stream", "about", "rows"])


class _Task:
    """The writers of one task, made when the first rows for them come."""

    def __init__(self, sinks: Sinks, partition: int) -> None:
        self.sinks = sinks
        self.partition = partition
        self.writers: dict[int, Writer] = {}
        #: Rows by (stream, aggregation), or by (_REFUSED, output).
        self.counts: Counter[tuple[str, str]] = Counter()

    def take(self, route: Route, rows: pa.RecordBatch) -> None:
        """Hands the rows of a stream to the outputs that take it."""
        if not rows.num_rows:
            return
        if not route.removes:
            _count(self.counts, route.stream, rows)
        self._hand(route, rows)
        self._put_aside()

    def commit(self) -> None:
        for writer in list(self.writers.values()):
            writer.settle()
        if self._put_aside():
            for index in self.sinks.malformed.outputs:
                self.writers[index].settle()
        for index, writer in self.writers.items():
            if left := writer.refused():
                raise OutputError(f"output '{self.sinks.names[index]}': {left[0].reason}")
        for writer in self.writers.values():
            writer.commit()

    def abort(self) -> None:
        for writer in self.writers.values():
            writer.abort()

    def _hand(self, route: Route, rows: pa.RecordBatch) -> None:
        for index in route.outputs:
            if index not in self.writers:
                self.writers[index] = self.sinks.factories[index](self.partition)
            writer = self.writers[index]
            act = writer.remove if route.removes else writer.write
            act(route.description, rows)

    def _put_aside(self) -> bool:
        """Writes what servers have refused to where malformed rows go; gives whether they did."""
        refused: list[tuple[str, Refused]] = []
        for index, writer in self.writers.items():
            name = self.sinks.names[index]
            refused += [(name, each) for each in writer.refused()]
        for name, _ in refused:
            self.counts[_REFUSED, name] += 1
        if refused:
            to = self.sinks.malformed
            self._hand(to, _refused_rows(to.description, refused, self.sinks.batch))
        return bool(refused)


def _refused_rows(
    malformed: Stream, refused: Sequence[tuple[str, Refused]], batch: int
) -> pa.RecordBatch:
    """Refused rows, with their outputs, as malformed ones; they are of no single record."""
    import pyarrow as pa

    values = {
        "reason": [f"output '{name}': {each.reason}" for name, each in refused],
        "record": [each.record for _, each in refused],
        "_arrived": [datetime.now(timezone.utc)] * len(refused),
        "_batch": [batch] * len(refused),
    }
    nothing = [None] * len(refused)
    columns = [
        pa.array(values.get(column.name, nothing), ARROW[column.type])
        for column in malformed.columns
    ]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in malformed.columns])


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


def _count(counts: Counter[tuple[str, str]], stream: str, rows: pa.RecordBatch) -> None:
    """Adds the rows to the counts."""
    if stream != LATE:
        counts[stream, ""] += rows.num_rows
        return
    for each in rows.column("aggregation").value_counts().to_pylist():
        counts[stream, each["values"]] += each["counts"]
