"""The output ``stdout``: a readable table for each micro-batch, or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs import Job, Target

if TYPE_CHECKING:
    from engine.outputs._printing import OpenStdout


@dataclass(frozen=True, kw_only=True)
class Stdout(Target):
    """Prints the rows."""

    METHOD: ClassVar[str] = "stdout"

    format: Literal["table", "json"] = option(
        "tables for people, or one JSON object a line", "table"
    )
    rows: int = option("table: how many rows of a stream are shown for each batch", 20, minimum=1)

    def open(self, job: Job) -> OpenStdout:
        # Sockets and their kin cost a check more than the rest of this package: imported to print.
        from engine.outputs._printing import OpenStdout

        return OpenStdout(self, job)

    def described(self) -> dict[str, Any]:
        return {"format": self.format}
