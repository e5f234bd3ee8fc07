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


def cleaned(is_clean: Column, record: Column) -> Column:
    """The record without a byte-order mark and a carriage return; null where it is not UTF-8."""
    without = F.regexp_replace(record, _MARK_AND_RETURN, "")
    return F.when(is_clean, record).otherwise(F.when(F.is_valid_utf8(record), without))
