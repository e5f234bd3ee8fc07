"""A user's functions in a run, and rules that only the JVM finds wrong."""

from __future__ import annotations

import pytest

from tests.jobs import Job

pytestmark = pytest.mark.usefixtures("spark")


def test_what_a_user_module_declares_runs_is_checked_and_explained(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    (job.folder / "plant_rules.py").write_text(
        "from engine.declare import F, Double, Real, aggregation, operation, scalar\n"
        "from engine.declare import Numeric, Same, Number\n"
        "@operation\n"
        "def fahrenheit(celsius: Real) -> Double:\n"
        "    'Degrees Fahrenheit.'\n"
        "    return celsius * 1.8 + 32\n"
        "@scalar\n"
        "def code(text: str) -> str:\n"
        "    'A code; there is none of x.'\n"
        "    if text == 'x': raise ValueError(text)\n"
        "    return text[::-1] + '!'\n"
        "@aggregation\n"
        "def reach(x: Number) -> Same:\n"
        "    'Largest less smallest.'\n"
        "    return F.max(x) - F.min(x)\n"
    )
    job.arrive(["1,abc,10", "2,abc,30", "3,x,5"])
    job.config(
        {"name": "w", "rule": ["key: c", "far: reach(f)", "n: count()"]},
        transformation=["f: fahrenheit(value)", "c: coalesce(code(key), 'none')"],
        modules=["plant_rules"],
    )
    job.run("--once")
    found = {row["c"]: (row["far"], row["n"]) for row in job.rows("w")}
    assert found == {"cba!": (36.0, 2), "none": (0.0, 1)}


def test_a_pattern_that_only_java_refuses_is_the_users_mistake(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "where": "matches(key, 'a{2,1}')", "rule": ["n: count()"]})
    job.run("--once", status=2)
    assert "the pattern 'a{2,1}' is not valid" in capsys.readouterr().err


def test_what_asks_for_the_time_gets_that_of_each_batch(job: Job) -> None:
    (job.folder / "dated_rules.py").write_text(
        "from engine.declare import F, Number, Timestamp, operation\n"
        "@operation\n"
        "def seen(x: Number) -> Timestamp:\n"
        "    'When a number was read.'\n"
        "    return F.when(x.isNotNull(), F.current_timestamp())\n"
    )
    for time in range(3):
        job.arrive([f"{time},a,{time}"])
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()", "first: first(at)"]},
        transformation=["at: seen(value)"],
        modules=["dated_rules"],
        streams=["aggregated", "raw"],
    )
    job.run("--once")
    rows = job.rows("raw", "_batch")
    assert len({row["_arrived"] for row in rows}) == 3
    assert [row["at"] for row in rows] == [row["_arrived"] for row in rows]
