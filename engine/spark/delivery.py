"""Alerts become rows of the stream ``alerts``, and go to those who are told, from the executors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType, TimestampType

from engine import plan
from engine.alerts import Job
from engine.plan import ALERTS, WINDOW_END, WINDOW_START
from engine.spark.arrow import map_in_arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: An alert on its way: to whom; as JSON; what keeps it; what it is about and when, for its order.
TARGET, TEXT, REASON, SERIES, START = "target", "text", "reason", "series", "start"
WAITING = StructType(
    [
        *(StructField(name, StringType()) for name in (TARGET, TEXT, REASON, SERIES)),
        StructField(START, TimestampType()),
    ]
)

_PARAM = "field string, lower_bound double, upper_bound double, value double"
_ALERT = (
    "id string, kind string, AnalysisModule string, level string, previous string, since string, "
    f"series string, revision bigint, corrects string, message string, param struct<{_PARAM}>"
)


def alert_rows(alerts: DataFrame, text: str) -> DataFrame:
    """A column ``alerts`` with the rows of that stream.

    Args:
        text: the column with the alerts as JSON.
    """
    told = F.from_json(text, _ALERT)
    param = told["param"]
    values: dict[str, Column] = {
        WINDOW_START: F.col(WINDOW_START),
        WINDOW_END: F.col(WINDOW_END),
        "rule": told["AnalysisModule"],
        "field": F.coalesce(param["field"], F.lit("")),
        "since": F.to_timestamp(told["since"]),
        **{name: param[name] for name in ("value", "lower_bound", "upper_bound")},
    }
    columns = [
        values.get(each.name, told[each.name]).alias(each.name) for each in plan.ALERT_COLUMNS
    ]
    return alerts.select(F.struct(*columns).alias(ALERTS))


def waiting(alerts: DataFrame, text: str, targets: Sequence[str]) -> DataFrame:
    """Alerts on their way to all targets; each takes what it wants of them."""
    return alerts.select(
        F.explode(F.array(*map(F.lit, targets))).alias(TARGET),
        F.col(text).alias(TEXT),
        F.lit(None).cast("string").alias(REASON),
        F.get_json_object(text, "$.series").alias(SERIES),
        F.col(WINDOW_START).alias(START),
    )


def deliver(on_their_way: DataFrame, targets: Mapping[str, plan.Told], job: Job) -> DataFrame:
    """Sends alerts; gives those that could not be sent, with the reason. Those that have reached a
    part of their receivers have no target any more.

    Args:
        targets: who is told, by name.
    """
    # What is about one key is sent in its order.
    revision = F.get_json_object(TEXT, "$.revision").cast("int")
    ordered = on_their_way.repartition(F.col(TARGET), F.col(SERIES)).sortWithinPartitions(
        F.col(TARGET), F.col(START), revision
    )
    return map_in_arrow(ordered, _Deliver(dict(targets), job), WAITING)


@dataclass(frozen=True)
class _Deliver:
    """What runs in each task."""

    targets: dict[str, plan.Told]
    job: Job

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = batch.to_pylist()
            for target in dict.fromkeys(row[TARGET] for row in rows):
                if target in self.targets:
                    those = [row for row in rows if row[TARGET] == target]
                    yield from self._sent(self.targets[target], those, batch.schema)

    def _sent(
        self, target: plan.Told, rows: Sequence[dict[str, Any]], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        alerts = [json.loads(row[TEXT]) for row in rows]
        wanted = [alert for alert in alerts if target.wants(alert)]
        if not wanted:
            return
        with closing(target.target.open(self.job)) as sender:
            undelivered = {each.id: each for each in sender.send(wanted)}
        left = [
            {**row, REASON: found.reason, TARGET: None if found.partly else row[TARGET]}
            for row, alert in zip(rows, alerts, strict=True)
            if (found := undelivered.get(alert["id"])) is not None
        ]
        if left:
            yield pa.RecordBatch.from_pylist(left, schema=schema)
