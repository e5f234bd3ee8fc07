"""A record of separated columns (RFC 4180) becomes typed fields, or a reason.

Most records have no quotes: they are split and cast. One that has goes the costly and exact way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.logical import whole_part
from engine.spark.parse import values
from engine.spark.parse.names import RECORD, TEXT, value
from engine.spark.parse.text import Read, without_marks
from engine.types import Type

#: The columns of a record, as ``_Record.cells`` gives them; whether it is well-formed.
_CELLS, _WELL = "_cells", "_well"
# Possessive throughout: Java's regular expressions recurse otherwise, once for every doubled quote.
_INSIDE = r'[^"]*+(?:""[^"]*+)*+'


def read(frame: DataFrame, fields: Sequence[plan.InputField], sep: str, time_zone: str) -> Read:
    """The frame with a value for each field, and what tells well-formed records from others."""
    record = _Record(fields, sep)
    text = F.col(RECORD).cast("string")
    frame = frame.withColumn(TEXT, F.when(F.is_valid_utf8(text), without_marks(text)))
    frame = frame.withColumn(_CELLS, record.cells())
    typed = [_value(field, time_zone) for field in fields]
    fits = {
        field: _fits(field, found)
        for field, found in zip(fields, typed, strict=True)
        if field.type is not Type.STRING
    }
    # Values and what is said of them in one select: Spark computes once what is named in both, and
    # each further select would copy the columns of every record.
    columns = {value(index): found for index, found in enumerate(typed)}
    frame = frame.withColumns({**columns, _WELL: record.is_well_formed(fits.values())})
    return Read(frame, F.col(_WELL), record.reason(fits))


def glance(
    frame: DataFrame, fields: Sequence[plan.InputField], sep: str, time_zone: str
) -> DataFrame:
    """The frame with a value for each field, right where a well-formed record has no quotes."""
    frame = frame.withColumn(TEXT, without_marks(F.col(RECORD).cast("string")))
    frame = frame.withColumn(_CELLS, _Record(fields, sep).split())
    return frame.withColumns(
        {value(index): _value(field, time_zone) for index, field in enumerate(fields)}
    )


class _Record:
    """What a record of these fields looks like."""

    def __init__(self, fields: Sequence[plan.InputField], sep: str) -> None:
        self.columns = 1 + max(field.index or 0 for field in fields)
        self.sep = sep
        self.pattern = _literal(sep)
        # Of one character, a class is all there is to match; of several, the first is no end yet.
        bare = f'[^"{self.pattern}]*+' if len(sep) == 1 else f'(?:(?!{self.pattern})[^"])*+'
        self.bare = bare
        self.cell = f'(?:"{_INSIDE}"|{bare})'

    def cells(self) -> Column:
        """The columns, one too many at most; null where the quotes are not where they belong.

        Without the quotes around them, those within still doubled. A quoted column of nothing but
        blanks keeps its closing quote, for it is not an empty one: see ``_is_marked``.
        """
        text = F.col(TEXT)
        others = f"(?:{self.pattern}{self.cell}){{{self.columns - 1}}}+"
        whole = rf"\A{self.cell}{others if self.columns > 1 else ''}\z"
        inside = f'(?<=")(?: *+"(?!")|{_INSIDE})'
        column = f'{self.pattern}"?+({inside}|(?<!"){self.bare})"?+'
        found = F.regexp_extract_all(F.concat(F.lit(self.sep), text), F.lit(column), F.lit(1))
        quoted = F.when(text.rlike(whole), found)
        return F.when(text.contains('"'), quoted).otherwise(self.split())

    def split(self) -> Column:
        """The columns of a record without quotes, one too many at most."""
        return F.split(TEXT, self.pattern, self.columns + 1)

    def is_well_formed(self, fits: Iterable[Column]) -> Column:
        """Whether there are as many columns as there should be, and all fit; null counts as not."""
        return reduce(and_, fits, (F.size(_CELLS) == self.columns) & (F.col(TEXT) != ""))

    def reason(self, fits: Mapping[plan.InputField, Column]) -> Column:
        """The first that is wrong.

        Args:
            fits: whether the column of a field fits.
        """
        text = F.col(TEXT)
        well_quoted = rf"\A{self.cell}(?:{self.pattern}{self.cell})*+\z"
        not_closed = rf'\A(?:{self.cell}{self.pattern})*+"{_INSIDE}\z'
        badly_quoted = text.contains('"') & ~text.rlike(well_quoted)
        columns = "column" if self.columns == 1 else "columns"
        expected = F.lit(f"expected {self.columns} {columns}, found ")
        told = [
            F.when(text.isNull() | (text == ""), F.lit("empty record")),
            F.when(badly_quoted & text.rlike(not_closed), F.lit("a quote is not closed")),
            F.when(badly_quoted, F.lit("a quote within a column that is not quoted as a whole")),
            F.when(self._count() != self.columns, F.concat(expected, self._count().cast("string"))),
        ]
        for field, well in fits.items():
            cell = _cell(field)
            shown = F.when(_is_marked(cell), _unmarked(cell)).otherwise(cell)
            wrong = ~F.coalesce(well, F.lit(False))
            told.append(F.when(wrong, values.no_value(field, shown)))
        return F.coalesce(*told)

    def _count(self) -> Column:
        """The number of columns, without an array of them: a record may have millions."""
        bare = F.regexp_replace(F.col(TEXT), f'"{_INSIDE}"', "")
        bare = F.when(F.col(TEXT).contains('"'), bare).otherwise(F.col(TEXT))
        less = F.octet_length(F.replace(bare, F.lit(self.sep), F.lit("")))
        length = len(self.sep.encode())
        return F.lit(1) + ((F.octet_length(bare) - less) / F.lit(length)).cast("int")


def _cell(field: plan.InputField) -> Column:
    return F.get(_CELLS, F.lit(field.index))


def _value(field: plan.InputField, time_zone: str) -> Column:
    """The value of a column; null where it is empty, or not of its field's type."""
    cell = _cell(field)
    if field.type is Type.STRING:
        marked = F.when(_is_marked(cell), _unmarked(cell))
        return marked.when(cell != "", F.replace(cell, F.lit('""'), F.lit('"')))
    # An empty text is no number, and Java says so by an exception: slowly. As a place that is not
    # there, for Spark would move the cast into a condition, away from its other uses.
    place = F.when(cell != "", F.lit(field.index)).otherwise(-1)
    found = values.typed(F.get(_CELLS, place), field, time_zone)
    if field.type.is_fractional:
        is_whole = _is_plain(cell) & ~cell.contains(".")
        found = F.when(is_whole, whole_part(cell).cast(str(field.type))).otherwise(found)
    return found


def _fits(field: plan.InputField, found: Column) -> Column:
    """Whether a column has a value of its field's type, or is empty; null counts as not."""
    cell = _cell(field)
    has_value = found.isNotNull()
    if field.type.is_fractional:
        has_value = _is_plain(cell) | (values.is_finite(found) & ~values.is_lax(cell))
    return has_value | values.is_blank(cell)


def _is_plain(cell: Column) -> Column:
    """Whether a column is a number of digits and a point, and so finite; null counts as not.

    Told without reading the number. Not of one whose digits before the point are zeros: a point
    alone looks like them.
    """
    return whole_part(cell) != 0


def _is_marked(cell: Column) -> Column:
    """Whether a column is a quoted one of nothing but blanks: no other ends with a single quote."""
    return cell.endswith('"') & ~cell.endswith('""')


def _unmarked(cell: Column) -> Column:
    return F.rtrim(cell, F.lit('"'))


def _literal(sep: str) -> str:
    """The separator in a pattern; a single character so that Java need not compile one to split."""
    return "".join(c if c.isalnum() or c in "\t ,;:" else f"\\{c}" for c in sep)
