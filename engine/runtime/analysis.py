"""The windows that a micro-batch has written become alerts: told, and kept in the checkpoint.

As all that is kept, the states of alarms and the alerts that nobody has taken yet are in a folder
of the micro-batch's number, made from that of the one before it: a batch that is replayed makes the
same alerts, with the same ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from engine import plan
from engine.alerts import Job
from engine.plan import ALERTS
from engine.runtime.checkpoint import KEPT, Checkpoint, Files
from engine.spark.alarms import alarmed
from engine.spark.carried import carried, fitted, without_known
from engine.spark.delivery import REASON, TARGET, WAITING, alert_rows, deliver, waiting
from engine.spark.judging import ALERT, FAILED, KIND, TEXT, Judging
from engine.spark.kept import keep, kept

#: The name of its folder in the checkpoint.
_FOLDER = "analysis"
#: Before anything that is dated.
_NEVER_US = -(2**62)


@dataclass(frozen=True)
class Written:
    """What a micro-batch has written.

    Args:
        frame: a struct column for each stream; it is read once for each aggregation.
        columns: stream -> its column.
        batch: the number.
        write: writes a frame with the column ``alerts`` to the outputs that take it.
        latest_us: the latest event time of its rows, in microseconds; None without rows.
        final_us: windows that end there or before cannot change any more.
    """

    frame: DataFrame
    columns: dict[str, str]
    batch: int
    write: Callable[[DataFrame], Any]
    latest_us: int | None
    final_us: int | None


@dataclass
class Analyses:
    """The analysis of a compiled query: the same for all of its micro-batches.

    Args:
        history: makes readers of the output that answers; None where nothing is asked.
        say: for people.
        job: what targets of alerts know.
        checkpoint: None in batch: then nothing is kept, all windows are complete and final, and
            alerts are only written: what happened long ago alarms nobody.
    """

    query: plan.Query
    history: Callable[[], Any] | None
    say: Callable[[str], None]
    job: Job
    checkpoint: Checkpoint | None = None
    judgings: list[Judging] = field(init=False)
    targets: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        assert self.query.analysis is not None
        judged = {rule.aggregation for rule in self.query.analysis.rules}
        self.judgings = [
            Judging(self.query, each) for each in self.query.aggregations if each.name in judged
        ]
        self.targets = {each.name: each for each in self.query.analysis.targets}

    def streaming(self, written: Written) -> None:
        """Judges what a micro-batch has written, and tells it."""
        before, progress = self._progress(written)
        begins = before == _NEVER_US != progress
        alerts = []
        for judging in self.judgings:
            told, count = self._kept(judging, written, progress, begins)
            if count:
                alerts.append(told)
        self._deliver(written, alerts)
        self._files.remove(f"{_FOLDER}/{written.batch - KEPT}")

    def static(self, written: Written) -> None:
        """Judges all windows there are."""
        for judging in self.judgings:
            windows = _windows(judging, written)
            latest = _NEVER_US if written.latest_us is None else written.latest_us
            judged = judging.judged(windows, _missed(judging, windows), None, self.history)
            found = alarmed(judged, judging, latest, None)
            if self.query.takes(ALERTS):
                written.write(alert_rows(found.filter(F.col(KIND) == ALERT), TEXT))

    def _progress(self, written: Written) -> tuple[int, int]:
        """The latest event time of all batches before this one, and with it."""
        text = self._files.read(f"{_FOLDER}/{written.batch - 1}/progress")
        before = _NEVER_US if text is None else int(text)
        now = max(before, _NEVER_US if written.latest_us is None else written.latest_us)
        self._files.write(f"{_FOLDER}/{written.batch}/progress", str(now))
        return before, now

    def _kept(
        self, judging: Judging, written: Written, progress_us: int, begins: bool
    ) -> tuple[DataFrame, int]:
        """Judges the windows of one aggregation; gives the alerts, and how many there are.

        Args:
            begins: whether this is the first batch with a row.
        """
        changed = _windows(judging, written)
        name = _name(judging)
        folder = self._folder(written.batch, name)
        before = self._before(judging, changed, written.batch - 1, progress_us, begins)
        schema = judging.schema(changed.schema)
        about = {"checks": judging.checks, "schema": schema.jsonValue()}
        self._files.write(f"{_FOLDER}/{written.batch}/{name}.about", json.dumps(about))
        judged = judging.judged(changed, before, progress_us, self.history)
        final = _NEVER_US if written.final_us is None else written.final_us
        counted = Observation("alerts")
        found = alarmed(judged, judging, progress_us, final)
        keep(found.observe(counted, *_counts()), folder)
        if failed := int(counted.get.get("failed") or 0):
            times = "" if failed == 1 else f" ({failed} times in this batch)"
            self.say(f"{counted.get['why']}{times}")
        found = kept(changed.sparkSession, folder, schema)
        return found.filter(F.col(KIND) == ALERT), int(counted.get.get("alerts") or 0)

    def _before(
        self, judging: Judging, changed: DataFrame, batch: int, progress_us: int, begins: bool
    ) -> DataFrame | None:
        """What a batch has kept of the windows of an aggregation, and the keys that are expected
        and not known; None where there is neither."""
        name, now = _name(judging), judging.checks
        text = self._files.read(f"{_FOLDER}/{batch}/{name}.about")
        if text is None:
            is_dated = begins or progress_us != _NEVER_US
            return judging.expected(changed, progress_us) if is_dated else None
        about, schema = json.loads(text), judging.schema(changed.schema)
        held, checks = StructType.fromJson(about["schema"]), about["checks"]
        found = kept(changed.sparkSession, self._folder(batch, name), held)
        expected = None
        if begins or not set(now) <= set(checks):
            expected = judging.expected(changed, progress_us)
        if held != schema:
            found = fitted(found, schema)
        if checks != now:
            found = carried(found, checks, now, judging.start(progress_us))
        if expected is not None:
            found = found.unionByName(without_known(expected, found, judging.keys))
        return found

    def _deliver(self, written: Written, alerts: Sequence[DataFrame]) -> None:
        """Writes and sends alerts, and those that are still on their way."""
        if alerts and self.query.takes(ALERTS):
            rows = [alert_rows(each, TEXT) for each in alerts]
            written.write(reduce(DataFrame.unionByName, rows))
        spark = written.frame.sparkSession
        going = [waiting(each, TEXT, list(self.targets)) for each in alerts if self.targets]
        if self._has(written.batch - 1, "waiting"):
            folder = self._folder(written.batch - 1, "waiting")
            going.append(kept(spark, folder, WAITING))
        if not going:
            self._files.remove(f"{_FOLDER}/{written.batch}/waiting")
            return
        left = deliver(reduce(DataFrame.unionByName, going), self.targets, self.job)
        counted = Observation("waiting")
        folder = self._folder(written.batch, "waiting")
        keep(left.observe(counted, *_undelivered()), folder)
        if number := int(counted.get.get("partly") or 0):
            self.say(f"{_alerts(number)} did not reach everybody: {counted.get['partly_why']}")
        if number := int(counted.get.get("rows") or 0):
            self.say(f"{_alerts(number)} could not be delivered yet: {counted.get['why']}")
        else:
            self._files.remove(f"{_FOLDER}/{written.batch}/waiting")

    @property
    def _files(self) -> Files:
        assert self.checkpoint is not None
        return self.checkpoint.files

    def _has(self, batch: int, name: str) -> bool:
        return self._files.exists(f"{_FOLDER}/{batch}/{name}")

    def _folder(self, batch: int, name: str) -> str:
        return f"{self._files.folder}/{_FOLDER}/{batch}/{name}"


def _counts() -> list[Column]:
    """Of what ``alarmed`` gives: the alerts, and what users' classes have raised."""
    failed = F.col(KIND) == FAILED
    return [
        F.count_if(F.col(KIND) == ALERT).alias("alerts"),
        F.count_if(failed).alias("failed"),
        F.first(F.when(failed, F.col(TEXT)), ignorenulls=True).alias("why"),
    ]


