"""An event time becomes the ends of its windows, with the watermark on them.

A window's end computed by hand costs less than ``window()``, and serves windows of all sizes and
kinds in one stateful operator. Spark forgets the watermark of a column that is computed, and would
keep every window for ever; this metadata gives it back. It is undocumented, so it stands here
alone, and a test fails when a version of Spark takes it away.

What comes behind the grouping needs no more of a window than its start and its end, which
``bounds`` has for every kind.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.again import Number

_DELAY = "spark.watermarkDelayMs"
#: Spark's first watermark is 1970, which would make every earlier row late. So the times that it
#: sees are moved by what lies between the year 1 and 1970: none that can be written is before it.
_MOVED_MICROS = 62_135_596_800_000_000
_DAY_MICROS = 86_400_000_000
#: 1969-12-29, a Monday, as days since 1970.
_MONDAY = -3


def moved(time: Column) -> Column:
    """A time as the watermark sees it."""
    return F.timestamp_micros(F.unix_micros(time) + F.lit(_MOVED_MICROS))


def window_end(time: Column, window: plan.Window) -> Column:
    """The end of the window of a time, moved; where windows overlap, that of the last one; of a
    session, that of the time alone."""
    if isinstance(window, plan.Calendar):
        start = _first_day(_day(time, window.time_zone), window)
        return moved(_midnight(_days_later(start, window), window.time_zone))
    size, slide = _micros(window)
    micros = F.unix_micros(time)
    return F.timestamp_micros(micros - F.pmod(micros, F.lit(slide)) + F.lit(size + _MOVED_MICROS))


def each_window_end(time: Column, window: plan.Window) -> list[Column]:
    """The ends of the windows of a time, moved, the last one first; null in the last place where a
    time is in one window less than others."""
    last = window_end(time, window)
    if not isinstance(window, plan.Hopping):
        return [last]
    slide, fewest = _micros(window)[1], window.fewest
    earlier = [
        F.timestamp_micros(F.unix_micros(last) - F.lit(place * slide))
        for place in range(fewest + 1)
    ]
    one_more = [] if window.is_even else [F.when(is_in_one_more(time, window), earlier[fewest])]
    return [*earlier[:fewest], *one_more]


def window_ends(time: Column, window: plan.Window) -> Column:
    """As ``each_window_end``, in one column: an array of microseconds; null for null."""
    last = F.unix_micros(window_end(time, window))
    if not isinstance(window, plan.Hopping):
        return F.when(last.isNotNull(), F.array(last))
    first = F.unix_micros(first_window_end(time, window))
    return F.sequence(first, last, F.lit(_micros(window)[1]))


def first_window_end(time: Column, window: plan.Window) -> Column:
    """As ``window_end``, that of the first of the windows of a time."""
    if not isinstance(window, plan.Hopping):
        return window_end(time, window)
    size, slide = _micros(window)
    micros = F.unix_micros(time)
    # The first number behind the time that is a multiple of the slide beyond the size.
    first = micros + 1 + F.pmod(F.lit(size - 1) - micros, F.lit(slide))
    return F.timestamp_micros(first + F.lit(_MOVED_MICROS))


def is_in_one_more(time: Column, window: plan.Hopping) -> Column:
    """Whether a time is in one window more than the fewest; some are where the slide does not
    divide the size."""
    size, slide = _micros(window)
    return F.pmod(F.unix_micros(time), F.lit(slide)) < size % slide


def bounds(end: Column, window: plan.Window) -> tuple[Column, Column]:
    """Start and end, as users see them, of the window with this moved end."""
    micros = F.unix_micros(end) - F.lit(_MOVED_MICROS)
    if isinstance(window, plan.Calendar):
        # By the last moment in it: some days of some islands never were, and begin as they end.
        last = _date(F.timestamp_micros(micros - 1), window.time_zone)
        start = _midnight(_first_day(last, window), window.time_zone)
    else:
        start = F.timestamp_micros(micros - F.lit(_micros(window)[0]))
    return start.alias(plan.WINDOW_START), F.timestamp_micros(micros).alias(plan.WINDOW_END)


def is_refused(end: Column, watermark: Number) -> Column:
    """Whether a window with this moved end had ended for good at a watermark, in microseconds."""
    return F.unix_micros(end) <= watermark.beside(end)


def final_us(watermark_ms: int) -> int:
    """Until when windows have ended for good at a watermark, in microseconds as users see them."""
    return watermark_ms * 1000 - _MOVED_MICROS


def is_before(time: Column, watermark: Number, beside: Column) -> Column:
    """Whether a time is before a watermark: one of a refused window is, and few others are.

    Args:
        beside: any time; the cheaper, the better.
    """
    return F.unix_micros(moved(time)) < watermark.beside(beside)


def windows_before(start: Column, window: plan.Window, count: int) -> Column:
    """The start of the window that is so many before the one with this start; both as users see
    them."""
    if isinstance(window, plan.Calendar):
        first = _first_day(_date(start, window.time_zone), window)
        return _midnight(_days_later(first, window, -count), window.time_zone)
    assert not isinstance(window, plan.Session)
    return F.timestamp_micros(F.unix_micros(start) - F.lit(count * window.size_ms * 1000))


def days_before(time: Column, days: int, zone: str) -> Column:
    """The same time of the day, by the clocks of a zone, so many days before."""
    there = F.from_utc_timestamp(time, zone)
    earlier = F.timestamp_micros(F.unix_micros(there) - F.lit(days * _DAY_MICROS))
    return F.to_utc_timestamp(earlier, zone)


def watermarked(frame: DataFrame, name: str, delay_ms: int) -> DataFrame:
    """The frame with this column as the one by which Spark drops late rows and forgets what is so
    much older than the watermark."""
    end = F.col(name).alias(name, metadata={_DELAY: delay_ms})
    return frame.select(*[end if each == name else F.col(each) for each in frame.columns])


def _micros(window: plan.Tumbling | plan.Hopping | plan.Session) -> tuple[int, int]:
    """How long a window is, and how far the next one is.

    Of sessions, those of a single row: as long as the gap, and one may begin at any moment.
    """
    if isinstance(window, plan.Session):
        return window.gap_ms * 1000, 1
    slide_ms = window.slide_ms if isinstance(window, plan.Hopping) else window.size_ms
    return window.size_ms * 1000, slide_ms * 1000


def _day(time: Column, zone: str) -> Column:
    """The day of a time in a zone, since 1970-01-01.

    Where clocks are put back from 00:01 to 23:01, a day has begun and its date comes again: a day
    begins at the first of its midnights.
    """
    day = _date(time, zone)
    has_ended = time >= _midnight(day + 1, zone)
    return day + has_ended.cast("int")


def _date(time: Column, zone: str) -> Column:
    """What calendars in a zone show, as days since 1970-01-01."""
    return F.unix_date(F.to_date(F.from_utc_timestamp(time, zone)))


def _midnight(day: Column, zone: str) -> Column:
    """When a day of a zone begins: where clocks skip its midnight, when they are put forward.

    They once skipped more around it, in Toronto in 1919: from 23:30 to 00:30. That day begins at
    01:00, when it would have.
    """
    return F.to_utc_timestamp(F.timestamp_micros(day * F.lit(_DAY_MICROS)), zone)


def _first_day(day: Column, window: plan.Calendar) -> Column:
    """The first day of the window that a day is in."""
    if window.unit == "month":
        date = F.date_from_unix_date(day)
        month = F.year(date) * 12 + F.month(date) - (1970 * 12 + 1)
        first = F.trunc(date, "month")
        if window.count > 1:
            first = F.add_months(first, -F.pmod(month, F.lit(window.count)))
        return F.unix_date(first)
    count = window.count * (7 if window.unit == "week" else 1)
    if count == 1:
        return day
    origin = _MONDAY if window.unit == "week" else 0
    return day - F.pmod(day - F.lit(origin), F.lit(count))


def _days_later(day: Column, window: plan.Calendar, windows: int = 1) -> Column:
    """The first day of the window that is so many behind the one that begins with this day."""
    count = window.count * windows
    if window.unit == "month":
        return F.unix_date(F.add_months(F.date_from_unix_date(day), count))
    return day + F.lit(count * (7 if window.unit == "week" else 1))
