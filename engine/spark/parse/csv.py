"""A record of separated columns (RFC 4180) becomes typed fields, or a reason.

Most records have no quotes: they are split and cast. One that has goes the costly and exact way.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.parse import values
from engine.spark.parse.names import RECORD, TEXT, value
from engine.spark.parse.text import Read, without_marks
from engine.types import Type

_QUOTED, _SPLIT = "_quoted", "_split"
#: The columns of a record: as they stand, and without the quotes around them.
_RAW, _CELLS = "_raw", "_cells"
# Possessive throughout: Java's regular expressions recurse otherwise, once for every doubled quote.
_INSIDE = r'[^"]*+(?:""[^"]*+)*+'


def read(frame: DataFrame, fields: Sequence[plan.InputField], sep: str, time_zone: str) -> Read:
    """The frame with a value for each field, and what tells well-formed records from others."""
    record = _Record(fields, sep)
    text = F.col(RECORD).cast("string")
    frame = frame.withColumn(TEXT, F.when(F.is_valid_utf8(text), without_marks(text)))
    frame = frame.withColumn(_QUOTED, record.is_well_quoted())
    frame = frame.withColumn(_SPLIT, record.split_cells())
    cells = {_RAW: record.quoted_cells(), _CELLS: record.unquoted_cells()}
    frame = frame.withColumns({name: F.coalesce(_SPLIT, each) for name, each in cells.items()})
    typed = {
        value(index): values.typed(_cell(field), field, time_zone)
        for index, field in enumerate(fields)
    }
    return Read(frame.withColumns(typed), record.ok(), record.reason())


class _Record:
    """What a record of these fields looks like."""

    def __init__(self, fields: Sequence[plan.InputField], sep: str) -> None:
        self.fields = fields
        self.columns = 1 + max(field.index or 0 for field in fields)
        self.sep = sep
        self.pattern = _literal(sep)
        # Of one character, a class is all there is to match; of several, the first is no end yet.
        bare = f'[^"{self.pattern}]*+' if len(sep) == 1 else f'(?:(?!{self.pattern})[^"])*+'
        self.bare = bare
        self.cell = f'(?:"{_INSIDE}"|{bare})'

    def is_well_quoted(self) -> Column:
        """Whether a record has quotes, all where they belong, and the right number of columns; null
        where it has quotes and is not so."""
        others = f"(?:{self.pattern}{self.cell}){{{self.columns - 1}}}+"
        whole = rf"\A{self.cell}{others if self.columns > 1 else ''}\z"
        has_quotes = F.col(TEXT).contains('"')
        return F.when(has_quotes, F.nullif(F.col(TEXT).rlike(whole), F.lit(False))).otherwise(False)

    def split_cells(self) -> Column:
        """The columns of a record without quotes, one too many at most, however many there are."""
        return F.when(~F.col(_QUOTED), F.split(TEXT, self.pattern, self.columns + 1))

    def quoted_cells(self) -> Column:
        return self._found(f"{self.pattern}({self.cell})")

    def unquoted_cells(self) -> Column:
        """The columns without the quotes around them; those within are still doubled."""
        return self._found(f'{self.pattern}"?+((?<="){_INSIDE}|(?<!"){self.bare})"?+')

    def _found(self, pattern: str) -> Column:
        text = F.concat(F.lit(self.sep), F.col(TEXT))
        return F.when(F.col(_QUOTED), F.regexp_extract_all(text, F.lit(pattern), F.lit(1)))

    def ok(self) -> Column:
        ok = (F.size(_CELLS) == self.columns) & (F.col(TEXT) != "")
        for index, field in enumerate(self.fields):
            if field.type is not Type.STRING:
                ok = ok & _fits(index, field)
        return ok

    def reason(self) -> Column:
        """The first that is wrong."""
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
        for index, field in enumerate(self.fields):
            if field.type is not Type.STRING:
                cell = F.get(_CELLS, F.lit(field.index))
                wrong = ~F.coalesce(_fits(index, field), F.lit(False))
                told.append(F.when(wrong, values.no_value(field, cell)))
        return F.coalesce(*told)

    def _count(self) -> Column:
        """The number of columns, without an array of them: a record may have millions."""
        bare = F.regexp_replace(F.col(TEXT), f'"{_INSIDE}"', "")
        bare = F.when(F.col(TEXT).contains('"'), bare).otherwise(F.col(TEXT))
        less = F.octet_length(F.replace(bare, F.lit(self.sep), F.lit("")))
        length = len(self.sep.encode())
        return F.lit(1) + ((F.octet_length(bare) - less) / F.lit(length)).cast("int")


def _cell(field: plan.InputField) -> Column:
    """A column's text; null where it is empty and was not quoted."""
    cell = F.get(_CELLS, F.lit(field.index))
    if field.type is not Type.STRING:
        return F.when(cell != "", cell)
    quoted = F.replace(cell, F.lit('""'), F.lit('"'))
    return F.when(_raw(field).startswith('"'), quoted).when(cell != "", cell)


def _raw(field: plan.InputField) -> Column:
    return F.get(_RAW, F.lit(field.index))


def _fits(index: int, field: plan.InputField) -> Column:
    """Whether a column has a value of its field's type, or is empty; null counts as not."""
    found = F.col(value(index))
    has_value = values.is_finite(found) if field.type.is_fractional else found.isNotNull()
    return has_value | values.is_blank(_raw(field))


def _literal(sep: str) -> str:
    """The separator in a pattern; a single character so that Java need not compile one to split."""
    return "".join(c if c.isalnum() or c in "\t ,;:" else f"\\{c}" for c in sep)
