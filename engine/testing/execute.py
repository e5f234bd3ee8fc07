"""A case runs: its steps are the micro-batches of one query, whose rows are captured."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine import plan
from engine.inputs.csv import Csv
from engine.outputs.sqlite import Sqlite
from engine.runtime.run import DONE, ONCE, Run, ledger, told
from engine.testing.arriving import Arriving
from engine.testing.capture import Capture, captured
from engine.testing.compare import Difference, differences
from engine.testing.load import Case

#: The time of the first file where a test has none; those of later steps follow it, since that is
#: their order.
_FIRST = 1_700_000_000

Rows = Mapping[str, list[Mapping[str, Any]]]


@dataclass(frozen=True)
class Failure:
    """A stream of a step that is not as expected.

    Args:
        line: where that is said in the file.
    """

    step: int
    stream: str
    line: int
    differences: list[Difference]


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Args:
        error: a sentence, where the run failed.
        rows: by stream, of each step.
    """

    case: Case
    failures: list[Failure]
    rows: list[Rows]
    error: str | None = None

    @property
    def is_well(self) -> bool:
        return not self.failures and self.error is None


def run_case(case: Case, master: str | None = None) -> Result:
    """Runs a case from nothing, in a folder that is gone behind it."""
    with tempfile.TemporaryDirectory(prefix="ts-engine-test-") as folder:
        _arrive(case, Path(folder, "data"))
        asked = Run(
            _replaced(case, folder),
            ONCE,
            folder,
            checkpoint=str(Path(folder, "checkpoint")),
            master=master,
            jars=case.jars,
        )
        # What a run tells is of interest where it fails.
        screen = io.StringIO()
        with contextlib.redirect_stderr(screen):
            status = told(lambda: _ran(asked))
        if status != DONE:
            lines = screen.getvalue().strip().splitlines()
            return Result(case, [], [], lines[-1] if lines else "the run failed")
        rows = [_rows(str(Path(folder, "rows")), step) for step in range(len(case.steps))]
    return Result(case, _failures(case, rows), rows)


def _ran(asked: Run) -> int:
    ledger(asked)
    return DONE


def _arrive(case: Case, folder: Path) -> None:
    """A file for each step."""
    folder.mkdir()
    for place, step in enumerate(case.steps):
        path = folder / f"{place:06}.csv"
        path.write_text("".join(f"{each}\n" for each in step.records), encoding="utf-8")
        time = _FIRST + place if step.at is None else step.at.timestamp()
        os.utime(path, (time, time))


def _replaced(case: Case, folder: str) -> plan.Query:
    """The query with an input and outputs of ours."""
    query = case.query
    about = query.input
    has_times = case.steps[0].at is not None
    source = (Arriving if has_times else Csv)(
        path=str(Path(folder, "data")),
        max_files_per_batch=1,
        batchDuration=about.source.batchDuration,
        format=about.source.format,
        sep=about.sep,
    )
    windows = tuple(each.name for each in query.aggregations)
    streams = [*windows, plan.LATE, plan.MALFORMED]
    if any(step.expect and plan.RAW in step.expect for step in case.steps):
        streams.append(plan.RAW)
    outputs = []
    analysis = query.analysis
    if analysis is not None:
        streams.append(plan.ALERTS)
        if analysis.history is not None:
            past = Sqlite(path=str(Path(folder, "past.sqlite")))
            history = plan.Output("past", Sqlite.METHOD, past, windows, main=True)
            outputs.append(history)
            analysis = replace(analysis, history=history)
        analysis = replace(analysis, targets=())
    capture = Capture(path=str(Path(folder, "rows")))
    outputs.append(plan.Output("capture", Capture.METHOD, capture, tuple(streams)))
    return replace(
        query,
        input=replace(about, method=Csv.METHOD, source=source),
        outputs=tuple(outputs),
        analysis=analysis,
    )


def _rows(path: str, batch: int) -> Rows:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stream, row in captured(path, batch):
        found.setdefault(stream, []).append(row)
    return found


def _failures(case: Case, rows: Sequence[Rows]) -> list[Failure]:
    found = []
    for place, (step, written) in enumerate(zip(case.steps, rows, strict=True)):
        if step.expect is None:
            continue
        for stream in sorted({*step.expect, *written} - case.ignore):
            wanted = step.expect.get(stream, [])
            there = written.get(stream, [])
            if stream == plan.ALERTS and case.rules is not None:
                there = [each for each in there if each["rule"] in case.rules]
            left = differences(wanted, there, case.tolerance, case.exact)
            if left:
                at = (*step.path, "expect", *([stream] if stream in step.expect else []))
                found.append(Failure(place, stream, case.line_of(at), left))
    return found
