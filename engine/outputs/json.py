"""The output ``json``: files of an object a line, for each stream and day."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs._files import SUFFIXES, Files, compressed

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Json(Files):
    """Files in json: an object a line; times are ISO 8601."""

    METHOD: ClassVar[str] = "json"
    SUFFIX: ClassVar[str] = "json"

    compression: Literal["none", "gzip", "zstd"] = option("how files are compressed", "none")

    @property
    def suffix(self) -> str:
        return self.SUFFIX + SUFFIXES[self.compression]

    def encode(self, rows: pa.Table, to: Any) -> None:
        from engine.outputs._values import objects

        with compressed(to, self.compression) as file:
            for batch in rows.to_batches():
                lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in objects(batch))
                file.write("".join(lines).encode("utf-8", "replace"))
