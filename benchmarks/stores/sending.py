"""Processes that send windows become the rate of all of them, and the CPU seconds they took."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from benchmarks.measure import RunFailedError
from engine.outputs import Batch, Job, Stream, Target
from engine.plan import Column
from engine.types import Type

STREAM = Stream(
    "plant",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("window_end", Type.TIMESTAMP, "time"),
        Column("sensor", Type.STRING, "key"),
        Column("n", Type.LONG, "measure"),
        Column("mean", Type.DOUBLE, "measure"),
    ),
)
_TIME = pa.timestamp("us", tz="UTC")
_START_US = 1_767_225_600_000_000
#: As Spark hands them over.
_ROWS = 10_000
#: Seconds that all processes have to make ready.
_READY = 600


@dataclass(frozen=True)
class Sent:
    """What a contender took: rows in a second, CPU seconds of its own for a million rows."""

    rate: float
    cpu: float


def sent(work: Callable[..., None], target: Target, rows: int, series: int, processes: int) -> Sent:
    """The rate of as many processes, from the moment when all are ready.

    Args:
        work: takes the target, the first row's number, how many rows, the series, a barrier to wait
            at before the clock runs, and a queue for the CPU seconds behind it.
    """
    spawning = multiprocessing.get_context("spawn")
    ready, told = spawning.Barrier(processes + 1), spawning.SimpleQueue()
    share = rows // processes
    senders = [
        spawning.Process(target=work, args=(target, at * share, share, series, ready, told))
        for at in range(processes)
    ]
    for each in senders:
        each.start()
    ready.wait(_READY)
    began = time.monotonic()
    _joined(senders, work)
    seconds = time.monotonic() - began
    return Sent(rows / seconds, sum(told.get() for _ in senders) / rows * 1e6)


def write(target: Target, first: int, count: int, series: int, ready: Any, told: Any) -> None:
    """The engine's way: Arrow batches to a task's writer."""
    made = list(batches(first, count, series))
    writer = target.open(job(target)).begin(Batch(0))(0)
    ready.wait(_READY)
    began = cpu()
    for each in made:
        writer.write(STREAM, each)
    writer.settle()
    assert not writer.refused()
    writer.commit()
    told.put(cpu() - began)


def job(target: Target) -> Job:
    return Job("benchmark", target.METHOD, "", "", (STREAM,))


def cpu() -> float:
    """CPU seconds of this process until now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def batches(first: int, count: int, series: int) -> Iterator[pa.RecordBatch]:
    """Windows of ten seconds, all series of one behind each other."""
    for start in range(first, first + count, _ROWS):
        numbers = range(start, min(start + _ROWS, first + count))
        times = [_START_US + each // series * 10_000_000 for each in numbers]
        columns = [
            pa.array(times, _TIME),
            pa.array([each + 10_000_000 for each in times], _TIME),
            pa.array([f"sensor-{each % series}" for each in numbers]),
            pa.array(list(numbers), pa.int64()),
            pa.array([each * 0.37 for each in numbers]),
        ]
        yield pa.RecordBatch.from_arrays(columns, [each.name for each in STREAM.columns])


def warm_rate(contender: Any, where: Any, processes: int, numbers: range, size: int) -> float:
    """What all processes send in a second, from the first one's start to the last one's end.

    Args:
        contender: takes where to, the process' number and the batches' numbers; sends the first
            batch, and gives what sends the others.
        size: of a batch.
    """
    start, ends = multiprocessing.Barrier(processes), multiprocessing.Queue()
    senders = [
        multiprocessing.Process(target=_timed, args=(contender, where, at, numbers, start, ends))
        for at in range(processes)
    ]
    for each in senders:
        each.start()
    _joined(senders, contender)
    times = [ends.get() for _ in senders]
    seconds: float = max(end for _, end in times) - min(began for began, _ in times)
    return processes * (len(numbers) - 1) * size / seconds


def _timed(contender: Any, where: Any, process: int, numbers: range, start: Any, ends: Any) -> None:
    run = contender(where, process, numbers)
    start.wait(_READY)
    began = time.time()
    run()
    ends.put((began, time.time()))


def _joined(senders: Any, work: Callable[..., Any]) -> None:
    for each in senders:
        each.join()
    if any(each.exitcode for each in senders):
        raise RunFailedError(f"{work.__name__}: a process ended with an error")
