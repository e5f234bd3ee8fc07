"""The output ``csv``: files with a header, for each stream and day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs._files import SUFFIXES, Files, compressed

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Csv(Files):
    """Files in csv: texts are quoted, so that an empty one is not null; times are ISO 8601."""

    METHOD: ClassVar[str] = "csv"
    SUFFIX: ClassVar[str] = "csv"

    sep: str = option("what separates columns", ",", pattern='^[^"\\r\\n]$')
    header: bool = option("whether a file's first line holds the columns' names", True)
    compression: Literal["none", "gzip", "zstd"] = option("how files are compressed", "none")

    @property
    def suffix(self) -> str:
        return self.SUFFIX + SUFFIXES[self.compression]

    def encode(self, rows: pa.Table, to: Any) -> None:
        from pyarrow import csv

        from engine.outputs._values import written

        options = csv.WriteOptions(include_header=self.header, delimiter=self.sep)
        with compressed(to, self.compression) as file:
            csv.write_csv(written(rows), file, options)
