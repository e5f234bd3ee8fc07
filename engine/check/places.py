"""A part of a checked config becomes its place in the file, for problems that only a run finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.config.load import Document
from engine.source import Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Places:
    """Where the parts of a config stand.

    Args:
        named: parts that have a name, such as ``("aggregation", "daily", "rule", "mean")``, or the
            beginning of such a path -> the path in the file.
    """

    document: Document
    named: Mapping[tuple[str, ...], Path] = field(default_factory=dict)

    def problem(self, message: str, about: tuple[str, ...], hint: str = "") -> Problem:
        """A problem of a part, told where it stands; where it is absent, at what it belongs to."""
        known = next((n for n in range(len(about), 0, -1) if about[:n] in self.named), 0)
        path: Path = (*self.named.get(about[:known], ()), *about[known:])
        while not self.document.has(*path):
            path = path[:-1]
        return self.document.problem(message, path, hint)
