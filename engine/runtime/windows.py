"""What a micro-batch has, and what the one before it kept, become the rows to be written.

A batch reads what the batch before it kept, and keeps what the next one needs, in a folder of its
number. So a batch that is replayed finds what it found at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame

from engine.runtime.checkpoint import KEPT, Checkpoint
from engine.spark.derived import Derivation
from engine.spark.kept import keep, kept
from engine.spark.sessions import Sessions


@dataclass(frozen=True)
class Kept:
    """What is kept between batches: windows for measures that need the one before, or the rows of
    sessions.

    Args:
        name: of its folder in the checkpoint.
        comes_later: whether it may be new to a checkpoint, which has nothing of it then.
    """

    of: Derivation | Sessions
    checkpoint: Checkpoint
    name: str
    comes_later: bool = False

    @contextmanager
    def rows(self, fresh: DataFrame, number: int, watermark_ms: int | None) -> Iterator[DataFrame]:
        """The rows of a batch and what was kept before it, of which ``of.written`` makes streams.
        When these have been written, what the next batch needs is kept, and what batches long past
        needed removed.

        Args:
            fresh: what the batch itself has.
            watermark_ms: by which rows of the batch are refused.
        """
        before = None
        if self._has(number - 1):
            schema = self.of.kept_schema(fresh.schema)
            before = kept(fresh.sparkSession, self._folder(number - 1), schema)
        joined = self.of.joined(fresh, before, watermark_ms).persist()
        try:
            yield joined
            keep(self.of.left(joined), self._folder(number))
        finally:
            joined.unpersist()
        self.checkpoint.files.remove(f"{self.name}/{number - KEPT}")

    def _has(self, number: int) -> bool:
        if self.comes_later:
            return self.checkpoint.files.exists(f"{self.name}/{number}")
        return number >= 0

    def _folder(self, number: int) -> str:
        return f"{self.checkpoint.files.folder}/{self.name}/{number}"
