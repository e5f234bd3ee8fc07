"""The output ``parquet``: files with types, for each stream and day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs._files import Files

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Parquet(Files):
    """Files in parquet: times are timestamps in UTC, in microseconds."""

    METHOD: ClassVar[str] = "parquet"
    SUFFIX: ClassVar[str] = "parquet"

    compression: Literal["none", "snappy", "gzip", "zstd"] = option(
        "how columns are compressed", "zstd"
    )

    def encode(self, rows: pa.Table, to: Any) -> None:
        from pyarrow import parquet

        parquet.write_table(rows, to, compression=self.compression)
