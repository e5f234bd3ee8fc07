"""The windows of an aggregation become verdicts: what each check of its rules says of each window.

A window is judged when it is complete: when the event time has passed its end. It is judged again
when a late row has changed it, or what it was compared with. So windows are kept from batch to
batch, with their verdicts, until the watermark has passed them too, and nothing can change them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from engine import plan
from engine.alerts import LEVELS
from engine.analysis import Check, Judged, Lookback
from engine.analysis._alarm import Alarm, Silence
from engine.analysis._own import Own
from engine.analysis._steps import Steps
from engine.analysis.deadman import Deadman
from engine.config.durations import milliseconds
from engine.outputs import Stream
from engine.plan import WINDOW_END, WINDOW_START
from engine.spark.again import Frames, Number
from engine.spark.aggregate import truth
from engine.spark.arrow import map_in_arrow
from engine.spark.asking import ASKED, DUE, PAST, SAID, AskedPast, AskedRules
from engine.spark.expression import field_column
from engine.spark.stages import compile_expression
from engine.spark.windows import days_before, windows_before

#: What a row is: a window; one that is missing, of which that was told; a key behind its last final
#: window, the start of which is the row's ``window_end`` where somebody asks; an alert; or a user's
#: class that has raised.
KIND, WINDOW, MISSING, STATE = "_kind", "window", "missing", "state"
ALERT, FAILED = "alert", "failed"
#: Of a window: a verdict for each check, null before it is judged; what was told about it, as JSON.
#: Of states and alerts: themselves, as JSON.
VERDICTS, TEXT = "_verdicts", "_text"
#: Whether the batch has changed a window.
_CHANGED = "_changed"
#: Behind the end of any window.
_END_OF_TIME_US = 2**62

_VERDICT = StructType(
    [
        StructField("met", LongType()),
        StructField("leaves", LongType()),
        *(StructField(name, DoubleType()) for name in ("value", "lower", "upper")),
        StructField("text", StringType()),
    ]
)


class Judging:
    """The rules of one aggregation, as Spark runs them."""

    def __init__(self, query: plan.Query, aggregation: plan.Aggregation) -> None:
        assert query.analysis is not None
        self.query = query
        self.aggregation = aggregation
        self.analysis = query.analysis
        self.rules = [each for each in self.analysis.rules if each.aggregation == aggregation.name]
        self.stream = Stream(aggregation.name, plan.stream_columns(query, aggregation.name))
        self.lookbacks = list(
            dict.fromkeys(each for rule in self.rules for each in rule.target.lookbacks())
        )
        self._progress = Number()
        self._frames = Frames()

    @property
    def own(self) -> tuple[Own, ...]:
        """The users' classes among the rules."""
        return tuple(rule.target for rule in self.rules if isinstance(rule.target, Own))

    @property
    def keys(self) -> list[str]:
        return list(self.stream.keys)

    @property
    def columns(self) -> list[str]:
        """Of the rows that are kept: those of the stream, and ours."""
        return [KIND, *[each.name for each in self.stream.columns], VERDICTS, TEXT]

    def schema(self, rows: StructType) -> StructType:
        """Of the rows that are kept, from one with the columns of the stream; states and alerts
        have no measures."""
        return StructType(
            [
                StructField(KIND, StringType()),
                *[StructField(each.name, rows[each.name].dataType) for each in self.stream.columns],
                StructField(VERDICTS, ArrayType(_VERDICT)),
                StructField(TEXT, StringType()),
            ]
        )

    def windows(self, written: DataFrame, column: str) -> DataFrame:
        """The windows of the aggregation.

        Args:
            column: that has them, a struct; null in rows of others.
        """

        def windows(written: DataFrame) -> DataFrame:
            those = written.select(F.col(column).alias("_window"))
            return those.filter(F.col("_window").isNotNull()).select("_window.*")

        return self._frames.of("windows", windows, written)

    def judged(
        self,
        changed: DataFrame,
        kept: DataFrame | None,
        progress_us: int | None,
        reader: Callable[[], Any] | None,
    ) -> DataFrame:
        """``columns`` of the windows and states, those of a key together and by their start.

        Args:
            changed: the windows that the batch has written.
            kept: what ``alarmed`` has kept of the batch before, or ``expected``.
            progress_us: the latest event time, in microseconds; None: all windows are complete.
            reader: of the output that answers; None where nothing is asked.
        """
        self._progress.tell(_END_OF_TIME_US if progress_us is None else progress_us)
        if kept is not None:
            known = kept.filter(~F.col(KIND).isin(ALERT, FAILED))
            kept = known.withColumn(_CHANGED, F.lit(False))
        return self._frames.of(("judged", reader), partial(self._judged, reader), changed, kept)

    def _judged(
        self, reader: Callable[[], Any] | None, changed: DataFrame, kept: DataFrame | None
    ) -> DataFrame:
        rows = self._joined(changed, kept)
        end = F.col(WINDOW_END)
        passed = F.unix_micros(end) <= self._progress.beside(end)
        is_new = F.exists(VERDICTS, lambda verdict: verdict.isNull()) & passed
        due = F.col(_CHANGED) | F.coalesce(is_new, F.lit(True))
        if self.lookbacks:
            rows = rows.withColumn(ASKED, self._asked())
            due = due | self._was_compared_with_changed()
        if not any(rule.target.early for rule in self.rules):
            due = due & passed
        rows = rows.withColumn(DUE, (F.col(KIND) == WINDOW) & due)
        if self.lookbacks:
            assert reader is not None
            rows = self._with_past(rows, reader)
        if self.own:
            schema = StructType([*rows.schema.fields, StructField(SAID, ArrayType(StringType()))])
            rows = map_in_arrow(
                rows, AskedRules(self.stream, self.own, tuple(self.lookbacks)), schema
            )
        verdicts = F.when(F.col(DUE), self._verdicts(passed)).otherwise(F.col(VERDICTS))
        rows = rows.withColumn(VERDICTS, verdicts)
        return rows.select(*map(field_column, self.columns))

    @property
    def checks(self) -> list[str]:
        """What tells each check from any other, in the order of the verdicts: the same for a rule
        that is as it was."""
        found: list[str] = []
        for rule in self.rules:
            told = hashlib.sha256(f"{rule.name}\0{rule.module}\0{rule.target}".encode()).hexdigest()
            those = [check for of, check in self._checks if of is rule]
            found += [f"{told[:16]} {place}" for place in range(len(those))]
        return found

    def alarms(self) -> list[Alarm]:
        """What is known of each check, in the order of the verdicts."""
        places: dict[str, list[int]] = {}
        for place, (rule, _) in enumerate(self._checks):
            places.setdefault(rule.name, []).append(place)
        return [_alarm(self.aggregation, rule, check, places) for rule, check in self._checks]

    def start(self, time_us: int) -> int:
        """The start of the last window that a time is in."""
        assert not isinstance(self.aggregation.window, plan.Session)
        return Steps(self.aggregation.window).start(time_us)

    def expected(self, changed: DataFrame, since_us: int) -> DataFrame | None:
        """States of keys that are missed though they were never there; None where there are none.

        Args:
            since_us: a time in what is taken for their last window.
        """
        keys = [key for rule in self.rules for key in getattr(rule.target, "expected", ())]
        if not keys:
            return None
        (name,) = self.keys
        of, schema = changed.schema[name].dataType, self.schema(changed.schema)
        spark = changed.sparkSession
        texts = spark.createDataFrame([(str(key),) for key in dict.fromkeys(keys)], "key string")
        values = {
            KIND: F.lit(STATE),
            name: F.col("key").cast(of),
            WINDOW_END: F.timestamp_micros(F.lit(self.start(since_us))),
        }
        return texts.select(
            *[
                values.get(each.name, F.lit(None)).cast(each.dataType).alias(each.name)
                for each in schema
            ]
        )

    def _joined(self, changed: DataFrame, kept: DataFrame | None) -> DataFrame:
        columns = [field_column(each.name) for each in self.stream.columns]
        rows = changed.select(
            F.lit(WINDOW).alias(KIND),
            *columns,
            F.lit(None).cast(ArrayType(_VERDICT)).alias(VERDICTS),
            F.lit(None).cast("string").alias(TEXT),
            F.lit(True).alias(_CHANGED),
        )
        if kept is not None:
            rows = rows.union(kept)
        # What follows brings the rows of a key together, in order; nothing behind it moves them.
        order = self._one.orderBy(WINDOW_START, _CHANGED)
        # A window that has changed takes the place of the kept one, and what was told about that.
        follows = F.lag(WINDOW_START).over(order) == F.col(WINDOW_START)
        told = F.when(follows, F.lag(TEXT).over(order)).otherwise(F.col(TEXT))
        rows = rows.withColumns(
            {
                TEXT: F.when(F.col(_CHANGED), told).otherwise(F.col(TEXT)),
                "_next": F.lead(WINDOW_START).over(order),
            }
        )
        return rows.filter(~F.coalesce(F.col("_next") == F.col(WINDOW_START), F.lit(False)))

    @cached_property
    def _one(self) -> Any:
        return Window.partitionBy(*map(field_column, self.keys))

    def _asked(self) -> Column:
        """The starts of the windows that a window is compared with."""
        starts = [self._start(each) for each in self.lookbacks]
        return F.when(F.col(KIND) == WINDOW, F.array(*starts))

    def _start(self, lookback: Lookback) -> Column:
        start = F.col(WINDOW_START)
        if lookback.windows:
            return windows_before(start, self.aggregation.window, lookback.windows)
        return days_before(start, lookback.days, lookback.time_zone)

    def _was_compared_with_changed(self) -> Column:
        starts = F.collect_set(F.when(F.col(_CHANGED), F.col(WINDOW_START))).over(self._one)
        return F.coalesce(F.arrays_overlap(ASKED, starts), F.lit(False))

    def _with_past(self, rows: DataFrame, reader: Callable[[], Any]) -> DataFrame:
        rows = rows.withColumn(ASKED, F.when(F.col(DUE), F.col(ASKED)))
        # Where there is no window, a count is null that never is in one.
        past = StructType(
            [StructField(each.name, rows.schema[each.name].dataType) for each in self.stream.answer]
        )
        schema = StructType([*rows.schema.fields, StructField(PAST, ArrayType(past))])
        read = AskedPast(reader, self.stream, len(self.lookbacks), self.analysis.accuracy_ms)
        return map_in_arrow(rows, read, schema)

    @cached_property
    def _checks(self) -> list[tuple[plan.AnalysisRule, Check]]:
        found = []
        now = {each.name: field_column(each.name) for each in self.stream.columns}
        of_own = {each.name: F.get(SAID, F.lit(place)) for place, each in enumerate(self.own)}
        for rule in self.rules:
            past = [
                {
                    each.name: F.get(PAST, F.lit(self.lookbacks.index(lookback)))[each.name]
                    for each in self.stream.answer
                }
                for lookback in rule.target.lookbacks()
            ]
            conditions = {
                name: _truth(each, self.query.time_zone) for name, each in rule.conditions.items()
            }
            judged = Judged(now, past, conditions, of_own)
            found += [(rule, check) for check in rule.target.checks(judged)]
        return found

    def _verdicts(self, passed: Column) -> Column:
        found = []
        for rule, check in self._checks:
            verdict = _verdict(check)
            found.append(verdict if rule.target.early else F.when(passed, verdict))
        return F.array(*found)


