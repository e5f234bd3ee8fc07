"""A micro-batch becomes rows in the outputs and an entry in the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from engine import plan
from engine.alerts import Job as AlertJob
from engine.outputs import Batch, Job, Open, Stream
from engine.outputs._notices import Notices, Screen
from engine.plan import ALERTS, LATE, MALFORMED, RAW, stream_columns
from engine.runtime.analysis import Analyses, Written, held
from engine.runtime.checkpoint import Checkpoint
from engine.runtime.ledger import Ledger
from engine.runtime.progress import Progress
from engine.runtime.report import Report
from engine.runtime.stopping import Stopping
from engine.runtime.tables import Tables, TablesChanged
from engine.runtime.windows import Kept
from engine.spark.duplicates import PASSED
from engine.spark.logical import settled
from engine.spark.microbatch import MicroBatch
from engine.spark.query import LATEST, LEDGER, Compiled, compiled, counts
from engine.spark.second_pass import SecondPass
from engine.spark.sessions import REFUSED, Sessions
from engine.spark.side import side_frame, side_streams
from engine.spark.windows import final_us
from engine.spark.write import Route, Sinks, write


class OpenOutputs:
    """All outputs of a run, open."""

    def __init__(self, query: plan.Query, checkpoint: str, driver: str, notices: Notices) -> None:
        self.query = query
        self.checkpoint = checkpoint
        self.driver = driver
        self.notices = notices
        self.open: list[Open] = []
        self.store: Open | None = None
        self.screen: Screen | None = None
        self.alerts = AlertJob(query.name)
        try:
            if query.analysis is not None and any(
                each.method == "stdout" for each in query.analysis.targets
            ):
                self.screen = Screen(driver)
                self.alerts = AlertJob(query.name, self.screen.address)
            for output in query.outputs:
                self.open.append(output.target.open(self._job(output)))
        except BaseException:
            self.close()
            raise

    def history(self) -> Callable[[], Any] | None:
        """Makes readers of what the analysis asks: one of the outputs, or a store that is only
        asked; None where it asks nothing."""
        history = self.query.analysis.history if self.query.analysis is not None else None
        if history is None:
            return None
        for output, opened in zip(self.query.outputs, self.open, strict=True):
            if output.target is history.target:
                return opened.reader()
        if self.store is None:
            self.store = history.target.open(self._job(history))
        return self.store.reader()

    def begin(self, batch: Batch) -> Sinks:
        return Sinks(
            batch.id,
            tuple(each.begin(batch) for each in self.open),
            tuple(each.name for each in self.query.outputs),
            self.routes({MALFORMED: MALFORMED})[0],
        )

    def _job(self, output: plan.Output) -> Job:
        streams = tuple(_stream(self.query, name) for name in output.streams)
        name, address = self.query.name, self.notices.address
        return Job(name, output.name, self.checkpoint, self.driver, streams, address)

    def finish(self, batch: Batch) -> None:
        for each in self.open:
            each.finish(batch)

    def close(self) -> None:
        for each in (*self.open, *([self.store] if self.store is not None else [])):
            each.close()
        if self.screen is not None:
            self.screen.close()
        self.notices.close()

    def routes(self, columns: Mapping[str, str], removes: bool = False) -> list[Route]:
        """Where the rows of a frame's columns go; columns without an output are counted only."""
        return [
            Route(
                column,
                stream,
                _stream(self.query, stream),
                tuple(i for i, each in enumerate(self.query.outputs) if stream in each.streams),
                removes,
            )
            for column, stream in columns.items()
        ]

    def session_routes(self, sessions: Sessions) -> list[Route]:
        """As ``routes``; sessions that are no more go first, refused rows are counted only."""
        gone = self.routes(sessions.gone_columns(), removes=True)
        return [*gone, *self.routes(sessions.streams()), Route(REFUSED, REFUSED, None, ())]


def _stream(query: plan.Query, name: str) -> Stream:
    return Stream(name, stream_columns(query, name))


