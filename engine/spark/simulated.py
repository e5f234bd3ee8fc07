"""Turns a simulation into Spark rows: `value`, the line as it is sent, and `_ordinal`, its number.

A Python data source: its offset in the checkpoint is the number of the next row, so a restart goes
on exactly there, and any task can make any part of any micro-batch again. (Spark's `rate` sources
with an Arrow function start three Python processes fewer, but know neither an end nor a pace.)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    InputPartition,
)
from pyspark.sql.streaming.datasource import (
    ReadAllAvailable,
    ReadLimit,
    ReadMaxRows,
    SupportsTriggerAvailableNow,
)
from pyspark.sql.types import StructType

import engine
from engine.simulator import Rows, Simulation, rows_due

#: Rows of an Arrow batch, and the fewest that are worth a task of their own.
CHUNK = 8192
#: Rows of a micro-batch where nothing else bounds it: no end, no rate, no limit.
UNBOUNDED = 200_000
_OPTION = "simulation"
_TASKS = "tasks"


def stream(spark: SparkSession, options: Simulation) -> DataFrame:
    """The simulation as a stream.

    Rows come at the simulation's rate from the moment when the query starts, the first one at once.
    A query that goes on from a checkpoint does not make up for the time between. With the trigger
    `availableNow` all rows up to its end are there at once.
    """
    return _source(spark, options, spark.readStream)


def static(spark: SparkSession, options: Simulation) -> DataFrame:
    """All rows up to the simulation's end at once."""
    if options.total is None:
        raise ValueError("a simulation without 'count' has no end; give 'count' to read it whole")
    return _source(spark, options, spark.read)


def _source(spark: SparkSession, options: Simulation, reader: Any) -> DataFrame:
    _let_workers_import(spark)
    spark.dataSource.register(SimulatedSource)
    # "Now" is decided once: a DataFrame that is read twice must have the same rows twice.
    options = replace(options, start=options.rows().start)
    tasks = spark.sparkContext.defaultParallelism
    source = reader.format(SimulatedSource.name())
    rows: DataFrame = source.options(**{_OPTION: json.dumps(asdict(options)), _TASKS: tasks}).load()
    return rows


def _let_workers_import(spark: SparkSession) -> None:
    """Puts the engine's folder, or its zip, on the path of the Python processes that Spark starts.

    The one that tells a stream's offsets runs beside the driver, and Spark 4.2 starts it without
    the files of `--py-files`; executors have theirs, and take no harm from a path that they lack.
    """
    home = str(Path(engine.__file__).parent.parent)
    environment = spark.sparkContext.environment
    known = environment.get("PYTHONPATH", "").split(os.pathsep)
    if home not in known:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, *known]))


@dataclass
class Slice(InputPartition):
    """Rows `first` to before `last` of a sequence, made by one task."""

    rows: Rows
    first: int
    last: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([("value", pa.string()), ("_ordinal", pa.int64())])
        for first in range(self.first, self.last, CHUNK):
            last = min(first + CHUNK, self.last)
            lines = pa.array(self.rows.lines(first, last), pa.binary())
            # A view does not look at the bytes: broken lines may be no UTF-8, and stay as they are.
            columns = [lines.view(pa.string()), pa.array(range(first, last), pa.int64())]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _slices(rows: Rows, first: int, last: int, tasks: int) -> list[Slice]:
    """The rows in equal parts: at most `tasks`, and not smaller than a chunk."""
    parts = max(1, min(tasks, (last - first) // CHUNK))
    ends = [first + (last - first) * k // parts for k in range(parts + 1)]
    return [Slice(rows, *pair) for pair in pairwise(ends)]


class SimulatedSource(DataSource):
    """The Spark format `simulation`."""

    @classmethod
    def name(cls) -> str:
        return "simulation"

    def schema(self) -> str:
        return "value STRING, _ordinal LONG"

    def reader(self, schema: StructType) -> DataSourceReader:
        return SimulatedReader(*self._parsed())

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802
        return SimulatedStream(*self._parsed())

    def _parsed(self) -> tuple[Simulation, int]:
        return Simulation(**json.loads(self.options[_OPTION])), int(self.options[_TASKS])


class SimulatedReader(DataSourceReader):
    """All rows of a simulation that has an end."""

    def __init__(self, options: Simulation, tasks: int) -> None:
        self.options, self.tasks = options, tasks

    def partitions(self) -> Sequence[InputPartition]:
        return _slices(self.options.rows(), 0, self.options.total or 0, self.tasks)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        return cast("Slice", partition).batches()


class SimulatedStream(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Rows of a simulation as they fall due.

    Offsets are `{"next": row, "start": second}`. The event time of row 0 is part of them so that a
    simulation that began "now" stays the same sequence when it goes on tomorrow.
    """

    def __init__(self, options: Simulation, tasks: int) -> None:
        self.options, self.tasks = options, tasks
        self._paced = options.pace > 0
        self._began: tuple[int, float] | None = None

    def initialOffset(self) -> dict[str, int]:  # noqa: N802
        return {"next": 0, "start": self.options.rows().start}

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        if self.options.total is None:
            raise ValueError("a simulation without 'count' has no end to run to; give 'count'")
        self._paced = False

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802
        if self.options.max_rows is not None:
            return ReadMaxRows(self.options.max_rows)
        return ReadAllAvailable()

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:  # noqa: N802
        first = start["next"]
        ends = [self._due(first)]
        if self.options.total is not None:
            ends.append(self.options.total)
        if isinstance(limit, ReadMaxRows):
            ends.append(first + limit.max_rows)
        return {**start, "next": max(first, min(ends))}

    def _due(self, first: int) -> int:
        """The row that falls due next, `first` being the first one not yet taken."""
        if not self._paced:
            return first + UNBOUNDED if self.options.total is None else self.options.total
        if self._began is None:
            self._began = first, time.monotonic()
        row, moment = self._began
        return row + rows_due(time.monotonic() - moment, self.options.pace)

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[InputPartition]:
        if start["next"] == end["next"]:
            return []
        rows = replace(self.options, start=end["start"]).rows()
        return _slices(rows, start["next"], end["next"], self.tasks)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        return cast("Slice", partition).batches()
