"""Plans that are made once: for all micro-batches, with numbers that change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from engine.spark.again import Frames, Number
from tests.jobs import Job


def test_a_run_makes_each_of_its_plans_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[Hashable] = Counter()
    over = Frames.over

    def counted(
        frames: Frames,
        key: Hashable,
        make: Callable[[], DataFrame],
        session: SparkSession,
        read: Sequence[Any],
    ) -> DataFrame:
        def make_and_count() -> DataFrame:
            made[frames, key] += 1
            return make()

        return over(frames, key, make_and_count, session, read)

    monkeypatch.setattr(Frames, "over", counted)
    minutes = {"name": "minutes", "window": "1 minute", "rule": ["key: key", "d: delta(value)"]}
    visits = {"name": "visits", "window": {"gap": "5 seconds"}, "rule": ["key: key", "n: count()"]}
    rule = {"name": "high", "module": "Threshold"}
    options = {"crit": "d > 5", "aggregation": "minutes"}
    job.config(
        [minutes, visits],
        streams=["aggregated", "late", "malformed", "alerts"],
        analysis={"rule": [{**rule, "options": options}], "alert": {"method": "stdout"}},
    )
    for number in range(8):
        time = 1000 * number
        job.arrive([f"{time},a,{number * number}", f"{time - 5000},a,1", "what is this"])
    report = job.run("--once")
    assert report["balanced"]
    assert len(job.rows("late", "_batch")) > 8
    assert job.rows("alerts")
    # Nothing is kept before the first batch; nothing is late before the second.
    assert max(made.values()) <= 2
    assert len(made) >= 8


def _held(frames: Frames) -> str:
    return "".join(str(part.node) for _, part in frames._made.values())  # type: ignore[union-attr]


def test_a_frame_is_made_again_of_other_rows(spark: SparkSession) -> None:
    frames, calls = Frames(), 0

    def twice(rows: DataFrame, others: DataFrame | None) -> DataFrame:
        nonlocal calls
        calls += 1
        doubled = rows.select((F.col("id") * 2).alias("n"))
        return doubled if others is None else doubled.union(others)

    first = spark.range(3)
    others = [spark.range(10 * n, 10 * n + 2).toDF("n") for n in (1, 2)]
    for rest in others:
        made = frames.of("twice", twice, first, rest)
        expected = [0, 2, 4, *(row["n"] for row in rest.collect())]
        assert sorted(row["n"] for row in made.collect()) == expected
    assert calls == 1
    assert "Range" not in _held(frames)
    assert [row["n"] for row in frames.of("twice", twice, first, None).collect()] == [0, 2, 4]
    assert calls == 2
    # Its column is called the same, and is another.
    second = spark.range(5, 7)
    assert [row["n"] for row in frames.of("twice", twice, second, None).collect()] == [10, 12]
    assert calls == 3


def code(frame: DataFrame) -> str:
    """The Java code that Spark generates for a frame."""
    jvm: Any = frame.sparkSession._jvm
    debug = getattr(jvm.org.apache.spark.sql.execution.debug, "package$").__getattr__("MODULE$")
    told = debug.codegenString(frame._jdf.queryExecution().executedPlan())
    return str(told).split("Generated code:")[1]


def test_a_number_is_told_anew_and_is_in_no_code(spark: SparkSession) -> None:
    number, frames = Number(), Frames()
    rows = spark.createDataFrame([(n,) for n in range(-2, 3)], "n long")
    codes = set()

    def below(rows: DataFrame) -> DataFrame:
        return rows.filter(F.col("n") < number.beside(F.timestamp_micros("n")))

    for told, expected in [(0, 2), (2**40, 5), (-(2**40), 0), (1, 3), (None, 0), (-1, 1)]:
        number.tell(told)
        made = frames.of("below", below, rows)
        assert made.count() == expected
        codes.add(code(made))
    assert len(codes) == 1
    nothing = spark.createDataFrame([(None,)], "t timestamp").select(number.beside(F.col("t")))
    assert nothing.first() == (None,)
