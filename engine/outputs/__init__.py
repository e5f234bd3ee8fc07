"""Outputs: each module is one ``method``, a dataclass of its options and how rows are written.

An output has two sides. ``Target.open`` gives the driver's: it prepares what is written to, and is
told when a micro-batch begins and ends. The factory that ``begin`` gives goes to the executors,
where each task makes a ``Writer`` and hands it the rows of its partition as Arrow batches: rows
never pass the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from engine.plan import WINDOW_START, Column

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.outputs._notices import Address

Say = Callable[[str, str, str], None]

#: What becomes of a row that a server refuses for good: it goes to ``malformed``, or the run stops.
MALFORMED, STOP = "malformed", "stop"


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
    def measures(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.role == "measure")

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells a window's row from any other: the keys and the start."""
        return (*self.keys, WINDOW_START)

    @property
    def answer(self) -> tuple[Column, ...]:
        """The columns of what a ``Reader`` finds: the start and the measures."""
        return tuple(
            column
            for column in self.columns
            if column.role == "measure" or column.name == WINDOW_START
        )

    @property
    def is_windowed(self) -> bool:
        """Whether a row is a window's, to be replaced when the window changes."""
        return bool(self.measures)


@dataclass(frozen=True)
class Job:
    """What an output may know of the run.

    Args:
        name: the config's.
        output: the output's own name, for messages.
        checkpoint: tells this run's checkpoint from any other; the same after a restart.
        driver: the host at which executors reach the driver.
        streams: what this output takes.
        notices: where tasks tell what they wait for; None: nobody listens.
    """

    name: str
    output: str
    checkpoint: str
    driver: str
    streams: tuple[Stream, ...]
    notices: Address | None = None

    @property
    def run(self) -> str:
        """A short name for the rows of this output by this checkpoint."""
        import hashlib

        return hashlib.sha256(f"{self.checkpoint} {self.output}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Batch:
    """A micro-batch; ``replayed`` where an earlier run may have written a part of it already."""

    id: int
    replayed: bool = False


@dataclass(frozen=True)
class Refused:
    """A row that a server refuses, whatever is tried.

    Args:
        record: the row as text, as a person would look for it.
        reason: the server's.
    """

    record: str
    reason: str


class Writer:
    """The side of one task.

    ``write`` and ``remove`` may keep rows back; ``settle`` is called when all have been handed
    over, and sends what is left. ``refused`` is asked after each of them. ``commit`` comes once,
    when every output of the task has settled.
    """

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        """Takes rows of a stream.

        Raises:
            OutputError: by this and all others, where the output cannot go on.
        """
        raise NotImplementedError

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        """Takes back windows that are no more, told by ``window_start`` and the keys: sessions that
        have become a part of another one. No window of that start is written in the same batch."""
        raise NotImplementedError

    def settle(self) -> None:
        """Sends what was kept back."""

    def refused(self) -> list[Refused]:
        """The rows that the server has refused since this was asked last."""
        return []

    def commit(self) -> None:
        """Makes what was written last."""

    def abort(self) -> None:
        """Gives up; what was written is written again by the next attempt."""


#: Makes a writer for a partition. It is pickled, and called on the executors.
Factory = Callable[[int], Writer]


class Reader(Protocol):
    """What an output knows of the past; asked on the executors."""

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        """The windows nearest to those asked for, all in one go or a few.

        Args:
            asked: the stream's keys and a ``window_start``, a row for each window.
            accuracy_ms: how far from the asked one a window's start may be.

        Returns:
            ``window_start`` and the measures, a row for each row of ``asked``, nulls where there is
            no window.
        """
        ...

    def close(self) -> None: ...


class Open:
    """The driver's side of an output while a run lasts.

    Raises:
        OutputError: by any of its methods, where the output cannot go on.
    """

    def begin(self, batch: Batch) -> Factory:
        """A micro-batch begins; what an earlier attempt at it left is replaced."""
        raise NotImplementedError

    def finish(self, batch: Batch) -> None:
        """All tasks of the micro-batch have committed."""

    def reader(self) -> Callable[[], Reader]:
        """Makes a reader on an executor; of outputs that answer."""
        raise NotImplementedError

    def close(self) -> None:
        """The run has ended."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The options of an output."""

    #: Whether the engine can write there; the options are checked all the same.
    RUNS: ClassVar[bool] = True
    #: Whether it takes rows that are no window's: raw, late and malformed ones.
    TAKES_ROWS: ClassVar[bool] = True
    #: Whether a row that was written can be taken back: sessions need that.
    REMOVES: ClassVar[bool] = True
    #: Whether it can answer the analysis' questions about the past.
    ANSWERS: ClassVar[bool] = False

    def check(self, say: Say) -> None:
        """Tells the problems that only this output can know."""

    def removes(self, stream: str, streams: Sequence[str]) -> bool:
        """Whether it can take back rows of a stream, one of those that it takes."""
        return self.REMOVES

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        """Tells what of the streams that it takes, by name, it cannot write: names, types."""

    def open(self, job: Job) -> Open:
        """Prepares the output on the driver.

        Raises:
            OutputError: it cannot be written to.
        """
        raise NotImplementedError

    def probe(self, job: Job) -> str | None:
        """Asks the server who it is and what the output may do there, and writes nothing.

        Returns:
            A line for people: version, database and the like; None where there is no server.

        Raises:
            OutputError: the output could not write there; a ``PassingError`` where the server is
                away.
        """
        return None

    def described(self) -> dict[str, Any]:
        """What ``explain`` tells of this output, secrets left out."""
        return {}

    def place(self) -> str | None:
        """Where a person finds the rows when a run has ended; None where that is plain."""
        return None
