"""Turns `/proc` into the tree of processes below one: CPU time and memory of each. Linux only."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A line of `/proc/PID/stat`: `start` tells apart two processes of one number.

    `cpu` is its own user and system time in seconds, `waited` that of its ended children which it
    has waited for; `memory` is what it has in RAM, in bytes, pages shared with others included.
    """

    pid: int
    parent: int
    start: int
    cpu: float
    waited: float
    memory: int


def tree(root: int) -> list[Process]:
    """A process, and below it all that live now."""
    found: list[Process] = []
    children: dict[int, list[Process]] = {}
    # Not by a pattern: one that looks for files fails at a process that has just ended.
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            process = _read(Path("/proc", name, "stat"))
            children.setdefault(process.parent, []).append(process)
            if process.pid == root:
                found.append(process)
    for process in found:
        found += children.get(process.pid, ())
    return found


def _read(path: Path) -> Process:
    # The name, in parentheses, may hold anything: the numbers follow the last one.
    values = path.read_text().rpartition(")")[2].split()
    second = os.sysconf("SC_CLK_TCK")
    return Process(
        pid=int(path.parent.name),
        parent=int(values[1]),
        start=int(values[19]),
        cpu=(int(values[11]) + int(values[12])) / second,
        waited=(int(values[13]) + int(values[14])) / second,
        memory=int(values[21]) * os.sysconf("SC_PAGE_SIZE"),
    )
