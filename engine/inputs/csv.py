"""The input ``csv``: lines of csv files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.inputs._files import Files
from engine.option import option


@dataclass(frozen=True, kw_only=True)
class Csv(Files):
    """csv files in a folder, picked up as they arrive, or a single csv file."""

    METHOD: ClassVar[str] = "csv"

    format: Literal["csv", "json"] = option("how a line is written", "csv")
    header: bool = option("the first line of each file names the columns and is no row", False)

    @property
    def has_header(self) -> bool:
        return self.header
