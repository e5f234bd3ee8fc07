"""A run's own files in its checkpoint: what it is, and the ledger after each micro-batch."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from engine.runtime.ledger import Ledger

#: Of how many batches things are kept: one is replayed once at most, and needs the one before.
KEPT = 3


class Files:
    """Small files in a folder: of this machine, or of any file system that Spark reaches."""

    def __init__(self, folder: str, spark: Any) -> None:
        self.local = local_path(folder)
        self.folder = folder
        self.spark = spark

    def read(self, name: str) -> str | None:
        """The file's text, or None where there is none."""
        if self.local is not None:
            try:
                return (self.local / name).read_text(encoding="utf-8")
            except FileNotFoundError:
                return None
        files, path = self._remote(name)
        if not files.exists(path):
            return None
        stream = files.open(path)
        try:
            return bytes(stream.readAllBytes()).decode()
        finally:
            stream.close()

    def write(self, name: str, text: str) -> None:
        """Writes the file whole or not at all."""
        if self.local is not None:
            path = self.local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            passing = path.with_name(f".{path.name}.{os.getpid()}")
            passing.write_text(text, encoding="utf-8")
            passing.replace(path)
            return
        files, path = self._remote(name)
        stream = files.create(path, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def remove(self, name: str) -> None:
        """Removes the file, or the folder with all that is in it, where there is one."""
        if self.local is not None:
            path = self.local / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return
        files, place = self._remote(name)
        files.delete(place, True)

    def _remote(self, name: str) -> tuple[Any, Any]:
        path = self.spark._jvm.org.apache.hadoop.fs.Path(f"{self.folder}/{name}")
        return path.getFileSystem(self.spark._jsc.hadoopConfiguration()), path


def local_path(folder: str) -> Path | None:
    """The folder on this machine, or None for one elsewhere (``hdfs://…``, ``s3a://…``)."""
    parsed = urlparse(folder)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(folder) if "://" not in folder else None


class MisfitError(Exception):
    """A checkpoint of another config: a sentence for the user."""


def _misfit(folder: str, held: Mapping[str, list[str]], wanted: Mapping[str, list[str]]) -> str:
    told = [f"the checkpoint {folder} holds the state of other aggregations:"]
    for grouping in dict.fromkeys([*held, *wanted]):
        old, new = held.get(grouping, []), wanted.get(grouping, [])
        gone = [each for each in old if each not in new]
        come = [each for each in new if each not in old]
        if gone or come:
            lost = f" has {', '.join(gone)}" if gone else ""
            found = f" lacks {', '.join(come)}" if come else ""
            told.append(f"  {grouping}:{' and'.join(filter(None, [lost, found]))}")
    told.append("name another folder by --checkpoint, or remove this one to begin anew")
    return "\n".join(told)


@dataclass
class Checkpoint:
    """The engine's part of a checkpoint."""

    folder: str
    files: Files
    id: str

    @classmethod
    def open(cls, folder: str, spark: Any, state: Mapping[str, list[str]]) -> Checkpoint:
        """The checkpoint in a folder; a new one gets an id, by which outputs know its rows.

        Args:
            state: what the run's state will hold, as ``engine.fusion.state`` tells it.

        Raises:
            OSError: the folder cannot be written to.
            MisfitError: it holds another state. Spark would take it, and go on with wrong numbers.
        """
        files = Files(f"{folder}/ts-engine", spark)
        known = files.read("run.json")
        if known is None:
            known = json.dumps({"id": str(uuid.uuid4()), "state": state}, indent=2)
            files.write("run.json", known)
        values = json.loads(known)
        if values["state"] != state:
            raise MisfitError(_misfit(folder, values["state"], state))
        return cls(folder, files, values["id"])

    def ledger(self, batch: int) -> Ledger | None:
        """The ledger after a batch, or None where none was kept."""
        text = self.files.read(f"ledger/{batch}.json")
        return None if text is None else Ledger.loaded(text)

    def keep(self, batch: int, ledger: Ledger) -> None:
        """Keeps the ledger after a batch; one that is replayed overwrites its own."""
        self.files.write(f"ledger/{batch}.json", ledger.dumped())
        self.files.write("ledger/last", str(batch))
        if batch >= KEPT:
            self.files.remove(f"ledger/{batch - KEPT}.json")

    def last(self) -> Ledger | None:
        """The ledger after the last batch that was kept."""
        text = self.files.read("ledger/last")
        return None if text is None else self.ledger(int(text))
