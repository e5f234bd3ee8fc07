"""A record's bytes become a text that can be read, or none."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_MARK_AND_RETURN = "\\A\ufeff|\r\\z"


@dataclass(frozen=True)
class Read:
    """Records that were read.

    Args:
        frame: has the values of the fields, see ``names.value``.
        ok: whether a record is well-formed; null counts as not.
        reason: why it is not, where it is UTF-8.
    """

    frame: DataFrame
    ok: Column
    reason: Column


def without_marks(record: Column) -> Column:
    """The record without a byte-order mark in front and a carriage return behind."""
    has_marks = record.endswith("\r") | record.startswith("\ufeff")
    return F.when(has_marks, F.regexp_replace(record, _MARK_AND_RETURN, "")).otherwise(record)
