"""A text becomes the value of a type, by the engine's rules where Spark's casts are laxer."""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from engine import plan
from engine.types import Type

_BLANKS = " \t"
_SHOWN = 80
#: Seconds of the years 1 to 9999: what a timestamp can be written as.
SECONDS = (-62_135_596_800, 253_402_300_799)

_DAY, _MINUTE = r"\d{4}-\d\d-\d\d", r"[T ]\d\d:\d\d"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d|[+-]\d\d)"
#: A time to the second: what Spark's cast takes with a zone behind it.
_COMPLETE = rf"\A{_DAY}{_MINUTE}:\d\d(?:\.\d+)?"
#: Pattern letters that read a zone, once quoted text is out of the pattern.
_ZONE_LETTERS = re.compile("[VzOXxZ]")


def typed(text: Column, field: plan.InputField, time_zone: str) -> Column:
    """The text as the field's type; null where it does not fit. NaN, infinities and what
    ``is_lax`` tells are kept.

    Args:
        time_zone: of times that name none.
    """
    match field.type:
        case Type.STRING:
            return text
        case Type.TIMESTAMP if field.format is not None:
            return _timestamp_by(field.format, text, time_zone)
        case Type.TIMESTAMP:
            return _iso_timestamp(text, time_zone)
        case _:
            return text.try_cast(str(field.type))


def is_finite(number: Column) -> Column:
    """Whether a float or double is no infinity; NaN counts as finite, for it stands for a null."""
    return F.abs(number) != F.lit(float("inf"))


def is_lax(text: Column) -> Column:
    """Whether a number is written as only Java writes it: ``1d``, ``1f``, ``0x1p3``."""
    return text.rlike("[dDfFxX]")


def without_nan(value: Column, of: Type) -> Column:
    """The value, null where it is NaN."""
    return F.nanvl(value, F.lit(None).cast(str(of))) if of.is_fractional else value


def is_blank(text: Column) -> Column:
    return F.trim(text) == ""


def epoch_timestamp(seconds: Column) -> Column:
    """The time of epoch seconds, to the microsecond; null outside the years 1 to 9999."""
    micros = F.round(seconds * F.lit(1e6)).try_cast("long")
    return F.when(seconds.between(*map(float, SECONDS)), F.timestamp_micros(micros))


def no_value(field: plan.InputField, text: Column) -> Column:
    """The reason ``'temperature' is not a double: 'abc'``."""
    article = "an" if field.type is Type.INT else "a"
    head = f"'{field.name}' is not {article} {field.type}: '"
    return F.concat(F.lit(head), shown(text), F.lit("'"))


def shown(text: Column) -> Column:
    """The text, clipped to what a message can hold."""
    clipped = F.concat(F.substring(text, 1, _SHOWN), F.lit("…"))
    return F.when(F.length(text) > _SHOWN, clipped).otherwise(text)


def _iso_timestamp(text: Column, time_zone: str) -> Column:
    # Spark's cast is laxer (a year alone, an hour of today) and narrower (no zone behind minutes).
    text = F.trim(text, F.lit(_BLANKS))
    to_minute = F.regexp_replace(text, rf"\A({_DAY})\z", "$1T00:00")
    to_second = F.regexp_replace(to_minute, rf"\A({_DAY}{_MINUTE})({_ZONE}?)\z", "$1:00$2")
    text = F.when(text.rlike(_COMPLETE), text).otherwise(to_second)
    local = F.when(text.rlike(rf"{_COMPLETE}\z"), F.concat(text, F.lit(time_zone)))
    zoned = F.when(text.rlike(rf"{_COMPLETE}{_ZONE}\z"), text)
    return F.coalesce(local, zoned).try_cast("timestamp")


def _timestamp_by(pattern: str, text: Column, time_zone: str) -> Column:
    text = F.trim(text, F.lit(_BLANKS))
    if not _ZONE_LETTERS.search(re.sub("'[^']*'", "", pattern)):
        # The zone goes into the text: the session's own then plays no part.
        text = F.concat(text, F.lit(f" {time_zone}"))
        pattern = f"{pattern} VV"
    return F.try_to_timestamp(text, F.lit(pattern))
