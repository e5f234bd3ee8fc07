"""What Spark knows of the micro-batch that a ``foreachBatch`` function is in.

Spark has no public way to the rows that a stateful operator refused as late, nor to the counts of a
batch before the batch has ended. Both are in the query's last execution; all that reaches into it
stands here, and tests fail when a version of Spark changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from engine.spark.logical import narrowed
from engine.spark.query import LEDGER

#: The grouping, and what drops duplicates before it: what is late is refused by the first of them.
_STATEFUL = ("StateStoreSave", "StreamingDeduplicateWithinWatermark")


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of a running query, read while its function runs, behind its action."""

    spark: SparkSession
    frame: DataFrame
    execution: Any

    @classmethod
    def of(cls, spark: SparkSession, frame: DataFrame) -> MicroBatch:
        """The micro-batch whose frame the function was given, in the thread that it was called."""
        # The frame's session is the query's own copy, and lists no queries.
        wanted = spark.sparkContext.getLocalProperty("sql.streaming.queryId")
        query = next(each for each in spark.streams.active if each.id == wanted)
        return cls(spark, frame, query._jsq.streamingQuery().lastExecution())

    def observed(self, name: str) -> Mapping[str, int]:
        """The counts of ``observe(name, …)``; of an empty batch all are 0."""
        metrics = self.execution.observedMetrics()
        if not metrics.contains(name):
            return {}
        row = metrics.apply(name)
        names = row.schema().fieldNames()
        return {each: int(row.getLong(i)) for i, each in enumerate(names)}

    def has_refused(self) -> bool:
        """Whether a stateful operator refused rows as late (their number it does not know)."""
        return any(
            node.metrics().apply("numRowsDroppedByWatermark").value() > 0 for node in self._saves
        )

    def late_watermark_ms(self) -> int | None:
        """The watermark by which rows of this batch were refused."""
        for node in self._saves:
            watermark = node.eventTimeWatermarkForLateEvents()
            if watermark.isDefined():
                return int(watermark.get())
        # Without a stateful operator Spark refuses nothing, and goes on with the watermark.
        before = self.execution.prevOffsetSeqMetadata()
        return int(before.get().batchWatermarkMs()) if before.isDefined() else None

    def every_row(self) -> DataFrame:
        """All rows of this batch as they were before the ledger counted them; read again."""
        return self.rows_of(lambda records: records)

    def rows_of(self, some: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """Those of every row that come of some records of this batch; all records are read again.

        Args:
            some: records, as ``rows`` has them before it parses them, into those to go on with;
                further columns of theirs are dropped.
        """
        nodes = []
        for node in _walk(self._counted):
            nodes.append(node)
            if node.nodeName() == "Repartition":  # it stands on the records, see ``rows``
                break
        return narrowed(self.frame.sparkSession, nodes, some)

    @cached_property
    def _counted(self) -> Any:
        """What the ledger counts, as Spark plans it."""
        return next(
            node.child()
            for node in _walk(self.execution.analyzed())
            if node.nodeName() == "CollectMetrics" and node.name() == LEDGER
        )

    @cached_property
    def _saves(self) -> list[Any]:
        # Found once: each step down the plan is a question to the JVM.
        plan = self.execution.executedPlan()
        return [node for node in _walk(plan) if node.nodeName().startswith(_STATEFUL)]


def _walk(node: Any) -> Iterator[Any]:
    yield node
    children = node.children()
    for index in range(children.size()):
        yield from _walk(children.apply(index))
