"""The input ``json``: files with one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.inputs._files import Files
from engine.option import option


@dataclass(frozen=True, kw_only=True)
class Json(Files):
    """Files of JSON lines in a folder, picked up as they arrive, or a single such file."""

    METHOD: ClassVar[str] = "json"

    format: Literal["csv", "json"] = option("how a line is written", "json")
