"""Rows of tasks become tables or JSON lines on the driver's standard output.

Executors have no way to the driver's standard output, so a task sends its lines to a small server
in the driver, as they come: nothing is collected, whatever the size of a batch.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.outputs import Batch, Factory, Job, Open, OutputError, Stream, Writer
from engine.outputs._lines import Lines, LineServer

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.outputs.stdout import Stdout


#: Parts of a table: rows of the stream, and windows of it that are no more.
_WRITTEN, _GONE = "written", "gone"


class OpenStdout(Open):
    """The driver's side: prints JSON lines as they arrive, tables when a batch is whole."""

    def __init__(self, target: Stdout, job: Job) -> None:
        self.target = target
        self.streams = {stream.name: stream for stream in job.streams}
        self.tables: dict[str, _Table] = {}
        self.lock = threading.Lock()
        self.token = secrets.token_hex(16)
        try:
            self.server = LineServer(job.driver, self.token, self._take, self._flush)
        except OSError as error:
            raise OutputError(f"output 'stdout': cannot listen at {job.driver}: {error}") from error
        self.address = (job.driver, self.server.port)

    def begin(self, batch: Batch) -> Factory:
        with self.lock:
            self.tables = {}
        limit = self.target.rows if self.target.format == "table" else None
        return partial(StdoutWriter, self.address, self.token, limit)

    def _take(self, line: str) -> None:
        """One line of a task: printed, or kept for the table."""
        stream, _, text = line.partition("\t")
        with self.lock:
            if self.target.format == "json":
                sys.stdout.write(text + "\n")
            else:
                part, rows, count = json.loads(text)
                table = self.tables.setdefault(stream, _Table(self.target.rows))
                table.parts[part].add(rows, count)

    def _flush(self) -> None:
        with self.lock:
            sys.stdout.flush()

    def finish(self, batch: Batch) -> None:
        with self.lock:
            for name, stream in self.streams.items():
                if name in self.tables:
                    sys.stdout.write(self.tables[name].text(stream, batch))
            try:
                sys.stdout.flush()
            except BrokenPipeError as error:
                raise OutputError("output 'stdout': nobody reads it any more") from error

    def close(self) -> None:
        self.server.close()


@dataclass
class _Rows:
    """The first of many rows, by window and key, and how many there were."""

    limit: int
    first: list[Any] = field(default_factory=list)
    count: int = 0

    def add(self, rows: list[Any], count: int) -> None:
        self.first += rows
        self.first.sort(key=_sortable)
        del self.first[self.limit :]
        self.count += count

    def rest(self) -> list[str]:
        more = self.count - len(self.first)
        return [f"… and {more:,} more"] if more else []


class _Table:
    """What is shown of a stream in one batch: its rows, and windows that are no more."""

    def __init__(self, limit: int) -> None:
        self.parts = {_WRITTEN: _Rows(limit), _GONE: _Rows(limit)}

    def text(self, stream: Stream, batch: Batch) -> str:
        names = [column.name for column in stream.columns]
        written, gone = self.parts[_WRITTEN], self.parts[_GONE]
        cells = [names, *([_cell(value) for value in row] for row in written.first)]
        numeric = [
            all(isinstance(row[i], int | float) or row[i] is None for row in written.first)
            for i in range(len(names))
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
        lines = [
            "  ".join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()
            for row in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines += written.rest()
        lines += ["no more: " + "  ".join(map(_cell, row)) for row in gone.first]
        title = f"{stream.name}, batch {batch.id}"
        return "\n".join([title, *lines, *gone.rest(), "", ""])


def _sortable(row: Sequence[Any]) -> list[tuple[bool, str, Any]]:
    return [(value is not None, type(value).__name__, value) for value in row if value is not None]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.1f}"
    text = str(value)
    text = text.replace(".000Z", "Z")
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= 60 else text[:59] + "…"


class StdoutWriter(Writer):
    """A task's side."""

    def __init__(self, address: tuple[str, int], token: str, limit: int | None, task: int) -> None:
        self.limit = limit
        self.lines = Lines(address, token)
        self.tables: dict[tuple[str, str], _Rows] = {}

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._take(_WRITTEN, stream, rows, {})

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._take(_GONE, stream, rows, {"retracted": True})

    def _take(self, part: str, stream: Stream, rows: pa.RecordBatch, more: dict[str, Any]) -> None:
        from engine.outputs._values import objects
        from engine.outputs._values import rows as tuples

        if self.limit is not None:
            # A task that has more than fits the table sends its first ones by window and key.
            kept = self.tables.setdefault((stream.name, part), _Rows(self.limit))
            kept.add(tuples(rows), rows.num_rows)
            return
        for row in objects(rows):
            value = {"stream": stream.name, **row, **more}
            self._send(stream.name, json.dumps(value, ensure_ascii=False))

    def _send(self, stream: str, text: str) -> None:
        self.lines.send(f"{stream}\t{text}")

    def commit(self) -> None:
        for (stream, part), rows in self.tables.items():
            self._send(stream, json.dumps([part, rows.first, rows.count]))
        if not self.lines.finish():
            raise OutputError("output 'stdout': nobody reads it any more")

    def abort(self) -> None:
        self.lines.close()
