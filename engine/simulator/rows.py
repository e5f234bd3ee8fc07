"""Turns rows as they are meant into lines as they are sent, some broken: all scenarios' base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.simulator.draws import Part, parts
from engine.simulator.lines import Layout

#: Which of a row's 32-bit random numbers decides whether it is broken, and in what way.
MALFORMED, HOW = 3, 5
#: Rows that are looked at together.
CHUNK = 1 << 16


class Rows(ABC):
    """An endless sequence of rows: row i depends on the options and on i alone.

    Args:
        seed: any whole number; another seed is another sequence.
        start: event time of row 0, epoch seconds.
        malformed: share of rows that are sent broken, from 0 to 1.
        format: of the lines, ``csv`` or ``json``.
        sep: between the columns of csv.
    """

    seed: int
    start: int
    malformed: float
    format: str
    sep: str

    @abstractmethod
    def records(self, start: int, stop: int) -> Iterator[Any]:
        """Rows start to before stop as their sensors meant them."""

    @abstractmethod
    def keys(self, start: int, stop: int) -> Iterable[bytes]:
        """What each of the rows start to before stop is keyed by in Kafka: its sensor."""

    @abstractmethod
    def layout(self) -> Layout:
        """How a row is written."""

    @abstractmethod
    def whole(self, part: Part) -> list[bytes]:
        """The lines of a part's rows, none of them broken."""

    def record(self, i: int) -> Any:
        """Row i as its sensor meant it."""
        return next(iter(self.records(i, i + 1)))

    def line(self, i: int) -> bytes:
        """Row i as it is sent, without a line end; UTF-8 unless it is broken by not being so."""
        return self.lines(i, i + 1)[0]

    def lines(self, start: int, stop: int) -> list[bytes]:
        """Rows start to before stop as they are sent."""
        shape = self.layout()
        lines: list[bytes] = []
        for part in parts(self.seed, start, stop):
            sent = self.whole(part)
            for k in part.chosen(MALFORMED, self.malformed):
                sent[k] = shape.broken(sent[k], part.number(HOW, k))
            lines += sent
        return lines

    def malformed_rows(self, start: int, stop: int) -> list[int]:
        """Which of the rows start to before stop are sent broken."""
        return [
            part.rows[k]
            for part in parts(self.seed, start, stop)
            for k in part.chosen(MALFORMED, self.malformed)
        ]

    def well_formed(self, count: int) -> Iterator[Any]:
        """Of the first ``count`` rows those that are sent whole."""
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            broken = set(self.malformed_rows(start, stop))
            for i, row in enumerate(self.records(start, stop), start):
                if i not in broken:
                    yield row


def structure(fields: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Fields (name to type, in the order of columns) as a config's `data_structure` has them."""
    return {name: {"index": k, "type": type} for k, (name, type) in enumerate(fields.items())}