@dataclass
class Batches:
    """What ``foreachBatch`` calls, and what a static run does once."""

    spark: SparkSession
    query: plan.Query
    compiled: Compiled
    outputs: OpenOutputs
    ledger: Ledger
    progress: Progress
    report: Report
    stopping: Stopping
    tables: Tables
    checkpoint: Checkpoint | None = None
    is_first: bool = True
    #: Whether the plan is to be compiled again, with tables that have changed.
    is_stale: bool = False
    #: Both made at the first batch that needs them.
    analyses: Analyses | None = None
    second_pass: SecondPass | None = None

    def streaming(self, frame: DataFrame, number: int) -> None:
        """One micro-batch: a pass for the windows, a second for raw, broken and late rows."""
        self.stopping.refuse_batch()
        if self.tables.changed(self.progress.say):
            self.is_stale = True
            raise TablesChanged("a table has changed")
        began = time.monotonic()
        assert self.checkpoint is not None
        if self.is_first:
            self.ledger = self.checkpoint.ledger(number - 1) or Ledger.of(self.query)
        batch = Batch(number, replayed=self.is_first)
        self.is_first = False
        sinks = self.outputs.begin(batch)
        micro = MicroBatch.of(self.spark, frame)
        self._windows(micro, sinks)
        has_refused, passed = self._sessions(micro, sinks)
        values = {**micro.observed(LEDGER), **micro.observed(PASSED), **passed}
        late = {}
        if self.compiled.units:
            late = self._side(micro, values, has_refused or micro.has_refused(), sinks)
        self._entered(values, late)
        self.outputs.finish(batch)
        self.checkpoint.keep(number, self.ledger)
        self._tell(values, began)

    def _windows(self, micro: MicroBatch, sinks: Sinks) -> None:
        """Writes the windows of the micro-batch; where there are none, what is in their place."""
        compiled, frame = self.compiled, micro.frame
        routes = self.outputs.routes(compiled.streams)
        if not routes:
            return
        if compiled.derivation is None:
            with held(frame, self.query.analysis is not None) as windows:
                self._write(windows, routes, sinks)
                self._analyse(micro, windows, sinks)
            return
        assert self.checkpoint is not None
        kept = Kept(compiled.derivation, self.checkpoint, "windows")
        with kept.rows(frame, sinks.batch, micro.late_watermark_ms()) as joined:
            windows = compiled.derivation.written(joined)
            self._write(windows, routes, sinks)
            self._analyse(micro, windows, sinks)

    def _analyse(self, micro: MicroBatch, windows: DataFrame, sinks: Sinks) -> None:
        """Judges the windows of the micro-batch, which the outputs have by now."""
        if self.query.analysis is None:
            return
        watermark = micro.late_watermark_ms()
        final = final_us(watermark) if watermark is not None else None
        latest = micro.observed(LEDGER).get(LATEST)
        self._analyses().streaming(self._written(windows, sinks, latest, final))

    def _written(
        self, windows: DataFrame, sinks: Sinks, latest: int | None, final: int | None
    ) -> Written:
        columns = {stream: column for column, stream in self.compiled.streams.items()}
        routes = self.outputs.routes({ALERTS: ALERTS})
        write = partial(self._write, routes=routes, sinks=sinks)
        return Written(windows, columns, sinks.batch, write, latest, final)

    def _analyses(self) -> Analyses:
        if self.analyses is None:
            self.analyses = Analyses(
                self.query,
                self.outputs.history(),
                self.progress.say,
                self.outputs.alerts,
                self.checkpoint,
            )
        return self.analyses

    def _sessions(self, micro: MicroBatch, sinks: Sinks) -> tuple[bool, Mapping[str, int]]:
        """As ``_joined``, of the sessions of the micro-batch."""
        sessions = self.compiled.sessions
        if sessions is None:
            return False, {}
        assert self.checkpoint is not None
        fresh = micro.frame
        if self.compiled.streams:
            fresh = settled(self._second_pass().sessions(micro))
        kept = Kept(sessions, self.checkpoint, "sessions", comes_later=True)
        with kept.rows(fresh, sinks.batch, micro.late_watermark_ms()) as joined:
            return self._joined(sessions, joined, sinks)

    def _joined(
        self, sessions: Sessions, joined: DataFrame, sinks: Sinks
    ) -> tuple[bool, Mapping[str, int]]:
        """Writes sessions; gives whether any refused a row, and what the ledger must know of
        duplicates."""
        told = self._write(sessions.written(joined), self.outputs.session_routes(sessions), sinks)
        passed = sessions.passed(joined) if self.query.deduplicate is not None else {}
        return (REFUSED, "") in told, passed

    def begin_again(self) -> None:
        """Compiles the query with its tables as they are now; the batch that was refused is the
        first of the next stream."""
        self.query = self.tables.held(self.spark)
        self.compiled = compiled(self.spark, self.query, streaming=True)
        self.analyses = self.second_pass = None
        self.is_first, self.is_stale = True, False

    def static(self) -> None:
        """The whole input at once."""
        began = time.monotonic()
        batch = Batch(0, replayed=True)
        sinks = self.outputs.begin(batch)
        compiled, every = self.compiled, self.compiled.every_row
        sessions = compiled.sessions
        assert every is not None
        if compiled.streams:
            self._static_windows(sinks)
        passed: Mapping[str, int] = {}
        if sessions is not None:
            fresh = compiled.session_rows(every) if compiled.streams else compiled.frame
            _, passed = self._joined(sessions, sessions.joined(fresh, None, None), sinks)
        observed = [each.get for each in compiled.observations]
        values = {name: int(value) for each in (*observed, passed) for name, value in each.items()}
        wanted = self._wanted(values, is_late=False)
        if compiled.units and wanted:
            frame = side_frame(every, self.query, compiled.units, None, wanted)
            self._write_side(frame, wanted, sinks)
        self._entered(values, {})
        self.outputs.finish(batch)
        self._tell(values, began)

    def _static_windows(self, sinks: Sinks) -> None:
        compiled = self.compiled
        with held(compiled.static_rows(), self.query.analysis is not None) as windows:
            self._write(windows, self.outputs.routes(compiled.streams), sinks)
            if self.query.analysis is not None:
                latest = compiled.observations[0].get.get(LATEST)
                self._analyses().static(self._written(windows, sinks, latest, None))

    def _write(
        self, frame: DataFrame, routes: Sequence[Route], sinks: Sinks
    ) -> Mapping[tuple[str, str], int]:
        """Writes the streams; gives the rows of each, by (stream, aggregation)."""
        written = write(frame, routes, sinks)
        self.ledger.refuse(written.refused)
        return written.rows

    def _tell(self, values: Any, began: float) -> None:
        self.progress.batch(values.get("rows", 0), time.monotonic() - began, self.ledger)
        self.report.batch(self.ledger)

    def _entered(self, values: Any, late: dict[str, int]) -> None:
        found = counts({"rows": 0, "malformed": 0, **values}, self.compiled.units)
        self.ledger.add(found.rows, found.malformed, found.aggregations, late)

    def _side(
        self,
        micro: MicroBatch,
        values: Any,
        has_refused: bool,
        sinks: Sinks,
    ) -> dict[str, int]:
        """Writes the streams beside the windows; gives the late rows by aggregation."""
        watermark = micro.late_watermark_ms() if has_refused else None
        wanted = self._wanted(values, is_late=watermark is not None)
        if not wanted:
            return {}
        return self._write_side(self._second_pass().side(micro, wanted, watermark), wanted, sinks)

    def _second_pass(self) -> SecondPass:
        if self.second_pass is None:
            self.second_pass = SecondPass(self.query, self.compiled)
        return self.second_pass

    def _wanted(self, values: Any, is_late: bool) -> frozenset[str]:
        """The side streams of this batch: those that are taken and have rows, and late ones always,
        because the ledger counts them."""
        wanted = {LATE} if is_late else set()
        if self.query.takes(RAW):
            wanted.add(RAW)
        if self.query.takes(MALFORMED) and values.get("malformed", 0):
            wanted.add(MALFORMED)
        return frozenset(wanted)

    def _write_side(self, frame: DataFrame, wanted: frozenset[str], sinks: Sinks) -> dict[str, int]:
        told = self._write(frame, self.outputs.routes(side_streams(wanted)), sinks)
        return {name: rows for (stream, name), rows in told.items() if stream == LATE}
