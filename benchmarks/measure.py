"""Turns a command into what it cost: CPU seconds of its whole process tree, and wall seconds.

A Spark job is a tree: Python, its JVM, the JVM's Python daemon, the daemon's workers. Python ends
without waiting for its JVM, which would take the JVM's CPU time out of every account. So this
process becomes a *subreaper*: whoever loses its parent becomes its child, and is waited for; then
the kernel's `RUSAGE_CHILDREN` holds the user and system time of whoever has been waited for. Not
in it are the children of a process that ignores SIGCHLD, as pyspark's daemon does: nobody waits for
its workers (of 140 CPU seconds of W1 over an RDD they take 102). Their time is sampled. Linux only.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import tree

_PR_SET_CHILD_SUBREAPER = 36
_LOG_LINES = 30
_SAMPLE_SECONDS = 0.1
"""How often workers are looked at, and the most that is lost of each when it ends."""


@dataclass(frozen=True)
class Cost:
    """What a run took, in seconds.

    `cpu` is user and system time of the whole tree; `wall` ends with the command's own process;
    `first` is the time to the first awaited line on stdout, None where no line was awaited.
    """

    cpu: float
    wall: float
    first: float | None = None


class RunFailedError(Exception):
    """A contender failed, took too long, or has other results than it should."""


def measure(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    awaited: Callable[[str], bool] | None = None,
    limit: float = 3600.0,
) -> Cost:
    """Runs a command to its end, and the end of everything that it started.

    Args:
        command: the program and its arguments.
        log: the file that takes stdout and stderr.
        environment: variables added to this process's own.
        awaited: tells whether a line of stdout is the one whose time is to be taken.
        limit: seconds after which the whole tree is killed.

    Raises:
        RunFailedError: the exit status is not 0, the limit has passed, or no awaited line came.
    """
    _become_subreaper()
    # A server that the benchmark has started runs on.
    others = frozenset(_children())
    before = _cpu_of_children()
    log.write_text("")
    start = time.perf_counter()
    with log.open("a") as errors:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    first: list[float] = []

    def follow() -> None:
        assert process.stdout is not None
        with log.open("a") as copy:
            for line in process.stdout:
                if awaited is not None and not first and awaited(line):
                    first.append(time.perf_counter() - start)
                copy.write(line)

    follower = threading.Thread(target=follow)
    follower.start()
    unwaited = _Unwaited()
    try:
        status = process.wait(limit)
        wall = time.perf_counter() - start
        for pid in _orphans(others, deadline=start + limit):
            unwaited.forget(pid)
    except (subprocess.TimeoutExpired, TimeoutError):
        raise RunFailedError(f"{command}: not done after {limit:.0f} s; see {log}") from None
    finally:
        _kill_children(others)
        follower.join()
        unwaited.stop()
    if status != 0:
        tail = "".join(log.read_text().splitlines(keepends=True)[-_LOG_LINES:])
        raise RunFailedError(f"{command}: exit status {status}; the end of {log}:\n{tail}")
    if awaited is not None and not first:
        raise RunFailedError(f"{command}: the awaited line never came; see {log}")
    cpu = _cpu_of_children() - before + unwaited.seconds()
    return Cost(cpu, wall, first[0] if first else None)


class _Unwaited:
    """Samples the CPU time of descendants whose parent ignores SIGCHLD."""

    def __init__(self) -> None:
        self._cpu: dict[tuple[int, int], float] = {}
        self._waited: set[int] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def forget(self, pid: int) -> None:
        """Takes out a process that was waited for after all, its parent having ended before it."""
        self._waited.add(pid)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def seconds(self) -> float:
        return sum(cpu for (pid, _), cpu in self._cpu.items() if pid not in self._waited)

    def _sample(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            for process in tree(os.getpid())[1:]:
                if process.parent != os.getpid() and _ignores_sigchld(process.parent):
                    self._cpu[process.pid, process.start] = process.cpu


def _ignores_sigchld(pid: int) -> bool:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGCHLD - 1) & 1)
    return False


def _become_subreaper() -> None:
    if not sys.platform.startswith("linux"):
        raise RunFailedError("the CPU time of a whole process tree can be measured on Linux only")
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise RunFailedError(f"prctl: {os.strerror(ctypes.get_errno())}")


def _cpu_of_children() -> float:
    """User and system seconds of all descendants that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _orphans(others: Set[int], deadline: float) -> Iterator[int]:
    """Waits until this process has no children left but others, and gives each one's number.

    Raises:
        TimeoutError: the deadline, a time of `perf_counter`, has passed.
    """
    while left := set(_children()) - others:
        ended = {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
        yield from ended
        if not ended:
            if time.perf_counter() > deadline:
                raise TimeoutError
            time.sleep(0.05)


def _kill_children(others: Set[int]) -> None:
    """Kills what is left, by generations: a killed process leaves its children to this one."""
    while children := set(_children()) - others:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]
