"""What is known of alarms is carried over to a config with other rules.

A check that is as it was keeps its verdicts, its levels and what was told of it, wherever it stands
among the others; one that is new, or is not as it was, begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from engine.plan import WINDOW_END
from engine.spark.arrow import map_in_arrow
from engine.spark.expression import field_column
from engine.spark.judging import ALERT, FAILED, KIND, STATE, TEXT, VERDICTS

if TYPE_CHECKING:
    import pyarrow as pa


def carried(kept: DataFrame, before: Sequence[str], now: Sequence[str], seen_us: int) -> DataFrame:
    """The windows and states that were kept, as the checks that there are now have them.

    Args:
        before: the checks in the order of the verdicts, as ``Judging.checks`` has them.
        now: those that there are now.
        seen_us: the start of the window, in microseconds, that is taken for the last one of a key
            which nobody has missed before.
    """
    places = {check: place for place, check in enumerate(before)}
    of = kept.schema[VERDICTS].dataType.elementType  # type: ignore[attr-defined]
    verdicts = [
        F.get(VERDICTS, F.lit(places[check])) if check in places else F.lit(None).cast(of)
        for check in now
    ]
    seen = F.when(F.col(KIND) == STATE, F.timestamp_micros(F.lit(seen_us)))
    rows = kept.filter(~F.col(KIND).isin(ALERT, FAILED)).withColumns(
        {
            VERDICTS: F.when(F.col(VERDICTS).isNotNull(), F.array(*verdicts)),
            WINDOW_END: F.coalesce(WINDOW_END, seen),
        }
    )
    moved = {str(places[check]): str(n) for n, check in enumerate(now) if check in places}
    return map_in_arrow(rows, _Carried(moved), kept.schema)


def fitted(kept: DataFrame, schema: StructType) -> DataFrame:
    """The rows with the columns of another schema: a measure that is of another type now is made
    one where it can be, one that is new is null."""
    columns = []
    for field in schema:
        value = F.lit(None)
        if field.name in kept.columns:
            value = field_column(field.name)
            if kept.schema[field.name].dataType == field.dataType:
                columns.append(value)
                continue
        columns.append(value.try_cast(field.dataType).alias(field.name))
    return kept.select(*columns)


def without_known(expected: DataFrame, kept: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Of the keys that are expected those of which nothing is known."""
    return expected.join(kept.select(*keys), list(keys), "left_anti").select(*expected.columns)


@dataclass(frozen=True)
class _Carried:
    """What runs in each task: texts have what they tell of checks by their places.

    Args:
        moved: the place that a check had -> the one that it has.
    """

    moved: Mapping[str, str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            place = batch.schema.get_field_index(TEXT)
            texts = [self._text(text) for text in batch.column(place).to_pylist()]
            yield batch.set_column(place, batch.schema.field(place), pa.array(texts, pa.string()))

    def _text(self, text: str | None) -> str | None:
        told = json.loads(text) if text else {}
        held = {self.moved[place]: each for place, each in told.items() if place in self.moved}
        return json.dumps(held) if held else None
