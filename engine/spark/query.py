"""A checked plan becomes Spark frames: the windows of a run, and the counts of its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from engine import plan
from engine.fusion import Unit, parted, units
from engine.spark.aggregate import Grouping, taken, with_conditions
from engine.spark.derived import Derivation
from engine.spark.duplicates import PASSED
from engine.spark.parse import OK
from engine.spark.rows import MOVED, TIME, rows
from engine.spark.sessions import Sessions
from engine.spark.side import side_columns
from engine.spark.windows import is_in_one_more, moved

#: The name of the counts in Spark's plan; the node that makes them also marks where the rows of a
#: micro-batch are whole: malformed ones too, with all their fields.
LEDGER = "ledger"
_ROWS, _MALFORMED = "rows", "malformed"
#: Beside the counts, where there is an analysis: the latest event time, in microseconds.
LATEST = "latest"


@dataclass(frozen=True)
class Compiled:
    """A query as Spark runs it.

    Args:
        frame: what a run writes: a struct column for each stream, null where a row is not of it;
            where there is a derivation, the windows that it makes this from. Where there are only
            sessions, the rows that they are made of.
        streams: column of ``frame`` -> the stream's name; none where there are only sessions.
        units: the fused aggregations, those of sessions too.
        observations: batch only: where the ledger's counts arrive.
        every_row: batch only: all rows, for the side streams.
        derivation: the measures that need the window before; None where there are none.
        sessions: None where there are none.
    """

    frame: DataFrame
    streams: Mapping[str, str]
    units: tuple[Unit, ...]
    observations: tuple[Observation, ...] = ()
    every_row: DataFrame | None = None
    derivation: Derivation | None = None
    sessions: Sessions | None = None

    def static_rows(self) -> DataFrame:
        """Batch only: the rows of all streams but those of sessions."""
        if self.derivation is None:
            return self.frame
        return self.derivation.written(self.derivation.joined(self.frame, None, None))

    def session_rows(self, every: DataFrame) -> DataFrame:
        """What sessions are made of, from all rows, where it is not ``frame``."""
        assert self.sessions is not None
        return self.sessions.entering(_well_formed(every))


def compiled(spark: SparkSession, query: plan.Query, streaming: bool) -> Compiled:
    """The query over its input, as a streaming or a static frame."""
    fused = units(query.aggregations)
    every = with_conditions(rows(spark, query, streaming), fused, query)
    stateful, of_sessions = parted(fused)
    names = [LEDGER, *([PASSED] if query.deduplicate is not None and stateful else [])]
    observations = {} if streaming else {name: Observation(name) for name in names}
    observed = tuple(observations.values())
    counts_ = [*_counts(fused), *([_latest()] if query.analysis is not None else [])]
    counted = every.observe(observations.get(LEDGER, LEDGER), *counts_)
    if not fused:
        side = side_columns(query, fused, None)
        # A null struct for rows of another stream: a row is raw or malformed, and both are written
        # in the one pass over the input.
        frame = counted.select(*side.values())
        streams = {column: column.removeprefix("_side_") for column in side}
        return Compiled(frame, streams, fused, observed, every)
    well = _well_formed(counted)
    if streaming:
        well = well.withWatermark(MOVED, f"{query.allowed_lateness_ms} milliseconds")
    sessions = Sessions(of_sessions, query, len(stateful)) if of_sessions else None
    if sessions is not None and not stateful:
        rows_of = sessions.entering(well)
        return Compiled(rows_of, {}, fused, observed, every, sessions=sessions)
    grouping = Grouping(stateful, query)
    frame = grouping.grouped(well, observations.get(PASSED, PASSED))
    derivation = None
    if any(unit.carried for unit in stateful):
        derivation = Derivation(grouping)
    else:
        frame = grouping.results(frame)
    return Compiled(frame, grouping.streams(), fused, observed, every, derivation, sessions)


def _well_formed(every: DataFrame) -> DataFrame:
    return every.filter(OK).withColumn(MOVED, moved(F.col(TIME)))


def _latest() -> Column:
    micros = F.when(F.col(OK), F.unix_micros(TIME))
    return F.coalesce(F.max(micros), F.lit(-(2**62))).alias(LATEST)


def _counts(fused: Sequence[Unit]) -> list[Column]:
    counts = [
        F.count(F.lit(1)).alias(_ROWS),
        F.count(F.when(~F.col(OK), 1)).alias(_MALFORMED),
    ]
    for index, unit in enumerate(fused):
        stages = {}
        if unit.where is not None:
            stages[f"met{index}"] = F.col(OK) & F.col(f"_where{index}")
        if unit.keys:
            stages[f"taken{index}"] = F.col(OK) & taken(unit, index)
        counts += [F.count(F.when(those, 1)).alias(name) for name, those in stages.items()]
        if isinstance(unit.window, plan.Hopping) and not unit.window.is_even:
            more = is_in_one_more(F.col(TIME), unit.window)
            for name, those in {f"ok{index}": F.col(OK), **stages}.items():
                counts.append(F.count(F.when(those & more, 1)).alias(f"more_{name}"))
    return counts


@dataclass(frozen=True)
class Entry:
    """What of a micro-batch enters the windows of an aggregation; late rows not yet parted.

    A malformed row counts once, a well-formed one once for each window that it is in.

    Args:
        rows: all of them.
        malformed: for this aggregation, those without a key too.
        passed: those entering that are neither late nor duplicates; None where duplicates count.
    """

    rows: int
    malformed: int
    filtered: int
    entering: int
    passed: int | None = None


@dataclass(frozen=True)
class Counts:
    """What a micro-batch read, each row once, and what of it enters each aggregation."""

    rows: int
    malformed: int
    aggregations: Mapping[str, Entry]


def counts(values: Mapping[str, int], fused: Sequence[Unit]) -> Counts:
    """The observed counts, by aggregation."""
    total, malformed = values[_ROWS], values[_MALFORMED]
    found: dict[str, Entry] = {}
    for index, unit in enumerate(fused):
        fewest = unit.window.fewest if isinstance(unit.window, plan.Hopping) else 1
        windows = [fewest * (total - malformed) + values.get(f"more_ok{index}", 0)]
        for stage in ("met", "taken"):
            rows, more = (values.get(f"{each}{stage}{index}") for each in ("", "more_"))
            windows.append(windows[-1] if rows is None else fewest * rows + (more or 0))
        well, met, entering = windows
        broken, passed = malformed + met - entering, values.get(f"passed{index}")
        entry = Entry(malformed + well, broken, well - met, entering, passed)
        found |= dict.fromkeys((member.name for member in unit.members), entry)
    return Counts(total, malformed, found)
