"""The simulator as a source of Spark gives the bytes of generator.py, through every restart."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery

from engine.simulator import Sensors, Simulation
from engine.spark.simulated import CHUNK, UNBOUNDED, static, stream

REPOSITORY = Path(__file__).parent.parent
START = 1_700_000_000
Rows = list[tuple[int, bytes]]


class Collector:
    """Runs streams over one checkpoint and keeps the rows of each micro-batch."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.batches: dict[int, Rows] = {}

    def start(
        self, rows: DataFrame, then: Callable[[DataFrame, int], None] | None = None, **trigger: bool
    ) -> StreamingQuery:
        def keep(batch: DataFrame, number: int) -> None:
            self.batches[number] = collected(batch)
            if then is not None:
                then(batch, number)

        writer = rows.writeStream.option("checkpointLocation", str(self.checkpoint))
        if trigger:
            writer = writer.trigger(**trigger)  # type: ignore[arg-type]
        return writer.foreachBatch(keep).start()

    def drain(self, rows: DataFrame, then: Callable[[DataFrame, int], None] | None = None) -> None:
        self.start(rows, then, availableNow=True).awaitTermination()

    @property
    def rows(self) -> Rows:
        return [row for _, batch in sorted(self.batches.items()) for row in batch]


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector(tmp_path / "checkpoint")


def collected(rows: DataFrame) -> Rows:
    """Ordinals and bytes, by ordinal; Python could not read a line that is no UTF-8 as text."""
    pairs = rows.select("_ordinal", F.col("value").cast("binary")).collect()
    return sorted((ordinal, bytes(value)) for ordinal, value in pairs)


def expected(rows: Sensors, start: int, stop: int) -> Rows:
    return list(zip(range(start, stop), rows.lines(start, stop), strict=True))


def test_a_static_read_gives_the_lines_of_the_command(spark: SparkSession) -> None:
    arguments = ["--seed=7", "--count=30000", f"--start={START}", "--malformed=0.02", "--late=0.1"]
    command = [sys.executable, "generator.py", *arguments]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout
    options = Simulation(seed=7, count=30_000, start=START, malformed=0.02, late=0.1)
    rows = static(spark, options)
    assert rows.dtypes == [("value", "string"), ("_ordinal", "bigint")]
    assert rows.rdd.getNumPartitions() == 2
    found = collected(rows)
    assert found == expected(options.rows(), 0, 30_000)
    assert b"\n".join(line for _, line in found) + b"\n" == printed


def test_a_simulation_that_begins_now_is_the_same_when_it_is_read_again(
    spark: SparkSession,
) -> None:
    rows = static(spark, Simulation(count=50, rate=10))
    first = collected(rows)
    while int(time.time()) <= int(first[0][1].split(b",")[0]):
        time.sleep(0.05)
    assert collected(rows) == first


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1])
def test_a_static_read_has_as_many_rows_as_were_asked_for(spark: SparkSession, count: int) -> None:
    assert static(spark, Simulation(count=count)).count() == count


def test_a_simulation_without_an_end_cannot_be_read_whole(
    spark: SparkSession, collector: Collector
) -> None:
    with pytest.raises(ValueError, match="a simulation without 'count' has no end; give 'count'"):
        static(spark, Simulation())
    with pytest.raises(StreamingQueryException, match="has no end to run to; give 'count'"):
        collector.drain(stream(spark, Simulation()))


def test_a_drained_stream_gives_all_rows_whatever_its_rate(
    spark: SparkSession, collector: Collector
) -> None:
    options = Simulation(seed=3, count=20_000, rate=0.001, start=START, malformed=0.01)
    collector.drain(stream(spark, options))
    assert len(collector.batches) == 1
    assert collector.rows == expected(options.rows(), 0, 20_000)
    collector.batches.clear()
    collector.drain(stream(spark, options))
    assert collector.batches == {}


def test_a_restart_goes_on_at_the_next_row_of_the_same_sequence(
    spark: SparkSession, collector: Collector
) -> None:
    # No start is given: the moment of the first run is kept in the checkpoint.
    for count in (5_000, 12_345, 12_346):
        collector.drain(stream(spark, Simulation(seed=5, count=count, speed=100)))
    (_, first), *_ = collector.rows
    began = int(first.split(b",")[0])
    rows = Sensors(seed=5, start=began, speed=100)
    assert collector.rows == expected(rows, 0, 12_346)
    assert [len(batch) for batch in collector.batches.values()] == [5_000, 7_345, 1]


def test_a_batch_that_failed_comes_again_with_the_same_rows(
    spark: SparkSession, collector: Collector
) -> None:
    options = Simulation(seed=9, count=9_000, start=START, malformed=0.05, max_rows=4_000)

    def fail(batch: DataFrame, number: int) -> None:
        if number == 1:
            raise RuntimeError("struck by lightning")

    with pytest.raises(StreamingQueryException, match="struck by lightning"):
        collector.drain(stream(spark, options), fail)
    failed = dict(collector.batches)
    assert [len(batch) for batch in failed.values()] == [4_000, 4_000]

    again: dict[int, Rows] = {}
    collector.batches.clear()
    collector.drain(stream(spark, options), lambda batch, n: again.update({n: collected(batch)}))
    assert list(collector.batches) == [1, 2]
    assert collector.batches[1] == failed[1]
    assert again == collector.batches  # a batch may be read more than once
    assert failed[0] + collector.rows == expected(options.rows(), 0, 9_000)


def test_a_paced_stream_gives_its_first_rows_at_once_and_every_row_in_the_end(
    spark: SparkSession, collector: Collector
) -> None:
    options = Simulation(seed=1, count=3_000, rate=1_000, start=START)
    query = collector.start(stream(spark, options))
    try:
        while sum(map(len, collector.batches.values())) < 3_000:
            assert not query.awaitTermination(timeout=1)
    finally:
        query.stop()
    assert collector.rows == expected(options.rows(), 0, 3_000)
    assert len(collector.batches) > 1
    assert len(collector.batches[0]) < 3_000


def test_an_endless_stream_without_a_rate_comes_in_bounded_batches(
    spark: SparkSession, collector: Collector
) -> None:
    sizes: list[int] = []
    query = (
        stream(spark, Simulation(seed=1, start=START))
        .writeStream.option("checkpointLocation", str(collector.checkpoint))
        .foreachBatch(lambda batch, number: sizes.append(batch.count()))
        .start()
    )
    try:
        while len(sizes) < 2:
            assert not query.awaitTermination(timeout=1)
    finally:
        query.stop()
    assert sizes[:2] == [UNBOUNDED, UNBOUNDED]
