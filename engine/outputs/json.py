"""The output ``json``: its options are checked; it does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.option import option
from engine.outputs import Target


@dataclass(frozen=True, kw_only=True)
class Json(Target):
    """Files in json."""

    METHOD: ClassVar[str] = "json"
    RUNS: ClassVar[bool] = False
    REMOVES: ClassVar[bool] = False

    path: str = option("the folder, relative to the config", nonempty=True, format="path")
