"""The windows of a micro-batch, and those kept from the one before, become the rows to be written.

A batch reads what the batch before it kept, and keeps what the next one needs, in a folder of its
number. So a batch that is replayed finds what it found at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame

from engine.runtime.checkpoint import KEPT, Checkpoint
from engine.spark.derived import Derivation, keep, kept
from engine.spark.microbatch import MicroBatch


@dataclass(frozen=True)
class KeptWindows:
    """What is kept between batches, of measures that need the window before."""

    derivation: Derivation | None
    checkpoint: Checkpoint

    @contextmanager
    def rows(self, micro: MicroBatch, number: int) -> Iterator[DataFrame]:
        """The rows of a batch's streams. When they have been written, the windows for the next
        batch are kept, and those for batches long past removed."""
        if self.derivation is None:
            yield micro.frame
            return
        spark, schema = micro.frame.sparkSession, micro.frame.schema
        before = kept(spark, self._folder(number - 1), schema) if number > 0 else None
        joined = self.derivation.joined(micro.frame, before, micro.late_watermark_ms()).persist()
        try:
            yield self.derivation.written(joined)
            keep(joined, self._folder(number), schema)
        finally:
            joined.unpersist()
        self.checkpoint.files.remove(f"windows/{number - KEPT}")

    def _folder(self, number: int) -> str:
        return f"{self.checkpoint.files.folder}/windows/{number}"
