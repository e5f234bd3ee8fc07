"""Records of a test arrive when it says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.inputs.csv import Csv

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Arriving(Csv):
    """csv files whose records arrive when the file was modified last."""

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        from engine.spark.rows import ARRIVED

        modified = F.col("_metadata.file_modification_time")
        return super().frame(spark, streaming, name).withColumn(ARRIVED, modified)
