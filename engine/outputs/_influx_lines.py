"""Windows become lines of InfluxDB's line protocol, column by column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.outputs import Refused, Stream
from engine.outputs._influx_place import Point
from engine.outputs._values import iso, milliseconds, record

_SPECIAL = r"([,= ])"
#: What a key's value may have in it that takes more than to write it.
_NOT_PLAIN = r"\A\z|[,= \r\n\x00]|\\\z"
_ESCAPED = r"\\\1"
_QUOTED = r'(["\\])'


@dataclass(frozen=True)
class Lines:
    """Lines, each with its end.

    Args:
        rows: what they were made of, of several streams perhaps, one behind the other.
        first: the row of the first line.
    """

    lines: pa.StringArray
    rows: tuple[pa.RecordBatch, ...]
    first: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def slice(self, start: int, length: int | None = None) -> Lines:
        return Lines(self.lines.slice(start, length), self.rows, self.first + start)

    @property
    def payload(self) -> memoryview:
        """The lines as one piece of memory: they lie there one behind the other."""
        _, ends, data = self.lines.buffers()
        if data is None:
            return memoryview(b"")
        at = memoryview(ends).cast("i")
        first = self.lines.offset
        return memoryview(data)[at[first] : at[first + len(self.lines)]]

    def record(self, line: int) -> str:
        """The row of a line, as text."""
        row = self.first + line
        for part in self.rows:
            if row < part.num_rows:
                return record(part, row)
            row -= part.num_rows
        raise IndexError(line)

    @staticmethod
    def joined(parts: list[Lines]) -> Lines:
        """The parts as one; each is made of one batch of rows."""
        rows = tuple(each.rows[0].slice(each.first, len(each)) for each in parts)
        return Lines(pa.concat_arrays([each.lines for each in parts]), rows)


def lines(stream: Stream, of: pa.RecordBatch, point: Point) -> tuple[Lines, list[Refused]]:
    """The rows as lines, and those that line protocol has no way to say."""
    refused: list[Refused] = []
    fine = None
    head: list[Any] = [_escaped_name(point.measurement, ", ")]
    for key in sorted(stream.keys):
        text = tag_text(of.column(key))
        # To look once is much cheaper than all that follows, which most texts do not need.
        if pc.any(pc.match_substring_regex(text, _NOT_PLAIN)).as_py():
            for mask, told in _tag_is_wrong(text):
                refused, fine = _aside(of, mask, f"the key '{key}' {told}", refused, fine)
            text = pc.replace_substring_regex(text, _SPECIAL, _ESCAPED)
        head += [f",{_escaped_name(key)}=", text]
    for name in _fields(stream, point):
        if pa.types.is_floating(of.column(name).type):
            infinite = pc.invert(pc.is_finite(of.column(name)))
            refused, fine = _aside(of, infinite, f"'{name}' is not finite", refused, fine)
    fields = _field_set(stream, of, point)
    if len(fields) == 1:
        nothing = pc.equal(fields[0], "")
        refused, fine = _aside(of, nothing, "no measure has a value", refused, fine)
    time = milliseconds(of.column("window_start")).cast(pa.string())
    made = _joined(*head, " ", *fields, " ", time, "\n")
    if fine is None:
        return Lines(made, (of,)), refused
    return Lines(made.filter(fine), (of.filter(fine),)), refused


def tag_text(column: pa.Array) -> pa.StringArray:
    """The values of a key as tags have them, before they are escaped."""
    if pa.types.is_timestamp(column.type):
        return iso(column)
    if pa.types.is_floating(column.type):
        return pa.array([_double_text(each) for each in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def _double_text(value: float | None) -> str | None:
    """A double as the DSL's ``string`` has it.

    Example:
        >>> [_double_text(each) for each in (200.0, 1e20, 0.00025, -1.5)]
        ['200.0', '1.0E20', '2.5E-4', '-1.5']
    """
    if value is None or value == 0 or 1e-3 <= abs(value) < 1e7:
        return None if value is None else repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' * sign}{digits[0]}.{rest}E{exponent + len(digits) - 1}"


def _tag_is_wrong(text: pa.StringArray) -> list[tuple[pa.BooleanArray, str]]:
    """What a tag cannot hold: nothing escapes a line break, or a backslash before what follows the
    tag; an empty one is no tag, but another series; and InfluxQL cannot name the others."""
    return [
        (pc.equal(text, ""), "is empty: InfluxDB takes that for a series without it"),
        (pc.match_substring_regex(text, "[\r\n]"), "has a line break"),
        (pc.match_substring(text, "\0"), "has a character 0"),
        (pc.ends_with(text, "\\"), "ends with a backslash"),
    ]


def is_tag(text: str) -> bool:
    """Whether a tag can hold it: others are never written."""
    return bool(text) and not text.endswith("\\") and not {"\r", "\n", "\0"} & set(text)


def _aside(
    of: pa.RecordBatch, mask: pa.BooleanArray, reason: str, refused: list[Refused], fine: Any
) -> tuple[list[Refused], Any]:
    """Puts the rows of the mask aside that are still fine."""
    if not pc.any(mask).as_py():
        return refused, fine
    mask = pc.fill_null(mask, False)
    told = mask if fine is None else pc.and_(mask, fine)
    more = [Refused(record(of, each.as_py()), reason) for each in pc.indices_nonzero(told)]
    rest = pc.invert(mask)
    return refused + more, rest if fine is None else pc.and_(fine, rest)


def _fields(stream: Stream, point: Point) -> list[str]:
    """The columns that become fields, in their order."""
    measures = [each.name for each in stream.columns if each.role == "measure"]
    return [*(["window_end"] if point.has_window_end else []), *measures]


def _field_set(stream: Stream, of: pa.RecordBatch, point: Point) -> list[Any]:
    """The fields of each row with commas between: the pieces that follow each other, or where there
    are nulls, which are left out, the whole."""
    names = _fields(stream, point)
    told = [[f"{_escaped_name(name)}=", *_field_text(of.column(name))] for name in names]
    if not any(of.column(name).null_count for name in names):
        return [piece for each in told for piece in (",", *each)][1:]
    parts = [_joined(*each) for each in told]
    # Arrow skips the nulls of a row, and the whole row when there is nothing else in it: the rows
    # behind it would move up.
    nothing = reduce(pc.and_, map(pc.is_null, parts))
    parts[0] = pc.if_else(nothing, "", parts[0])
    return [pc.binary_join_element_wise(*parts, ",", null_handling="skip")]


def _field_text(column: pa.Array) -> list[Any]:
    """The pieces of a field's value, which follow each other."""
    if pa.types.is_timestamp(column.type):
        return [milliseconds(column).cast(pa.string()), "i"]
    if pa.types.is_integer(column.type):
        return [column.cast(pa.string()), "i"]
    if pa.types.is_string(column.type):
        return ['"', pc.replace_substring_regex(column, _QUOTED, _ESCAPED), '"']
    return [column.cast(pa.string())]


def _joined(*pieces: Any) -> pa.StringArray:
    """The pieces of each row, arrays and texts, one behind the other; null where one is."""
    return pc.binary_join_element_wise(*pieces, "")


def _escaped_name(name: str, special: str = ",= ") -> str:
    return re.sub(f"([{special}])", r"\\\1", name)
