"""The semantics of windows, late rows and the balance in plain Python."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.jobs import iso

Span = tuple[int, int]
EPOCH = date(1970, 1, 1).toordinal()


def midnight(ordinal: int, zone: ZoneInfo) -> int:
    """When a day begins: at the first of two midnights, behind the gap that has it."""
    return int(datetime.fromordinal(ordinal).replace(tzinfo=zone).timestamp())


def spans(time: int, about: tuple[Any, ...]) -> list[Span]:
    """The windows of a time: start and end; of a session, that of the time alone."""
    if about[0] == "gap":
        return [(time, time + about[1])]
    if isinstance(about[0], int):
        size, slide = about
        latest = time // slide * slide
        starts = range(latest, time - size, -slide)
        return [(start, start + size) for start in starts]
    zone = ZoneInfo(about[0])
    day = datetime.fromtimestamp(time, zone).toordinal()
    day += time >= midnight(day + 1, zone)
    match about[1:]:
        case ("month", count):
            here = date.fromordinal(day)
            month = (here.year * 12 + here.month - 1) // count * count
            months = (month, month + count)
            first, last = (date(m // 12, m % 12 + 1, 1).toordinal() for m in months)
        case ("week", count):
            monday = date(1969, 12, 29).toordinal()
            first = day - (day - monday) % (7 * count)
            last = first + 7 * count
        case (count,):
            first = day - (day - EPOCH) % count
            last = first + count
    return [(midnight(first, zone), midnight(last, zone))]


@dataclass(frozen=True)
class Row:
    """A row as it was read; ``place`` in the source tells rows of one time apart."""

    time: int
    place: int
    key: str | None
    value: int | None

    @property
    def band(self) -> int | None:
        return None if self.value is None else self.value // 7

    @property
    def is_whole(self) -> bool:
        return self.key is not None and self.value is not None


def _values(rows: Iterable[Row]) -> list[int]:
    """What is not null, by event time."""
    ordered = sorted(rows, key=lambda row: (row.time, row.place))
    return [row.value for row in ordered if row.value is not None]


def _of_values(function: Callable[[list[int]], Any]) -> Callable[[list[Row]], Any]:
    return lambda rows: function(values) if (values := _values(rows)) else None


#: A measure as configs write it, and what it is of a window's rows.
MEASURES: Mapping[str, Callable[[list[Row]], Any]] = {
    "count()": len,
    "count(value)": lambda rows: len(_values(rows)),
    "sum(value)": _of_values(sum),
    "max(value) - min(value)": _of_values(lambda values: max(values) - min(values)),
    "mean(value)": _of_values(lambda values: sum(values) / len(values)),
    "median(value)": _of_values(lambda values: float(statistics.median(values))),
    "first(value)": _of_values(lambda values: values[0]),
    "last(value)": _of_values(lambda values: values[-1]),
    "distinct(value)": lambda rows: len(set(_values(rows))),
    "sum(value, key == 'a')": lambda rows: _of_values(sum)([r for r in rows if r.key == "a"]),
}
#: What needs the window before.
DELTA = "delta(value)"
CONDITIONS: Mapping[str, Callable[[Row], bool]] = {
    "value > 3": lambda row: row.value is not None and row.value > 3,
    "key == 'a'": lambda row: row.key == "a",
    "is_null(value) or value % 3 == 1": lambda row: row.value is None or row.value % 3 == 1,
    "not (value < 0)": lambda row: row.value is not None and row.value >= 0,
}


@dataclass(frozen=True)
class Aggregation:
    """One of a config's, and how the model knows its window: see ``spans``."""

    name: str
    window: Any
    about: tuple[Any, ...]
    keys: tuple[str, ...]
    where: str | None
    measures: tuple[str, ...]

    def config(self) -> dict[str, Any]:
        measures = [f"m{place}: {each}" for place, each in enumerate(self.measures)]
        key = [f"key: ({', '.join(self.keys)})"] if self.keys else []
        where = {"where": self.where} if self.where else {}
        return {"name": self.name, "window": self.window, "rule": [*key, *measures], **where}


