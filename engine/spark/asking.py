"""What tasks ask about windows that are to be judged: an output for their past, users' classes for
their verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.analysis import Lookback
from engine.analysis._own import HistoricalData, Own, said
from engine.outputs import Stream
from engine.plan import WINDOW_START

if TYPE_CHECKING:
    import pyarrow as pa

#: Of a window: whether it is to be judged now; what it is compared with, starts, then windows; what
#: users' classes say of it.
DUE, ASKED, PAST, SAID = "_due", "_asked", "_past", "_said"
#: How many windows of the past one read asks for, if the rows that arrive together are not more.
_AT_ONCE = 150_000


@dataclass(frozen=True)
class AskedPast:
    """What runs in each task: asks an output about the past, for all rows of an Arrow batch at
    once."""

    reader: Callable[[], Any]
    stream: Stream
    lookbacks: int
    accuracy_ms: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with closing(self.reader()) as reader:
            for batch in _gathered(batches, _AT_ONCE // self.lookbacks):
                yield self._with_past(batch, reader)

    def _with_past(self, batch: pa.RecordBatch, reader: Any) -> pa.RecordBatch:
        import pyarrow as pa
        import pyarrow.compute as pc

        asked = batch.column(ASKED)
        rows = pc.list_parent_indices(asked)
        keys = [batch.column(name).take(rows) for name in self.stream.keys]
        starts = asked.flatten()
        wanted = pa.RecordBatch.from_arrays([*keys, starts], [*self.stream.keys, WINDOW_START])
        found = reader.find(self.stream, wanted, self.accuracy_ms)
        columns = [found.column(each.name) for each in self.stream.answer]
        values = pa.StructArray.from_arrays(columns, [each.name for each in self.stream.answer])
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(asked), 0))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())])
        past = pa.ListArray.from_arrays(offsets, values)
        return batch.append_column(pa.field(PAST, past.type), past)


def _gathered(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same in larger batches: InfluxDB reads all series of a time, whichever are asked for.

    Args:
        rows: about so many of a batch ask for their past; all of its rows are four times as many
            at most.
    """
    import pyarrow as pa

    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        asking = sum(each.num_rows - each.column(ASKED).null_count for each in some)
        if asking >= rows or sum(each.num_rows for each in some) >= 4 * rows:
            yield pa.concat_batches(some)
            some = []
    if some:
        yield pa.concat_batches(some)


@dataclass(frozen=True)
class AskedRules:
    """What runs in each task: asks users' classes about each window that is to be judged."""

    stream: Stream
    rules: tuple[Own, ...]
    lookbacks: tuple[Lookback, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        made = [each.made() for each in self.rules]
        for batch in batches:
            values = [self._said(row, made) for row in batch.to_pylist()]
            yield batch.append_column(SAID, pa.array(values, pa.list_(pa.string())))

    def _said(self, row: Mapping[str, Any], made: Sequence[Any]) -> list[str | None] | None:
        if not row[DUE]:
            return None
        keys = tuple(row[name] for name in self.stream.keys)
        now = {each.name: row[each.name] for each in self.stream.answer}
        found = []
        for rule, instance in zip(self.rules, made, strict=True):
            past = [row[PAST][self.lookbacks.index(each)] for each in rule.lookbacks()]
            there = [each if each and each[WINDOW_START] is not None else {} for each in past]
            key = keys[0] if len(keys) == 1 else keys
            found.append(said(instance, HistoricalData(key, [now, *there])))
        return found
