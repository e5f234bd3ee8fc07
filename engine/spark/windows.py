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
#: Spark's first watermark is 1970, which would make every earlier row late. So the times that it
#: sees are moved by what lies between the year 1 and 1970: none that can be written is before it.
_MOVED_MICROS = 62_135_596_800_000_000


def moved(time: Column) -> Column:
    """A time as the watermark sees it."""
    return F.timestamp_micros(F.unix_micros(time) + F.lit(_MOVED_MICROS))


def window_end(time: Column, window: plan.Tumbling) -> Column:
    """The end of the window of a time, moved; without the move it is a multiple of the size."""
    size = F.lit(window.size_ms * 1000)
    micros = F.unix_micros(time)
    return F.timestamp_micros(micros - F.pmod(micros, size) + size + F.lit(_MOVED_MICROS))


def bounds(end: Column, window: plan.Tumbling) -> tuple[Column, Column]:
    """Start and end, as users see them, of the window with this moved end."""
    micros = F.unix_micros(end) - F.lit(_MOVED_MICROS)
    start = F.timestamp_micros(micros - F.lit(window.size_ms * 1000))
    return start.alias(plan.WINDOW_START), F.timestamp_micros(micros).alias(plan.WINDOW_END)


def is_refused(end: Column, watermark_ms: int) -> Column:
    """Whether a window with this moved end had ended for good at a watermark."""
    return F.unix_micros(end) <= F.lit(watermark_ms * 1000)


def watermarked(end: Column, name: str, delay_ms: int) -> Column:
    """The end as the column by which Spark drops late rows and forgets old windows."""
    return end.alias(name, metadata={_DELAY: delay_ms})