def _verdict(check: Check) -> Column:
    met, leaves = [], []
    for level, condition in check.met.items():
        bit = 1 << LEVELS.index(level)
        met.append(F.when(condition, bit).otherwise(0))
        reset = check.resets.get(level, ~condition)
        leaves.append(F.when(reset, bit).otherwise(0))
    nothing = F.lit(None).cast("double")
    return F.struct(
        _sum(met).alias("met"),
        _sum(leaves).alias("leaves"),
        (check.value if check.value is not None else nothing).alias("value"),
        (check.lower if check.lower is not None else nothing).alias("lower"),
        (check.upper if check.upper is not None else nothing).alias("upper"),
        (check.text if check.text is not None else F.lit(None).cast("string")).alias("text"),
    )


def _sum(bits: Sequence[Column]) -> Column:
    total = F.lit(0)
    for each in bits:
        total = total + each
    return total.cast("long")


def _truth(condition: plan.Expression, time_zone: str) -> Column:
    column = compile_expression(condition, time_zone)
    return F.when(column.isNotNull(), truth(condition, column))


def _alarm(
    aggregation: plan.Aggregation,
    rule: plan.AnalysisRule,
    check: Check,
    places: Mapping[str, Sequence[int]],
) -> Alarm:
    options = rule.target
    flapping = options.flapping
    return Alarm(
        rule.name,
        rule.module,
        check.field,
        check.about or check.field,
        _silence(aggregation, options) if isinstance(options, Deadman) else None,
        milliseconds(options.repeat) * 1000 if options.repeat else None,
        tuple(place for name in options.inhibited_by for place in places.get(name, ())),
        flapping.changes if flapping is not None else None,
        milliseconds(flapping.within) * 1000 if flapping is not None else 0,
        options.message,
        each=isinstance(options, Own),
        stops=isinstance(options, Own) and options.stops,
    )


def _silence(aggregation: plan.Aggregation, deadman: Deadman) -> Silence:
    retire = milliseconds(deadman.retire) * 1000 if deadman.retire else None
    level = LEVELS.index(deadman.level)
    return Silence(deadman.windows, deadman.steps(aggregation), level, retire)