class Model:
    """What a run of some batches must give; a batch is judged by the watermark of two before.

    Args:
        lateness: None for one batch that refuses nothing.
        deduplicates: whether copies, equal in all but their place, are duplicates.
    """

    def __init__(
        self, aggregations: Sequence[Aggregation], lateness: int | None, deduplicates: bool = False
    ) -> None:
        self.aggregations = aggregations
        self.lateness = lateness
        self.deduplicates = deduplicates
        self.seen: set[tuple[Any, ...]] = set()
        self.rows: dict[str, dict[tuple[Any, ...], list[Row]]] = {a.name: {} for a in aggregations}
        self.late: Counter[tuple[Any, ...]] = Counter()
        self.read = 0
        duplicate = ["duplicate"] if deduplicates else []
        terms = ["malformed", "filtered", "late", *duplicate, "aggregated"]
        self.accounts = {each.name: dict.fromkeys(terms, 0) for each in aggregations}
        self.watermarks = [float("-inf")] * 2

    def batch(self, rows: Sequence[Row]) -> None:
        self.read += len(rows)
        for each in self.aggregations:
            for row in rows:
                self._enter(each, row)
        if self.lateness is not None and rows:
            latest = max(row.time for row in rows) - self.lateness
            self.watermarks.append(max(self.watermarks[-1], latest))

    def _enter(self, aggregation: Aggregation, row: Row) -> None:
        """Puts the row into its windows; counts it for each of them."""
        key = tuple(getattr(row, name) for name in aggregation.keys)
        is_met = not aggregation.where or CONDITIONS[aggregation.where](row)
        for start, end in spans(row.time, aggregation.about):
            term = "aggregated"
            if not is_met:
                term = "filtered"
            elif None in key:
                term = "malformed"
            elif end <= self.watermarks[-2]:
                term = "late"
                about = (aggregation.name, iso(start), iso(end))
                self.late[(*about, row.time, row.key, row.value)] += 1
            elif self._is_seen(aggregation.name, start, row):
                term = "duplicate"
            else:
                place = (*key, start, end)
                self.rows[aggregation.name].setdefault(place, []).append(row)
            self.accounts[aggregation.name][term] += 1

    def _is_seen(self, name: str, start: int, row: Row) -> bool:
        """Whether the window has such a row; from now on it has."""
        copy = (name, start, row.time, row.key, row.value)
        if not self.deduplicates or not row.is_whole:
            return False
        is_seen = copy in self.seen
        self.seen.add(copy)
        return is_seen

    def reported(self) -> tuple[int, dict[str, dict[str, int]]]:
        """``rows_read`` and ``aggregations`` of the report."""
        totals = {name: sum(terms.values()) for name, terms in self.accounts.items()}
        read = totals.popitem()[1] if len({*totals.values()}) == 1 else self.read
        return read, {
            name: terms if sum(terms.values()) == read else {"rows_read": totals[name], **terms}
            for name, terms in self.accounts.items()
        }

    def windows(self, aggregation: Aggregation) -> list[tuple[Any, ...]]:
        """Its rows in the output: keys, start, end, measures; sorted."""
        found = []
        before: dict[tuple[Any, ...], int] = {}
        for place, rows in self._places(aggregation):
            *key, start, end = place
            last = MEASURES["last(value)"](rows)
            # A hopping window goes on from the one that ends where it begins.
            series = (*key, end % (end - start) if isinstance(aggregation.about[0], int) else 0)
            delta = None if last is None or series not in before else last - before[series]
            if last is not None:
                before[series] = last
            values = [delta if m == DELTA else MEASURES[m](rows) for m in aggregation.measures]
            found.append((*key, iso(start), iso(end), *values))
        return found

    def _places(self, aggregation: Aggregation) -> list[tuple[tuple[Any, ...], list[Row]]]:
        """Keys, start and end of its windows, and the rows of each; sorted."""
        places = sorted(self.rows[aggregation.name].items())
        if aggregation.about[0] != "gap":
            return places
        found: list[tuple[tuple[Any, ...], list[Row]]] = []
        for (*key, start, end), rows in places:
            (*last_key, first, last), before = found[-1] if found else ((None, 0, 0), [])
            if key == last_key and start < last:
                found[-1] = ((*key, first, end), [*before, *rows])
            else:
                found.append(((*key, start, end), rows))
        return found
