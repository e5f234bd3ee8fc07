"""Outputs: each module is one ``method``, a dataclass of its options and how rows are written.

An output has two sides. ``Target.open`` gives the driver's: it prepares what is written to, and is
told when a micro-batch begins and ends. The factory that ``begin`` gives goes to the executors,
where each task makes a ``Writer`` and hands it the rows of its partition as Arrow batches: rows
never pass the driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from engine.plan import Column

if TYPE_CHECKING:
    import pyarrow as pa

Say = Callable[[str, str, str], None]


class OutputError(Exception):
    """An output that cannot go on: a sentence for the user."""


@dataclass(frozen=True)
class Stream:
    """A stream that an output takes: its name and its columns, in order."""

    name: str
    columns: tuple[Column, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.role == "key")

    @property
    def is_windowed(self) -> bool:
        """Whether a row is a window's, to be replaced when the window changes."""
        return any(column.role == "measure" for column in self.columns)


@dataclass(frozen=True)
class Job:
    """What an output may know of the run.

    Args:
        name: the config's.
        output: the output's own name, for messages.
        checkpoint: tells this run's checkpoint from any other; the same after a restart.
        driver: the host at which executors reach the driver.
        streams: what this output takes.
    """

    name: str
    output: str
    checkpoint: str
    driver: str
    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Batch:
    """A micro-batch; ``replayed`` where an earlier run may have written a part of it already."""

    id: int
    replayed: bool = False


class Writer(Protocol):
    """The side of one task. ``commit`` comes once, when all of its rows have been handed over.

    ``remove`` names windows that are no more, by ``window_start`` and the keys: sessions that have
    become a part of another one. No window of that start is written in the same batch.
    """

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None: ...
    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...


#: Makes a writer for a partition. It is pickled, and called on the executors.
Factory = Callable[[int], Writer]


class Open(Protocol):
    """The driver's side of an output while a run lasts.

    Raises:
        OutputError: by any of them, where the output cannot go on.
    """

    def begin(self, batch: Batch) -> Factory: ...
    def finish(self, batch: Batch) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """The options of an output."""

    #: Whether the engine can write there; the options are checked all the same.
    RUNS: ClassVar[bool] = True
    #: Whether a row that was written can be taken back: sessions need that.
    REMOVES: ClassVar[bool] = True
    #: Whether it can answer the analysis' questions about the past.
    ANSWERS: ClassVar[bool] = False

    def check(self, say: Say) -> None:
        """Tells the problems that only this output can know."""

    def open(self, job: Job) -> Open:
        """Prepares the output on the driver.

        Raises:
            OutputError: it cannot be written to.
        """
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """What ``explain`` tells of this output, secrets left out."""
        return {}

    def place(self) -> str | None:
        """Where a person finds the rows when a run has ended; None where that is plain."""
        return None
