"""An event time becomes the end of its window, with the watermark on it.

A window's end computed by hand costs less than ``window()``, serves all window sizes in one
stateful operator, and will serve calendar days. Spark forgets the watermark of a column that is
computed, and would keep every window for ever; this metadata gives it back. It is undocumented, so
it stands here alone, and a test fails when a version of Spark takes it away.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from engine import plan

_DELAY = "spark.watermarkDelayMs"


def window_end(time: Column, window: plan.Tumbling) -> Column:
    """The end of the window of a time: a multiple of its size, also before 1970."""
    size = F.lit(window.size_ms * 1000)
    micros = F.unix_micros(time)
    return F.timestamp_micros(micros - F.pmod(micros, size) + size)


def window_start(end: Column, window: plan.Tumbling) -> Column:
    """The start of the window that ends there."""
    return F.timestamp_micros(F.unix_micros(end) - F.lit(window.size_ms * 1000))


def watermarked(end: Column, name: str, delay_ms: int) -> Column:
    """The end as the column by which Spark drops late rows and forgets old windows."""
    return end.alias(name, metadata={_DELAY: delay_ms})
