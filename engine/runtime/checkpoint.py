"""A run's own files in its checkpoint: what it is, and the ledger after each micro-batch."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from engine.runtime.changes import verdict
from engine.runtime.fingerprint import Fingerprint, going_on
from engine.runtime.ledger import Ledger
from engine.runtime.misfit import Reason

#: The engine's folder in a checkpoint, and the file in it that makes the whole one of the engine.
_OURS, _RUN = "ts-engine", "run.json"
#: What Spark keeps beside it.
_SPARKS = ("commits", "offsets", "sources", "state", "metadata", ".metadata.crc")
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
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            return
        files, place = self._remote(name)
        files.delete(place, True)

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of this name."""
        if self.local is not None:
            return (self.local / name).exists()
        files, path = self._remote(name)
        return bool(files.exists(path))

    def names(self) -> list[str]:
        """What is in the folder; nothing where there is none."""
        if self.local is not None:
            return sorted(os.listdir(self.local)) if self.local.exists() else []
        files, folder = self._remote("")
        if not files.exists(folder):
            return []
        return sorted(each.getPath().getName() for each in files.listStatus(folder))

    def _remote(self, name: str) -> tuple[Any, Any]:
        path = self.spark._jvm.org.apache.hadoop.fs.Path(f"{self.folder}/{name}".rstrip("/"))
        return path.getFileSystem(self.spark._jsc.hadoopConfiguration()), path


def local_path(folder: str) -> Path | None:
    """The folder on this machine, or None for one elsewhere (``hdfs://…``, ``s3a://…``)."""
    parsed = urlparse(folder)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(folder) if "://" not in folder else None


class MisfitError(Exception):
    """A checkpoint that a config cannot go on with: a sentence for the user.

    Args:
        reasons: what of the config does not fit.
    """

    def __init__(self, message: str, reasons: Sequence[Reason] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


@dataclass
class Checkpoint:
    """The engine's part of a checkpoint.

    ``changes`` says what the config has otherwise than the one that kept it, for people.
    """

    folder: str
    files: Files
    id: str
    changes: str = ""

    @classmethod
    def open(cls, folder: str, spark: Any, config: Fingerprint) -> Checkpoint:
        """The checkpoint in a folder; a new one gets an id, by which outputs know its rows.

        Raises:
            OSError: the folder cannot be written to.
            MisfitError: the config cannot go on with its state. Spark would, with wrong numbers.
        """
        files = Files(f"{folder}/{_OURS}", spark)
        known = files.read(_RUN)
        if known is None:
            found = cls(folder, files, str(uuid.uuid4()))
            found._describe(config)
            return found
        values = json.loads(known)
        held = values.get("config")
        if held is None or held.get("layout") != config["layout"]:
            told = "was kept by another version of the engine, or its reset did not end"
            raise MisfitError(f"the checkpoint {folder} {told}; begin anew with --reset")
        judged = verdict(held, config)
        if judged.reasons:
            told = f"the checkpoint {folder} holds the state of another config"
            hint = "begin anew with --reset, or name another folder by --checkpoint"
            raise MisfitError(f"{told}; {hint}", judged.reasons)
        found = cls(folder, files, values["id"])
        if judged.changes:
            last = found._last_batch()
            batch = 0 if last is None else last + 1
            found.changes = f"checkpoint: goes on from batch {batch}; {judged.changes}"
            found._continue(batch, config["aggregations"], judged.renamed)
            found._describe(going_on(held, config))
        return found

    def _describe(self, config: Fingerprint) -> None:
        self.files.write(_RUN, json.dumps({"id": self.id, "config": config}, indent=2))

    def _continue(self, batch: int, names: Iterable[str], renamed: Mapping[str, str]) -> None:
        """Rewrites the ledgers before a batch. The description comes after it: what is cut off
        between is done again."""
        for each in range(max(0, batch - KEPT), batch):
            if (ledger := self.ledger(each)) is not None:
                self.files.write(f"ledger/{each}.json", ledger.continued(names, renamed).dumped())

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
        batch = self._last_batch()
        return None if batch is None else self.ledger(batch)

    def _last_batch(self) -> int | None:
        """The last batch whose ledger was kept."""
        text = self.files.read("ledger/last")
        return None if text is None else int(text)


def reset(folder: str, spark: Any) -> str:
    """Deletes what the engine and Spark keep in a checkpoint, and nothing else; says what.

    Raises:
        OSError: something cannot be deleted.
        MisfitError: the folder holds something, and is no checkpoint of the engine.
    """
    files = Files(folder, spark)
    names = files.names()
    if not names:
        return f"reset: there is nothing in {folder}"
    if files.read(f"{_OURS}/{_RUN}") is None:
        told = f"'{folder}' is not a checkpoint of the engine, and not empty"
        raise MisfitError(f"{told}: --reset deletes nothing there")
    # Without a config in it, the checkpoint is refused until all of it is gone.
    files.write(f"{_OURS}/{_RUN}", "{}")
    found = [name for name in (*_SPARKS, _OURS) if name in names]
    for name in found:
        files.remove(name)
    shown = [name for name in found if not name.startswith(".")]
    return f"reset: deleted {', '.join(shown)} in {folder}; outputs keep their rows"
