"""Values of the past become one number; those that are missing do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column


def known(values: Sequence[Column]) -> Column:
    """An array of the values that are there."""
    from pyspark.sql import functions as F

    return F.array_compact(F.array(*values))


def mean(values: Sequence[Column]) -> Column:
    """The mean; null of none."""
    from pyspark.sql import functions as F

    there = known(values)
    total = F.aggregate(there, F.lit(0.0), lambda sum_, each: sum_ + each)
    return F.when(F.size(there) > 0, total / F.size(there))


def median(values: Column) -> Column:
    """The median of an array without nulls, the mean of the two in the middle; null of none."""
    from pyspark.sql import functions as F

    ordered, count = F.array_sort(values), F.size(values)
    low, high = (
        F.get(ordered, F.floor((count - 1) / 2).cast("int")),
        F.get(ordered, F.floor(count / 2).cast("int")),
    )
    return (low + high) / 2
