"""All records of a micro-batch are read again, for what is not in its windows."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.plan import LATE
from engine.spark.again import Frames, Number
from engine.spark.microbatch import MicroBatch
from engine.spark.query import Compiled
from engine.spark.rows import older
from engine.spark.side import side_frame


class SecondPass:
    """The second pass over micro-batches: what is made for one of them serves for those after it.

    Args:
        compiled: the query, of the stream that the micro-batches are of.
    """

    def __init__(self, query: plan.Query, compiled: Compiled) -> None:
        self.query = query
        self.compiled = compiled
        self._watermark = Number()
        self._arrived = Number()
        self._frames = Frames()
        self._asks_time: bool | None = None

    def side(
        self, micro: MicroBatch, streams: frozenset[str], watermark_ms: int | None
    ) -> DataFrame:
        """The rows of some side streams.

        Args:
            watermark_ms: by which late rows were refused; None where there are none.
        """
        if watermark_ms is not None:
            self._watermark.tell(watermark_ms * 1000)

        def some(records: DataFrame) -> DataFrame:
            if streams != {LATE}:
                return records
            return older(records, self.query, self._watermark)

        def side(every: DataFrame) -> DataFrame:
            return side_frame(every, self.query, self.compiled.units, self._watermark, streams)

        return self._frame(micro, streams, some, side)

    def sessions(self, micro: MicroBatch) -> DataFrame:
        """The rows that sessions are made of."""
        return self._frame(micro, frozenset(), lambda records: records, self.compiled.session_rows)

    def _frame(
        self,
        micro: MicroBatch,
        streams: frozenset[str],
        some: Callable[[DataFrame], DataFrame],
        made: Callable[[DataFrame], DataFrame],
    ) -> DataFrame:
        if (arrived := micro.arrived_us()) is not None:
            self._arrived.tell(arrived)
        time = F.timestamp_micros(self._arrived.alone())

        def make() -> DataFrame:
            return made(micro.rows_of(some, time))

        if self._asks_time is None:
            self._asks_time = micro.asks_time()
        if self._asks_time:
            # What a user's operation asks for is a part of the plan of a single micro-batch.
            return make()
        return self._frames.over(streams, make, micro.frame.sparkSession, [micro.source])
