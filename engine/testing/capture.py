"""An output that keeps all rows apart by the micro-batch that wrote them, for a test to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from engine.option import option
from engine.outputs import Batch, Factory, Job, Open, Stream, Target, Writer

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Capture(Target):
    """Files of this machine, a folder for each micro-batch."""

    METHOD: ClassVar[str] = "capture"

    path: str = option("the folder")

    def open(self, job: Job) -> OpenCapture:
        return OpenCapture(self.path)

    def described(self) -> dict[str, Any]:
        return {"path": self.path}


class OpenCapture(Open):
    """The driver's side."""

    def __init__(self, path: str) -> None:
        self.path = path

    def begin(self, batch: Batch) -> Factory:
        folder = Path(self.path, str(batch.id))
        folder.mkdir(parents=True, exist_ok=True)
        return partial(CaptureWriter, str(folder))


class CaptureWriter(Writer):
    """A task's side: all of its rows in one file, once it has them."""

    def __init__(self, folder: str, partition: int) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._take(stream, rows, {})

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        self._take(stream, rows, {"retracted": True})

    def _take(self, stream: Stream, rows: pa.RecordBatch, more: dict[str, Any]) -> None:
        from engine.outputs._values import objects

        self.lines += [json.dumps([stream.name, {**row, **more}]) for row in objects(rows)]

    def commit(self) -> None:
        Path(self.folder, uuid4().hex).write_text("\n".join(self.lines), encoding="utf-8")


def captured(path: str, batch: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows that a micro-batch has written, each with its stream."""
    for file in sorted(Path(path, str(batch)).glob("*")):
        for line in file.read_text(encoding="utf-8").splitlines():
            stream, row = json.loads(line)
            yield stream, row
