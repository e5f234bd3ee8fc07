"""A checked plan runs: until stopped, until its input is drained, or over a static frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine import plan
from engine.check.places import Places
from engine.inputs import InputError
from engine.outputs import OutputError
from engine.runtime.changes import near
from engine.runtime.checkpoint import Checkpoint, MisfitError, reset
from engine.runtime.failure import ConfigError, RunError, sentence
from engine.runtime.fingerprint import fingerprint
from engine.runtime.ledger import Ledger
from engine.runtime.misfit import Reason
from engine.runtime.report import Report
from engine.runtime.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

STREAM, ONCE, BATCH = "stream", "once", "batch"
DONE, FAILED, MISTAKE = 0, 1, 2


@dataclass(frozen=True)
class Run:
    """What a user asked for.

    Args:
        mode: ``stream`` (until stopped), ``once`` (drain and stop), ``batch`` (static).
        folder: the config's.
        checkpoint: a folder or URL; None is the default one, beside the config.
        jars: a folder of jars to take before any are fetched.
        reset: deletes what the checkpoint holds, and begins anew.
        places: where the parts of the config stand.
    """

    query: plan.Query
    mode: str
    folder: str
    checkpoint: str | None = None
    master: str | None = None
    report: str | None = None
    jars: str | None = None
    reset: bool = False
    places: Places | None = None

    @property
    def checkpoint_folder(self) -> str:
        if self.checkpoint is not None:
            return self.checkpoint if "://" in self.checkpoint else os.path.abspath(self.checkpoint)
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.query.name)
        return os.path.abspath(os.path.join(self.folder, f"{safe}.checkpoint"))


def run(asked: Run) -> int:
    """Runs, prints the balance, writes the report; gives the exit status."""
    return told(_Running(asked).run)


def ledger(asked: Run, report: Report | None = None) -> Ledger:
    """Runs, and gives the balance; raises what ``told`` tells.

    Args:
        report: hears of the balance after each micro-batch; as ``asked`` says when absent.
    """
    return _Running(asked, report).ledger()


def told(action: Callable[[], int]) -> int:
    """The exit status of what runs; of what goes wrong, and a sentence on stderr."""
    from engine.spark.session import SparkUnavailable, log_file

    try:
        return action()
    except SparkUnavailable as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say("stopped at once; the batch that was under way is read again by the next run")
    except (OutputError, RunError) as error:
        _say(str(error))
    except InputError as error:
        _say(f"input: {error}")
    except (MisfitError, ConfigError) as error:
        _say(str(error))
        return MISTAKE
    except Exception as error:
        _say(f"the run failed: {sentence(error, log_file())}")
    return FAILED


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Running:
    def __init__(self, asked: Run, report: Report | None = None) -> None:
        self.asked = asked
        self.query = asked.query
        self.report = report or Report(asked.report, asked.query.name, asked.mode)

    def run(self) -> int:
        ledger = self.ledger()
        self.report.end(ledger)
        _say(ledger.text(self.query))
        self._say_where()
        return DONE if ledger.is_balanced else FAILED

    def ledger(self) -> Ledger:
        from engine.runtime.stopping import Stopping

        stopping = Stopping()
        with closing(Tables(self.query)) as tables:
            spark = self._session()
            # Behind the session: a context that starts takes Ctrl-C for itself.
            with stopping.on_signals():
                if self.asked.mode == BATCH:
                    return self._batch(spark, tables)
                return self._stream(spark, tables, stopping)

    def _session(self) -> SparkSession:
        from engine.spark.session import session
        from engine.spark.shipping import ship

        settings: dict[str, str] = dict(self.query.spark)
        if self.asked.jars:
            os.environ["TS_ENGINE_JARS"] = self.asked.jars
        spark = session(
            f"ts-engine {self.query.name}",
            settings=settings,
            master=self.asked.master,
            checkpoint=None if self.asked.mode == BATCH else self.asked.checkpoint_folder,
            needs_kafka=self.query.input.source.needs_kafka,
        )
        ship(spark, self.query.packages)
        return spark

    def _batches(
        self, spark: SparkSession, tables: Tables, identity: str, streaming: bool, **more: Any
    ) -> Any:
        from engine.outputs._notices import Notices
        from engine.runtime.batches import Batches, OpenOutputs
        from engine.runtime.progress import Progress
        from engine.spark.query import compiled

        query = tables.held(spark)
        try:
            made = compiled(spark, query, streaming)
        except ValueError as error:  # a pattern or format that only the JVM can judge
            raise ConfigError(str(error)) from None
        host = spark.conf.get("spark.driver.host", "127.0.0.1") or "127.0.0.1"
        prints = any(each.method == "stdout" for each in self.query.outputs)
        progress = Progress.on_screen(prints, getattr(self.query.input.source, "count", None))
        return Batches(
            spark,
            query,
            made,
            OpenOutputs(self.query, identity, host, Notices(host, progress.say)),
            Ledger.of(self.query),
            progress,
            self.report,
            tables=tables,
            **more,
        )

    def _batch(self, spark: SparkSession, tables: Tables) -> Ledger:
        from engine.runtime.stopping import Stopping

        name = f"batch {self.query.name}"
        batches = self._batches(spark, tables, name, False, stopping=Stopping())
        try:
            batches.static()
        finally:
            batches.progress.close()
            batches.outputs.close()
        ledger: Ledger = batches.ledger
        return ledger

    def _stream(self, spark: SparkSession, tables: Tables, stopping: Any) -> Ledger:
        folder = self.asked.checkpoint_folder
        try:
            if self.asked.reset:
                _say(reset(folder, spark))
            checkpoint = Checkpoint.open(folder, spark, fingerprint(self.query))
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise RunError(f"the checkpoint {folder} cannot be written to: {told}") from None
        except MisfitError as error:
            raise MisfitError("\n".join([*map(self._placed, error.reasons), str(error)])) from None
        if checkpoint.changes:
            _say(checkpoint.changes)
        batches = self._batches(
            spark, tables, checkpoint.id, True, stopping=stopping, checkpoint=checkpoint
        )
        batches.ledger = checkpoint.last() or batches.ledger
        try:
            self.report.begin(batches.ledger)
            self._wait(self._started(batches), batches, stopping)
            while batches.is_stale:
                batches.begin_again()
                self._wait(self._started(batches), batches, stopping)
        finally:
            batches.progress.close()
            batches.outputs.close()
        ledger: Ledger = batches.ledger
        return ledger

    def _placed(self, reason: Reason) -> str:
        """Why a checkpoint does not fit, at its place in the config where that is known."""
        places = self.asked.places
        return places.problem(reason.message, reason.about).text() if places else reason.message

    def _started(self, batches: Any) -> StreamingQuery:
        writer = batches.compiled.frame.writeStream.outputMode(
            "update" if batches.compiled.units else "append"
        )
        writer = writer.option("checkpointLocation", self.asked.checkpoint_folder)
        if self.asked.mode == ONCE:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{self.query.batch_ms} milliseconds")
        query: StreamingQuery = writer.foreachBatch(batches.streaming).start()
        return query

    def _wait(self, query: StreamingQuery, batches: Any, stopping: Any) -> None:
        """Waits for the end; asked to stop, or out of rows, it stops between two batches."""
        from pyspark.errors import StreamingQueryException

        count = getattr(self.query.input.source, "count", None)
        try:
            # The stub says int; the method takes fractions of a second.
            while not query.awaitTermination(0.2):  # type: ignore[arg-type]
                batches.progress.tell()
                self.report.tell(batches.outputs.notices.waiting)
                if count is not None and batches.ledger.rows >= count:
                    stopping.wanted.set()
                if stopping.wanted.is_set() and not query.status["isTriggerActive"]:
                    query.stop()
                    return
        except StreamingQueryException as error:
            if "StopRequested" in str(error) or batches.is_stale:
                return
            if stopping.wanted.is_set():
                # What ends all processes at once ends those too that the batch was waiting for.
                _say("the batch that was under way did not end; it is read again by the next run")
            raise

    def _say_where(self) -> None:
        for output in self.query.outputs:
            if (place := output.target.place()) is not None:
                _say(f"results: {place} ({', '.join(output.streams)})")
        if self.asked.mode != BATCH:
            _say(f"checkpoint: {near(self.asked.checkpoint_folder)}")
