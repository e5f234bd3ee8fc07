"""What comes of a test of a config whose steps are said to write this: no Spark runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.testing.execute import Result, judged
from engine.testing.load import load_tests
from engine.testing.rewrite import Rewriting
from tests.jobs import Job

WINDOWS = {"rule": ["key: key", "value: max(value)", "n: count()"], "window": "10 seconds"}
START = "1970-01-01T00:00:00.000Z"

Rows = Mapping[str, list[Mapping[str, Any]]]
TOTAL = {
    "rows_read": 3,
    "malformed": 1,
    "aggregations": {"aggregated": {"rows_read": 3, "malformed": 1, "late": 0, "aggregated": 2}},
}


def results(job: Job, text: str, steps: Sequence[Rows]) -> tuple[Rewriting, Result]:
    """What comes of the one test of a file that is written so, where its steps write this."""
    job.config(WINDOWS)
    path = job.folder / "config.test.json"
    path.write_text(text, newline="")
    loaded = load_tests(str(path))
    assert [problem.text() for problem in loaded.problems] == []
    assert loaded.document is not None
    (case,) = loaded.cases
    return Rewriting(loaded.document), judged(case, list(steps), [TOTAL] * len(steps))


def window(**values: Any) -> dict[str, Any]:
    return {"window_start": START, **values}
