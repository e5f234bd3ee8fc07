"""Turns a PySpark streaming program into the same program with a trace of its batches beside.

    python -m benchmarks.tracing TRACE [--no-ledger] PROGRAM [ARGUMENT...]

PROGRAM is a module (`engine`) or a script (`….py`). TRACE takes JSON lines: `{"mark": …}` when a
function of `foreachBatch` has ended, with the CPU seconds of the process tree since its start;
`{"progress": …}`, Spark's own words about a batch; and at the end `{"end": …}`, what the JVM and
the stages of Spark's jobs took. It costs some milliseconds a batch. Of a worker that has ended the
CPU seconds are lost; Spark keeps its Python workers.

`--no-ledger` leaves out `DataFrame.observe`, and so the counts of the engine's ledger.
"""

import argparse
import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyspark import SparkContext
from pyspark.sql.classic.dataframe import DataFrame
from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.streaming.readwriter import DataStreamWriter

from benchmarks.processes import tree

_POLL_SECONDS = 5.0
"""Spark keeps the progress of a query's last 100 batches."""

_STAGE_TIMES = {
    # StageData's names; the unit is milliseconds after the division.
    "executorRunTime": 1,
    "executorCpuTime": 1_000_000,
    "jvmGcTime": 1,
    "shuffleWriteTime": 1_000_000,
    "shuffleFetchWaitTime": 1,
}


class Trace:
    """Follows the queries of this process; `install` puts it in their way."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._lock = threading.Lock()
        self._queries: list[StreamingQuery] = []
        self._told: set[tuple[str, int]] = set()
        self._ended = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True)

    def install(self) -> None:
        _around(DataStreamWriter, "foreachBatch", self._foreach_batch)
        _around(DataStreamWriter, "start", self._start)
        _around(SparkContext, "stop", self._stop)
        self._poller.start()

    def end(self) -> None:
        """Writes what is left; once, while there still is a context."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._poller.join()
        self._progress()
        if SparkContext._active_spark_context is not None:
            self._write("end", _jvm_times() | {"stages": _stages()})
        self._file.close()

    def _foreach_batch(self, original: Any, writer: Any, save: Callable[..., None]) -> Any:
        def marked(frame: Any, number: int) -> None:
            save(frame, number)
            cpu = sum(process.cpu + process.waited for process in tree(os.getpid()))
            self._write("mark", {"batch": number, "cpu": cpu, "at": time.time()})

        return original(writer, marked)

    def _start(self, original: Any, writer: Any, *arguments: Any, **more: Any) -> Any:
        query = original(writer, *arguments, **more)
        self._queries.append(query)
        return query

    def _stop(self, original: Any, context: Any) -> None:
        self.end()
        original(context)

    def _poll(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._progress()

    def _progress(self) -> None:
        for query in self._queries:
            for about in reversed(self._untold(query)):
                self._told.add((about["runId"], about["batchId"]))
                self._write("progress", about)

    def _untold(self, query: StreamingQuery) -> list[dict[str, Any]]:
        """The batches since the last look, the newest first."""
        found = []
        for progress in reversed(query._jsq.recentProgress()):
            about = json.loads(progress.json())
            if (about["runId"], about["batchId"]) in self._told:
                break
            # Without it there was no batch: Spark tells every ten seconds that it waits.
            if "addBatch" in about["durationMs"]:
                found.append(about)
        return found

    def _write(self, kind: str, value: Mapping[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps({kind: value}) + "\n")
            self._file.flush()


def _around(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda self, *given, **named: wrapper(original, self, *given, **named))


def _jvm_times() -> dict[str, int]:
    """Milliseconds that the JVM's collectors and its compiler took, all threads together."""
    beans: Any = SparkContext._jvm
    beans = beans.java.lang.management.ManagementFactory
    collectors = sum(bean.getCollectionTime() for bean in beans.getGarbageCollectorMXBeans())
    return {
        "gc_ms": collectors,
        "compiler_ms": beans.getCompilationMXBean().getTotalCompilationTime(),
    }


def _stages() -> dict[str, dict[str, int]]:
    """Milliseconds of tasks: of the stages that write a shuffle, and of those that end a job."""
    found: dict[str, dict[str, int]] = {}
    store = SparkContext._active_spark_context._jsc.sc().statusStore()  # type: ignore[union-attr]
    default = [getattr(store, f"stageList$default${place}")() for place in range(2, 6)]
    stages = store.stageList(None, *default)
    for index in range(stages.size()):
        stage = stages.apply(index)
        side = "shuffle_writing" if stage.shuffleWriteBytes() else "result"
        sums = found.setdefault(side, {**dict.fromkeys(_STAGE_TIMES, 0), "stages": 0})
        sums["stages"] += 1
        for name, divisor in _STAGE_TIMES.items():
            sums[name] += getattr(stage, name)() // divisor
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("benchmarks.tracing", description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--no-ledger", action="store_true")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    if options.no_ledger:
        _around(DataFrame, "observe", lambda original, frame, *counts: frame)
    trace = Trace(options.trace)
    trace.install()
    sys.argv = [options.program, *options.arguments]
    try:
        if options.program.endswith(".py"):
            runpy.run_path(options.program, run_name="__main__")
        else:
            runpy.run_module(options.program, run_name="__main__", alter_sys=True)
    finally:
        trace.end()


if __name__ == "__main__":
    main(sys.argv[1:])
