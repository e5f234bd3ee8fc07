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
from engine.spark.parse import OK
from engine.spark.rows import MOVED, TIME, rows
from engine.spark.sessions import Sessions
from engine.spark.side import side_columns
from engine.spark.windows import moved

#: The name of the counts in Spark's plan; the node that makes them also marks where the rows of a
#: micro-batch are whole: malformed ones too, with all their fields.
LEDGER = "ledger"
_ROWS, _MALFORMED = "rows", "malformed"


@dataclass(frozen=True)
class Compiled:
    """A query as Spark runs it.

    Args:
        frame: what a run writes: a struct column for each stream, null where a row is not of it;
            where there is a derivation, the windows that it makes this from. Where there are only
            sessions, the rows that they are made of.
        streams: column of ``frame`` -> the stream's name; none where there are only sessions.
        units: the fused aggregations, those of sessions too.
        observation: batch only: where the ledger's counts arrive.
        every_row: batch only: all rows, for the side streams.
        derivation: the measures that need the window before; None where there are none.
        sessions: None where there are none.
    """

    frame: DataFrame
    streams: Mapping[str, str]
    units: tuple[Unit, ...]
    observation: Observation | None = None
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
    every = with_conditions(rows(spark, query, streaming), fused, query.time_zone)
    observation = None if streaming else Observation(LEDGER)
    counted = every.observe(observation or LEDGER, *_counts(fused))
    if not fused:
        side = side_columns(query, fused, None)
        # A null struct for rows of another stream: a row is raw or malformed, and both are written
        # in the one pass over the input.
        frame = counted.select(*side.values())
        streams = {column: column.removeprefix("_side_") for column in side}
        return Compiled(frame, streams, fused, observation, every)
    well = _well_formed(counted)
    if streaming:
        well = well.withWatermark(MOVED, f"{query.allowed_lateness_ms} milliseconds")
    stateful, of_sessions = parted(fused)
    sessions = Sessions(of_sessions, query, len(stateful)) if of_sessions else None
    if sessions is not None and not stateful:
        rows_of = sessions.entering(well)
        return Compiled(rows_of, {}, fused, observation, every, sessions=sessions)
    grouping = Grouping(stateful, query)
    frame = grouping.grouped(well)
    derivation = None
    if any(unit.carried for unit in stateful):
        derivation = Derivation(grouping)
    else:
        frame = grouping.results(frame)
    return Compiled(frame, grouping.streams(), fused, observation, every, derivation, sessions)


def _well_formed(every: DataFrame) -> DataFrame:
    return every.filter(OK).withColumn(MOVED, moved(F.col(TIME)))


def _counts(fused: Sequence[Unit]) -> list[Column]:
    counts = [
        F.count(F.lit(1)).alias(_ROWS),
        F.count(F.when(~F.col(OK), 1)).alias(_MALFORMED),
    ]
    for index, unit in enumerate(fused):
        if unit.where is not None:
            met = F.col(OK) & F.col(f"_where{index}")
            counts.append(F.count(F.when(met, 1)).alias(f"met{index}"))
        if unit.keys:
            entering = F.col(OK) & taken(unit, index)
            counts.append(F.count(F.when(entering, 1)).alias(f"taken{index}"))
    return counts


@dataclass(frozen=True)
class Counts:
    """What a micro-batch read, and what each aggregation did with it; late rows not yet parted."""

    rows: int
    malformed: int
    #: Aggregation -> (malformed for it, filtered, entering its windows).
    aggregations: Mapping[str, tuple[int, int, int]]


def counts(values: Mapping[str, int], fused: Sequence[Unit]) -> Counts:
    """The observed counts, by aggregation."""
    total, malformed = values[_ROWS], values[_MALFORMED]
    found = {}
    for index, unit in enumerate(fused):
        met = values.get(f"met{index}", total - malformed)
        entering = values.get(f"taken{index}", met)
        for member in unit.members:
            keyless = met - entering
            found[member.name] = (malformed + keyless, total - malformed - met, entering)
    return Counts(total, malformed, found)
