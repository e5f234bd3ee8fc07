"""Rows of a micro-batch become files: what the outputs csv, json and parquet have in common.

    PATH/STREAM/day=2026-11-22/RUN-BATCH-STAGE-TASK-PART.csv

A name tells from which run, micro-batch and task a file is, so that a batch that is replayed
replaces its files. They are written under a hidden name, which readers pass over, and renamed when
the task has all of them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

from engine.option import option
from engine.outputs import Batch, Factory, Job, Open, OutputError, Say, Stream, Target, Writer
from engine.outputs._names import task_name
from engine.outputs._patience import START_SECONDS, PassingError, Patience
from engine.plan import WINDOW_START, Column

if TYPE_CHECKING:
    import pyarrow as pa

#: So many rows are held back by a task, at most, before they become files.
_ROWS = 200_000
#: What a disk recovers from, when somebody makes room or plugs it in.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE}
_DAY = "day"
#: What names of files of text end with, by how they are compressed.
SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True, kw_only=True)
class Files(Target):
    """A folder with a folder for each stream, in it one for each day of ``window_start``, or of
    the arrival of rows that are no window's.

    A window that changed is written again, by a later batch: of its rows the one with the highest
    ``_batch`` is right.
    """

    REMOVES: ClassVar[bool] = False
    METHOD: ClassVar[str]
    SUFFIX: ClassVar[str]

    path: str = option(
        "the folder, relative to the config; made when absent",
        nonempty=True,
        format="path",
        example="results",
    )

    @property
    def suffix(self) -> str:
        """Of the files' names."""
        return self.SUFFIX

    def encode(self, rows: pa.Table, to: Any) -> None:
        """Writes the rows to a binary file."""
        raise NotImplementedError

    def check(self, say: Say) -> None:
        if os.path.isfile(self.path):
            say("path", f"'{self.path}' is a file", "name a folder")

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        for name, columns in streams.items():
            if any(column.name.lower() == _DAY for column in columns):
                told = f"the output '{self.METHOD}' cannot write the column 'day' of '{name}'"
                say("path", told, "readers take it from the folders 'day=…'; rename it")

    def open(self, job: Job) -> OpenFiles:
        return OpenFiles(self, job)

    def described(self) -> dict[str, Any]:
        return {"path": self.path if "://" in self.path else os.path.basename(self.path)}

    def place(self) -> str | None:
        return self.path if "://" in self.path else os.path.relpath(self.path)


class OpenFiles(Open):
    """The driver's side: no files of a batch that is replayed."""

    def __init__(self, target: Files, job: Job) -> None:
        self.target, self.job = target, job
        self.run = job.run
        self.patience = Patience(job.output, target.path, job.notices)
        files, root = _place(target.path)
        with _told(self.patience):
            patience = replace(self.patience, seconds=START_SECONDS)
            patience.call(_passing(partial(files.create_dir, root, recursive=True)))

    def begin(self, batch: Batch) -> Factory:
        if batch.replayed:
            with _told(self.patience):
                self._forget(batch.id)
        return partial(FilesWriter, self.target, self.patience, self.run, batch.id)

    def _forget(self, batch: int) -> None:
        """Removes the files of this batch and later ones, whole or not, of an earlier attempt."""
        from pyarrow.fs import FileSelector

        files, root = _place(self.target.path)
        pattern = re.compile(rf"\.?{self.run}-(\d+)-")
        for each in files.get_file_info(FileSelector(root, recursive=True)):
            found = pattern.match(each.base_name)
            if found is not None and int(found.group(1)) >= batch:
                files.delete_file(each.path)


class FilesWriter(Writer):
    """A task's side: rows wait until there are many, or no more, and become a file for each stream
    and day."""

    def __init__(
        self, target: Files, patience: Patience, run: str, batch: int, partition: int
    ) -> None:
        self.target, self.patience, self.batch = target, patience, batch
        self.name = f"{run}-{batch:09}-{task_name(partition)}"
        self.files, self.root = _place(target.path)
        self.waiting: list[tuple[Stream, pa.RecordBatch]] = []
        self.rows = 0
        self.parts = 0
        #: Hidden path -> path.
        self.written: dict[str, str] = {}

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        import pyarrow as pa

        if stream.is_windowed:
            numbers = pa.repeat(pa.scalar(self.batch, pa.int64()), rows.num_rows)
            rows = rows.append_column("_batch", numbers)
        self.waiting.append((stream, rows))
        self.rows += rows.num_rows
        if self.rows >= _ROWS:
            self.settle()

    def settle(self) -> None:
        import pyarrow as pa

        of: dict[str, list[pa.RecordBatch]] = {}
        for stream, rows in self.waiting:
            of.setdefault(stream.name, []).append(rows)
        for name, batches in of.items():
            for day, rows in _by_day(pa.Table.from_batches(batches)):
                self._write(f"{self.root}/{_folder(name)}/{_DAY}={day}", rows)
        self.waiting, self.rows = [], 0

    def _write(self, folder: str, rows: pa.Table) -> None:
        name = f"{self.name}-{self.parts}.{self.target.suffix}"
        self.parts += 1
        hidden = f"{folder}/.{name}.{uuid4().hex[:8]}"

        def write() -> None:
            self.files.create_dir(folder, recursive=True)
            # The suffix is none that says to compress: what is compressed the method does.
            with self.files.open_output_stream(hidden, compression=None) as file:
                self.target.encode(rows, file)

        with _told(self.patience):
            self.patience.call(_passing(write))
        self.written[hidden] = f"{folder}/{name}"

    def commit(self) -> None:
        with _told(self.patience):
            for hidden, path in self.written.items():
                self.patience.call(_passing(partial(self.files.move, hidden, path)))

    def abort(self) -> None:
        for hidden in self.written:
            try:
                self.files.delete_file(hidden)
            except OSError:  # renamed already, or the disk is gone: the next attempt replaces it
                continue


def compressed(to: Any, how: str) -> Any:
    """The binary file itself, or one that compresses into it."""
    import pyarrow as pa

    return nullcontext(to) if how == "none" else pa.CompressedOutputStream(to, how)


def _place(path: str) -> tuple[Any, str]:
    """The file system of a path, or of a URL such as ``s3://…``, and the path in it."""
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    files, place = FileSystem.from_uri(path)
    return files, place.rstrip("/")


def _folder(stream: str) -> str:
    """A stream's name as that of a folder that readers do not pass over."""
    name = quote(stream, safe=" ")
    return f"%{ord(name[0]):02X}{name[1:]}" if name[0] in "._" else name


def _by_day(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each day in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    times = rows.column(WINDOW_START if WINDOW_START in rows.column_names else "_arrived")
    days = pc.floor_temporal(times.cast(pa.timestamp("us")), unit="day")
    for day in pc.unique(days).sort():
        yield day.as_py().date().isoformat(), rows.filter(pc.equal(days, day))


def _passing(attempt: Any) -> Any:
    """The attempt, that raises ``PassingError`` where a disk may recover."""

    def tried() -> Any:
        try:
            return attempt()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            raise PassingError(os.strerror(error.errno).lower()) from error

    return tried


@contextmanager
def _told(patience: Patience) -> Iterator[None]:
    """An error of the file system as a sentence."""
    try:
        yield
    except OSError as error:
        told = os.strerror(error.errno).lower() if error.errno else str(error).split("\n")[0]
        raise OutputError(f"{patience.who}: {told}") from error
