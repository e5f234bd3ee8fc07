"""A record of separated columns (RFC 4180) becomes typed fields, or a reason.

Most records hold nothing unusual: they are split and cast. One look for whatever needs care
(quotes, a byte-order mark, a carriage return, invalid UTF-8, numbers that only Java takes for such)
tells them from the others, which go the costly and exact way.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.parse import values
from engine.spark.parse.names import RECORD, TEXT, kept_null, value
from engine.spark.parse.text import Read, cleaned
from engine.types import Type

_PLAIN, _QUOTED = "_plain", "_quoted"
#: The columns of a record: as they stand, and without quotes.
_RAW, _CELLS = "_raw", "_cells"
_QUOTED_RAW, _UNQUOTED, _SPLIT = "_quoted_raw", "_unquoted", "_split"
# Possessive throughout: Java's regular expressions recurse otherwise, once for every doubled quote.
_INSIDE = r'"[^"]*+(?:""[^"]*+)*+'
_QUOTED_CELL = rf'{_INSIDE}"'
_WHAT_NEEDS_CARE = '"\r\ufeff\ufffd'


def read(frame: DataFrame, fields: Sequence[plan.InputField], sep: str, time_zone: str) -> Read:
    """The frame with a value for each field, and what tells well-formed records from others."""
    record = _Record(fields, sep)
    text = F.col(RECORD).cast("string")
    frame = frame.withColumn(_PLAIN, ~text.rlike(record.unusual))
    frame = frame.withColumn(TEXT, cleaned(F.col(_PLAIN), text))
    is_quoted = ~F.col(_PLAIN) & F.col(TEXT).contains('"')
    frame = frame.withColumn(_QUOTED, F.coalesce(is_quoted, F.lit(False)))
    # A function of an array's elements is not compiled with the rest: it has a select of its own
    # before the split, so that no array of a plain record passes from the one to the other.
    frame = frame.withColumn(_QUOTED_RAW, F.when(F.col(_QUOTED), record.quoted_cells()))
    unquoted = F.when(F.col(_QUOTED), F.transform(_QUOTED_RAW, _unquoted))
    frame = frame.withColumn(_UNQUOTED, unquoted.otherwise(kept_null("array<string>")))
    frame = frame.withColumn(_SPLIT, F.when(~F.col(_QUOTED), record.split_cells()))
    frame = frame.withColumns(
        {_RAW: F.coalesce(_QUOTED_RAW, _SPLIT), _CELLS: F.coalesce(_UNQUOTED, _SPLIT)}
    )
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
        self.cell = f"(?:{_QUOTED_CELL}|{bare})"

    @property
    def unusual(self) -> str:
        """What tells the records that are not merely split and cast.

        Java reads ``1d``, ``1.f`` and ``0x1p3`` as numbers: a letter behind a digit or a point.
        """
        if not any(field.type.is_fractional for field in self.fields):
            return f"[{_WHAT_NEEDS_CARE}]"
        # One class first: an alternation at each character would cost twice the time.
        letters = values.LAX_LETTERS
        return f"[{_WHAT_NEEDS_CARE}{letters}](?<=[{_WHAT_NEEDS_CARE}]|[0-9.][{letters}])"

    @property
    def exact(self) -> str:
        """The whole of a record that has the right number of columns, well quoted, and no letters
        that only Java takes for a number's."""
        fractions = {field.index for field in self.fields if field.type.is_fractional}
        number = f'"?+[^"{self.pattern}{values.LAX_LETTERS}]*+"?+'
        if len(self.sep) > 1:
            number = f'"?+(?:(?!{self.pattern})[^"{values.LAX_LETTERS}])*+"?+'
        cells = [number if at in fractions else self.cell for at in range(self.columns)]
        return rf"\A{self.pattern.join(cells)}\z"

    def quoted_cells(self) -> Column:
        """The columns, quotes included; null where quotes or their number are wrong."""
        others = f"(?:{self.pattern}{self.cell}){{{self.columns - 1}}}+"
        is_whole = F.col(TEXT).rlike(rf"\A{self.cell}{others if self.columns > 1 else ''}\z")
        text = F.concat(F.lit(self.sep), F.col(TEXT))
        found = F.regexp_extract_all(text, F.lit(f"{self.pattern}({self.cell})"), F.lit(1))
        return F.when(is_whole, found)

    def split_cells(self) -> Column:
        """The columns of a record without quotes, one too many at most, however many there are."""
        return F.split(TEXT, self.pattern, self.columns + 1)

    def ok(self) -> Column:
        ok = (F.size(_CELLS) == self.columns) & (F.col(TEXT) != "")
        for index, field in enumerate(self.fields):
            if field.type is not Type.STRING:
                ok = ok & _fits(index, field)
        if any(field.type.is_fractional for field in self.fields):
            ok = ok & (F.col(_PLAIN) | F.col(TEXT).rlike(self.exact))
        return ok

    def reason(self) -> Column:
        text = F.col(TEXT)
        told = [F.when(text.isNull() | (text == ""), F.lit("empty record"))]
        well_quoted = rf"\A{self.cell}(?:{self.pattern}{self.cell})*+\z"
        not_closed = rf"\A(?:{self.cell}{self.pattern})*+{_INSIDE}\z"
        told.append(
            F.when(
                F.col(_QUOTED) & ~text.rlike(well_quoted),
                F.when(text.rlike(not_closed), F.lit("a quote is not closed")).otherwise(
                    F.lit("a quote within a column that is not quoted as a whole")
                ),
            )
        )
        told.append(F.when(self._found() != self.columns, self._expected()))
        for index, field in enumerate(self.fields):
            fits = _fits(index, field)
            if field.type.is_fractional:
                fits = fits & ~values.is_lax(_raw(field))
            if field.type is not Type.STRING:
                wrong = ~F.coalesce(fits, F.lit(False))
                told.append(
                    F.when(wrong, values.no_value(field, F.get(_CELLS, F.lit(field.index))))
                )
        return F.coalesce(*told)

    def _expected(self) -> Column:
        columns = "column" if self.columns == 1 else "columns"
        return F.concat(
            F.lit(f"expected {self.columns} {columns}, found "), self._found().cast("string")
        )

    def _found(self) -> Column:
        """The number of columns, without an array of them: a record may have millions."""
        bare = F.regexp_replace(F.col(TEXT), _QUOTED_CELL, "")
        bare = F.when(F.col(_QUOTED), bare).otherwise(F.col(TEXT))
        less = F.octet_length(F.replace(bare, F.lit(self.sep), F.lit("")))
        length = len(self.sep.encode())
        return F.lit(1) + ((F.octet_length(bare) - less) / F.lit(length)).cast("int")


def _cell(field: plan.InputField) -> Column:
    """A column's text; null where it is empty and was not quoted."""
    cell = F.get(_CELLS, F.lit(field.index))
    has_text = cell != ""
    return F.when(has_text | F.col(_QUOTED) if field.type is Type.STRING else has_text, cell)


def _raw(field: plan.InputField) -> Column:
    return F.get(_RAW, F.lit(field.index))


def _unquoted(raw: Column) -> Column:
    inside = F.substring(raw, F.lit(2), F.length(raw) - 2)
    return F.when(raw.startswith('"'), F.replace(inside, F.lit('""'), F.lit('"'))).otherwise(
        F.nullif(raw, F.lit(""))
    )


def _fits(index: int, field: plan.InputField) -> Column:
    """Whether a column has a value of its field's type, or is empty; null counts as not."""
    found = F.col(value(index))
    has_value = values.is_finite(found) if field.type.is_fractional else found.isNotNull()
    return has_value | values.is_blank(_raw(field))


def _literal(sep: str) -> str:
    """The separator in a pattern; a single character so that Java need not compile one to split."""
    return "".join(c if c.isalnum() or c in "\t ,;:" else f"\\{c}" for c in sep)
