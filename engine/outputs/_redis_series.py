"""Arrow rows of windows become samples of series, and what is needed to make these series."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from engine.outputs import Stream
from engine.outputs._redis_key import KeyTemplate, escape_column
from engine.plan import WINDOW_START

if TYPE_CHECKING:
    import pyarrow as pa

#: What the server does not take in a label's value, and the sign that escapes it.
_LABEL_ESCAPED = "%(),"
#: From here on not every whole number is a double.
_EXACT = 2**53


@dataclass(frozen=True)
class Rule:
    """A compaction: the buckets of a series become samples of another one."""

    aggregation: str
    bucket_ms: int
    retention_ms: int

    @property
    def suffix(self) -> str:
        """What the key of the compacted series has behind that of its source."""
        return f":{self.aggregation}:{self.bucket_ms}"


@dataclass(frozen=True)
class Series:
    """How series are named and made. It is pickled."""

    template: KeyTemplate
    retention_ms: int
    chunk_size: int
    rules: tuple[Rule, ...] = ()

    def creation(self, key: str, retention_ms: int, labels: dict[str, str]) -> list[Any]:
        """The command that makes a series. Every option is said before the labels, among which the
        server would find it else: a label may be called RETENTION."""
        options = ["RETENTION", retention_ms, "ENCODING", "COMPRESSED"]
        options += ["CHUNK_SIZE", self.chunk_size, "DUPLICATE_POLICY", "LAST"]
        return [
            "TS.CREATE",
            key,
            *options,
            "IGNORE",
            0,
            0,
            "LABELS",
            *(word for pair in labels.items() for word in pair),
        ]

    def creations(self, key: str, labels: dict[str, str]) -> list[list[Any]]:
        """The commands that make a series and those that it is compacted to."""
        found = [self.creation(key, self.retention_ms, labels)]
        for rule in self.rules:
            about = {"aggregation": rule.aggregation, "bucket_ms": str(rule.bucket_ms)}
            to, how = key + rule.suffix, ["AGGREGATION", rule.aggregation, rule.bucket_ms]
            found.append(self.creation(to, rule.retention_ms, {**labels, **about}))
            found.append(["TS.CREATERULE", key, to, *how])
        return found


@dataclass(frozen=True)
class Samples:
    """Samples of some series: columns of one length.

    Args:
        keys: of their series.
        times: in milliseconds.
        values: doubles.
        places: the row and the measure of each, as ``measure * rows + row``.
    """

    rows: Rows
    keys: pa.Array
    times: pa.Array
    values: pa.Array
    places: pa.Array

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def columns(self) -> tuple[pa.Array, pa.Array, pa.Array]:
        """What a command says of a sample: key, time and value."""
        return self.keys, self.times, self.values

    def _each(self, change: Callable[[pa.Array], pa.Array]) -> Samples:
        columns = map(change, (*self.columns, self.places))
        return Samples(self.rows, *columns)

    def only(self, indexes: Sequence[int]) -> Samples:
        import pyarrow as pa

        at = pa.array(indexes, pa.int64())
        return self._each(lambda column: column.take(at))

    def where(self, mask: pa.Array) -> Samples:
        return self._each(lambda column: column.filter(mask))

    def pieces(self, size: int) -> Iterator[Samples]:
        for first in range(0, len(self), size):
            yield self._each(methodcaller("slice", first, size))

    def command(self) -> bytes:
        """TS.MADD of all of them as it goes over the wire: made of whole columns, at an eighth of
        what a client spends on each word."""
        import pyarrow as pa
        import pyarrow.compute as pc

        # Windows share their starts, and each column that is joined costs.
        times = self.times.dictionary_encode()
        between = _joined("\r\n", *_word(times.dictionary), "\r\n").take(times.indices)
        values = self.values.cast(pa.string())
        words = _joined(*_word(self.keys), between, *_word(values), "\r\n")
        size = pc.sum(pc.binary_length(words)).as_py()
        head = b"*%d\r\n$7\r\nTS.MADD\r\n" % (1 + 3 * len(self))
        return head + memoryview(words.buffers()[2])[:size]

    def _place(self, index: int) -> tuple[int, str]:
        number, row = divmod(self.places[index].as_py(), self.rows.rows.num_rows)
        return row, self.rows.stream.measures[number]

    def labels(self, index: int) -> dict[str, str]:
        """The labels of a sample's series; a key that is the empty text has none, as a label is
        never empty."""
        row, measure = self._place(index)
        found = {"stream": self.rows.label(self.rows.stream.name)}
        found["measure"] = self.rows.label(measure)
        found |= {name: values[row] for name, values in self.rows.key_labels.items()}
        return {name: value for name, value in found.items() if value}

    def record(self, index: int) -> str:
        """A sample as a person would look for it."""
        return self.rows.record(*self._place(index))


class Rows:
    """Rows of a stream as the store has them.

    Args:
        rows: with ``window_start`` and the keys; measures where samples are asked for.
    """

    def __init__(self, template: KeyTemplate, stream: Stream, rows: pa.RecordBatch) -> None:
        self.template, self.stream, self.rows = template, stream, rows
        self._texts = {name: texts(rows.column(name)) for name in stream.keys}
        self._escaped = {
            name: template.escape_column(values) for name, values in self._texts.items()
        }

    def keys(self, measure: str) -> pa.Array:
        """The series of a measure, a row each."""
        return self.template.keys(self.stream, measure, self._escaped, self.rows.num_rows)

    @cached_property
    def starts(self) -> pa.Array:
        """The windows' starts in milliseconds."""
        from engine.outputs._values import milliseconds

        return milliseconds(self.rows.column(WINDOW_START))

    def samples(self, measure: str) -> Samples:
        """The samples of a measure, a row each; where there is no value, those of nulls."""
        import pyarrow as pa
        import pyarrow.compute as pc

        count, number = self.rows.num_rows, self.stream.measures.index(measure)
        ones = pa.repeat(pa.scalar(1, pa.int64()), count)
        places = pc.cumulative_sum(ones, start=number * count - 1)
        if measure in self.rows.schema.names:
            values = self.rows.column(measure).cast(pa.float64(), safe=False)
        else:
            values = pa.nulls(count, pa.float64())
        return Samples(self, self.keys(measure), self.starts, values, places)

    def misfits(self, measure: str) -> dict[str, pa.Array]:
        """Why values, told by masks, cannot be samples."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = self.rows.column(measure)
        found = {"a series has no times before 1970": pc.less(self.starts, 0)}
        if pa.types.is_floating(values.type):
            found["a sample is a finite number"] = pc.invert(pc.is_finite(values))
        if pa.types.is_int64(values.type) and _reaches(values, _EXACT):
            back = values.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)
            # The largest double of them is one more than the largest long.
            is_other = pc.or_(pc.not_equal(back, values), pc.greater(values, 2**63 - 1024))
            found["a sample is a double, which does not hold all digits"] = is_other
        masks = {
            reason: pc.and_(pc.fill_null(mask, False), values.is_valid())
            for reason, mask in found.items()
        }
        return {reason: mask for reason, mask in masks.items() if pc.any(mask).as_py()}

    @cached_property
    def key_labels(self) -> dict[str, list[str]]:
        return {
            name: escape_column(values, _LABEL_ESCAPED).to_pylist()
            for name, values in self._texts.items()
        }

    def label(self, value: str) -> str:
        import pyarrow as pa

        found: str = escape_column(pa.array([value]), _LABEL_ESCAPED)[0].as_py()
        return found

    def record(self, row: int, measure: str) -> str:
        """One measure of a window, as a person would look for it."""
        from engine.outputs._values import texts as written

        known = self.rows.schema.names
        names = [WINDOW_START, *self.stream.keys, *([measure] if measure in known else [])]
        one = self.rows.slice(row, 1)
        told = {name: written(one.column(name))[0] for name in names}
        return json.dumps({"stream": self.stream.name, **told}, ensure_ascii=False)


def texts(column: pa.Array) -> pa.Array:
    """Values of a key as text: numbers in their shortest form, times in ISO 8601."""
    import pyarrow as pa

    from engine.outputs._values import texts as written

    if pa.types.is_string(column.type):
        return column
    if pa.types.is_floating(column.type):
        # Python's shortest form has the point that tells a double from a long.
        return pa.array([str(each) for each in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(column.type):
        return pa.array(written(column), pa.string())
    return column.cast(pa.string())


def _reaches(values: pa.Array, limit: int) -> bool:
    import pyarrow.compute as pc

    extremes = pc.min_max(values).as_py()
    return extremes["min"] is not None and (extremes["max"] > limit or extremes["min"] < -limit)


def joined(samples: Sequence[Samples]) -> Samples:
    """Samples of the same rows, one after the other."""
    import pyarrow as pa

    def together(name: str) -> pa.Array:
        return pa.concat_arrays([getattr(each, name) for each in samples])

    columns = map(together, ("keys", "times", "values", "places"))
    return Samples(samples[0].rows, *columns)


def _word(values: pa.Array) -> list[Any]:
    """Columns of words as the wire has them, but for their ends."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    return ["$", pc.binary_length(texts).cast(pa.string()), "\r\n", texts]


def _joined(*columns: Any) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*columns, "")
