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

from pyspark.sql import Column, DataFrame, SparkSession

from engine.spark.logical import asks_time, batch_time_ms, narrowed
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

    def rows_of(self, some: Callable[[DataFrame], DataFrame], arrived: Column) -> DataFrame:
        """Those of every row that come of some records of this batch, as they were before the
        ledger counted them; all records are read again.

        Args:
            some: records, as ``rows`` has them before it parses them, into those to go on with;
                further columns of theirs are dropped.
            arrived: the time of this batch.
        """
        return narrowed(self.frame.sparkSession, self._nodes, arrived, some)

    @property
    def source(self) -> Any:
        """Where this batch is read, in the logical plan of ``rows_of``; another batch has the same
        columns, with the same ids."""
        return self._nodes[-1].child().child()

    def arrived_us(self) -> int | None:
        """The time of this batch; None where its records bring the times of their arrival."""
        time = batch_time_ms(self._nodes[-1].child())
        return time * 1000 if time is not None else None

    def asks_time(self) -> bool:
        """Whether something above the records asks for the time: a user's operation may."""
        return any(asks_time(node) for node in self._nodes[:-1])

    @cached_property
    def _nodes(self) -> list[Any]:
        """From what the ledger counts down to the records, as Spark plans it."""
        nodes: list[Any] | None = None
        for node in _walk(self.execution.analyzed()):
            if nodes is not None:
                nodes.append(node)
                if node.nodeName() == "Repartition":  # it stands on the records, see ``rows``
                    return nodes
            elif node.nodeName() == "CollectMetrics" and node.name() == LEDGER:
                nodes = []
        raise AssertionError("the ledger is not in Spark's plan")

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
