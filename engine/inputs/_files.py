"""Files of lines: what the csv and the json input have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.inputs import Records, Say
from engine.option import option
from engine.types import Type

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

#: So large that every part of a file has a task, and a row number, of its own.
_ALONE = str(1 << 40)
_NO_JOB = str((1 << 31) - 1)


@dataclass(frozen=True, kw_only=True)
class Files(Records):
    """Lines of the files in a folder, which is watched as files arrive, or of one file."""

    origin: ClassVar[tuple[tuple[str, Type], ...]] = (("_file", Type.STRING),)

    path: str = option(
        "a folder or a file, relative to the config", nonempty=True, format="path", example="data"
    )
    max_files_per_batch: int = option(
        "how many files a micro-batch takes; 1 gives a batch for each file", 1000, minimum=1
    )

    @property
    def has_header(self) -> bool:
        """Whether the first line of each file names the columns."""
        return False

    def check(self, say: Say) -> None:
        super().check(say)
        if "://" not in self.path and not os.path.exists(self.path):
            say("path", f"there is no file or folder '{self.path}'", "")

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        if self.has_header:
            spark.conf.set("spark.sql.files.openCostInBytes", _ALONE)
        reader = spark.readStream if streaming else spark.read
        if streaming:
            reader = reader.option("maxFilesPerTrigger", self.max_files_per_batch)
        # With the separator named, a lone carriage return is data, and stays in its line.
        lines = reader.format("text").option("lineSep", "\n").option("recursiveFileLookup", True)
        frame = lines.load(self._pattern(spark, streaming))
        if self.has_header:
            frame = frame.filter(~self._is_header())
        # Not the metadata column: named once, all of it is added to every row, 0.9 CPU seconds for
        # a million, also where nothing asks for it.
        return frame.select("value", F.input_file_name().alias("_file"))

    def told(self, records: DataFrame) -> DataFrame:
        """``_file`` is a URI until here."""
        from pyspark.sql import functions as F

        path = F.regexp_replace("_file", "^file:/+", "/")
        # A path in a URI is escaped; '+' is itself there, and only there.
        plain = F.try_url_decode(F.replace(path, F.lit("+"), F.lit("%2B")))
        return records.withColumn("_file", F.coalesce(plain, path))

    def _pattern(self, spark: SparkSession, streaming: bool) -> str:
        """What Spark is to read: in a stream, such that files of one time come in the order of
        their names.

        Spark sorts by time alone, and a folder of this machine lists its files in any order; what a
        pattern finds is sorted. Elsewhere each name would be another question to a server.
        """
        from engine.spark.paths import literal

        if "://" in self.path:
            return self.path
        # The working directory too may have a name that Spark would take for a pattern.
        path = os.path.abspath(self.path)
        if not streaming or not os.path.isdir(path):
            return literal(path)
        # Spark asks for each of the names; for more than 32 by a job, which takes longer.
        spark.conf.set("spark.sql.sources.parallelPartitionDiscovery.threshold", _NO_JOB)
        return f"{literal(path)}/*"

    def _is_header(self) -> Column:
        """The first row of a file: the first row of the task that has the file's beginning."""
        from pyspark.sql import functions as F

        row_in_task = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
        return (row_in_task == 0) & (F.input_file_block_start() == 0)

    def order(self) -> list[Column]:
        from pyspark.sql import functions as F

        return [
            F.col("_metadata.file_modification_time"),
            F.col("_metadata.file_path"),
            F.col("_metadata.file_block_start"),
            F.monotonically_increasing_id(),
        ]

    def described(self) -> dict[str, Any]:
        return {"path": os.path.basename(os.path.normpath(self.path))}