def _undelivered() -> list[Column]:
    """Of what ``deliver`` gives: the alerts that are sent again, and those that some have."""
    is_kept = F.col(TARGET).isNotNull()
    return [
        F.count_if(is_kept).alias("rows"),
        F.first(F.when(is_kept, F.col(REASON)), ignorenulls=True).alias("why"),
        F.count_if(~is_kept).alias("partly"),
        F.first(F.when(~is_kept, F.col(REASON)), ignorenulls=True).alias("partly_why"),
    ]


def _alerts(number: int) -> str:
    return f"{number} alert{'' if number == 1 else 's'}"


def _windows(judging: Judging, written: Written) -> DataFrame:
    return judging.windows(written.frame, written.columns[judging.aggregation.name])


def _missed(judging: Judging, windows: DataFrame) -> DataFrame | None:
    """The keys that are expected from the first window on."""
    (first,) = windows.agg(F.unix_micros(F.min(plan.WINDOW_START)).alias("first")).collect()
    return None if first["first"] is None else judging.expected(windows, first["first"])


def _name(judging: Judging) -> str:
    """Of an aggregation's folder."""
    return hashlib.sha256(judging.aggregation.name.encode()).hexdigest()[:12]


@contextmanager
def held(frame: DataFrame, wanted: bool) -> Iterator[DataFrame]:
    """The frame, computed once, where it is read several times."""
    if not wanted:
        yield frame
        return
    kept_ = frame.persist()
    try:
        yield kept_
    finally:
        kept_.unpersist()
