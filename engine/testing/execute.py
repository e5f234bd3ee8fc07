"""A case runs: its steps are the micro-batches of one query, whose rows are captured."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine import plan
from engine.inputs.csv import Csv
from engine.outputs.sqlite import Sqlite
from engine.runtime.ledger import TERMS
from engine.runtime.run import DONE, ONCE, Run, ledger, told
from engine.testing.arriving import Arriving
from engine.testing.capture import Capture, captured
from engine.testing.columns import identity, shown
from engine.testing.compare import Difference, differences
from engine.testing.load import Case, Expected
from engine.testing.totals import LEDGER, Totals, off

#: The time of the first file where a test has none; those of later steps follow it, since that is
#: their order.
_FIRST = 1_700_000_000

Rows = Mapping[str, list[Mapping[str, Any]]]


@dataclass(frozen=True)
class Failure:
    """A stream, or the ledger, that is not as expected.

    Args:
        step: from 0; None: of all steps together.
        stream: or ``ledger``.
        columns: those that tell what differs, in their order.
        exact: whether a row has no others.
    """

    step: int | None
    stream: str
    expected: Expected
    differences: list[Difference]
    columns: tuple[str, ...]
    exact: bool

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where it is said in the file, or would be."""
        if self.stream == LEDGER:
            return (*self.expected.path, LEDGER)
        return (*self.expected.path, "expect", self.stream)


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Args:
        error: a sentence, where the run failed.
        rows: by stream, of each step: those that the case is about.
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
        totals = Totals(asked.query.name)
        # What a run tells is of interest where it fails.
        screen = io.StringIO()
        with contextlib.redirect_stderr(screen):
            status = told(lambda: _ran(asked, totals))
        if status != DONE:
            lines = screen.getvalue().strip().splitlines()
            return Result(case, [], [], lines[-1] if lines else "the run failed")
        rows = [_rows(case, str(Path(folder, "rows")), step) for step in range(len(case.steps))]
    return judged(case, rows, [totals.after[step] for step in range(len(rows))])


def _ran(asked: Run, totals: Totals) -> int:
    ledger(asked, totals)
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
    said = [step.expected for step in case.steps] + ([case.final] if case.final else [])
    if any(plan.RAW in (each.rows or {}) for each in said):
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


def _rows(case: Case, path: str, batch: int) -> Rows:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stream, row in captured(path, batch):
        is_other = (
            stream == plan.ALERTS and case.rules is not None and row["rule"] not in case.rules
        )
        if stream not in case.ignore and not is_other:
            found.setdefault(stream, []).append(row)
    return found


def _left(query: plan.Query, steps: Sequence[Rows]) -> Rows:
    """What all steps together leave: of windows the last row of each key, of other streams all."""
    windows = {each.name for each in query.aggregations}
    keys = {name: identity(query, name) for name in windows}
    left: dict[str, dict[Any, Mapping[str, Any]]] = {}
    for written in steps:
        for stream, rows in written.items():
            kept = left.setdefault(stream, {})
            for row in rows:
                key = tuple(row[n] for n in keys[stream]) if stream in windows else len(kept)
                kept.pop(key, None)
                if "retracted" not in row:
                    kept[key] = row
    return {stream: list(kept.values()) for stream, kept in left.items() if kept}


def judged(case: Case, rows: list[Rows], totals: Sequence[Mapping[str, Any]]) -> Result:
    """What is not as expected.

    Args:
        rows: by stream, of each step.
        totals: the balance after each step.
    """
    found: list[Failure] = []
    for place, (step, written) in enumerate(zip(case.steps, rows, strict=True)):
        found += _compared(case, step.expected, written, totals[place], place)
    if case.final is not None:
        found += _compared(case, case.final, _left(case.query, rows), totals[-1], None)
    return Result(case, found, rows)


def _compared(
    case: Case, expected: Expected, written: Rows, total: Mapping[str, Any], step: int | None
) -> Iterator[Failure]:
    if expected.rows is not None:
        for stream in sorted({*expected.rows, *written} - case.ignore):
            wanted = expected.rows.get(stream, [])
            found = differences(wanted, written.get(stream, []), case.tolerance, case.exact)
            if found:
                columns = shown(case.query, stream, wanted, found)
                yield Failure(step, stream, expected, found, columns, case.exact)
    if expected.ledger is not None and (numbers := list(off(expected.ledger, total))):
        columns = ("aggregation", "rows_read", *TERMS)
        yield Failure(step, LEDGER, expected, numbers, columns, exact=False)
