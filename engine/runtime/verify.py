"""A config runs as a stream and as a batch, and the windows of both are compared, one by one.

The batch is the truth: a window of the stream has the same rows, less those that came late. So each
window's rows must add up, and where none came late every measure must be the same. Of late copies
of one row the batch has the first; it has none of them where a copy came in time.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import plan
from engine.catalog import Catalog
from engine.outputs._names import quoted
from engine.outputs.sqlite import Sqlite
from engine.runtime.ledger import Ledger
from engine.runtime.run import BATCH, DONE, FAILED, ONCE, Run, ledger, told
from engine.types import Type

#: The measure that counts a window's rows.
_ROWS = "_rows"
_SHOWN = 5
#: Rows are added up in another order: doubles may differ in their last digits.
_DIGITS = 1e-9


def cannot_verify(query: plan.Query) -> str | None:
    """Why a stream and a batch of this query cannot be compared, if so."""
    if not query.aggregations:
        return "there is nothing to verify: the config has no aggregations"
    if query.event_time is None and not query.input.source.has_time:
        return "windows by the time of arrival are never the same twice; name an 'event_time'"
    return None


def verify(query: plan.Query, master: str | None = None, jars: str | None = None) -> int:
    """Runs both, says how they compare, and gives the exit status: 1 where they differ.

    Outputs and checkpoint of the config are left alone.
    """
    return told(lambda: _verified(query, master, jars))


def _verified(query: plan.Query, master: str | None, jars: str | None) -> int:
    with tempfile.TemporaryDirectory(prefix="ts-engine-verify-") as folder:
        ledgers = {
            mode: ledger(
                Run(
                    _into(query, str(Path(folder, f"{mode}.sqlite"))),
                    mode,
                    folder,
                    checkpoint=str(Path(folder, "checkpoint")),
                    master=master,
                    jars=jars,
                )
            )
            for mode in (ONCE, BATCH)
        }
        with closing(sqlite3.connect(Path(folder, f"{ONCE}.sqlite"))) as connection:
            connection.execute("ATTACH ? AS batch", (str(Path(folder, f"{BATCH}.sqlite")),))
            found = [compared(connection, each, _copied_by(query)) for each in query.aggregations]
    return _say(query.name, ledgers[ONCE], ledgers[BATCH], found)


def _into(query: plan.Query, path: str) -> plan.Query:
    """The query with each window's rows counted, and with one output of ours."""
    count = Catalog.builtin().aggregations["count"]
    counted = plan.Rule(_ROWS, plan.Aggregate(count, (), Type.LONG))
    aggregations = tuple(
        replace(each, measures=(*each.measures, counted)) for each in query.aggregations
    )
    raw = [plan.RAW] if query.deduplicate is not None else []  # to tell copies of late rows
    streams = (*(each.name for each in aggregations), plan.LATE, *raw)
    output = plan.Output("verify", "sqlite", Sqlite(path=path), streams)
    # Nobody is told of what is only run to be compared.
    return replace(query, aggregations=aggregations, outputs=(output,), analysis=None)


def _copied_by(query: plan.Query) -> tuple[str, ...]:
    """The fields that are equal in copies; none where duplicates count."""
    if query.deduplicate is None:
        return ()
    time = [query.event_time] if query.event_time is not None else []
    return tuple(dict.fromkeys(each.name for each in (*query.deduplicate.by, *time)))


@dataclass
class Comparison:
    """How the windows of an aggregation compare.

    Args:
        late: windows that have fewer rows than in the batch, by exactly their late ones.
        different: the others that differ, a sentence each; the first few of them.
    """

    name: str
    windows: int = 0
    late: int = 0
    late_rows: int = 0
    wrong: int = 0
    different: list[str] = field(default_factory=list)

    def differs(self, sentence: str) -> None:
        self.wrong += 1
        if len(self.different) < _SHOWN:
            self.different.append(sentence)

    def text(self) -> str:
        told = f"{self.windows:,} windows"
        if self.late:
            told += f", {self.late:,} of them short of their {self.late_rows:,} late rows"
        if not self.wrong:
            return f"  {self.name}: {told}: equal"
        lines = [f"  {self.name}: {told}: {self.wrong:,} differ", *self.different]
        return "\n    ".join(lines)


def compared(
    connection: sqlite3.Connection, aggregation: plan.Aggregation, copied_by: Sequence[str] = ()
) -> Comparison:
    """The windows of the stream, in ``main``, beside those of the batch, in ``batch``.

    Args:
        copied_by: the fields that are equal in copies of a row, of which one counts.
    """
    found = Comparison(aggregation.name)
    before: Sequence[Any] | None = None
    before_is_short = False
    keys = len(aggregation.keys)
    for row in _windows(connection, aggregation, copied_by):
        key, (start, late, ours, theirs), values = row[:keys], row[keys : keys + 4], row[keys + 4 :]
        named = zip(aggregation.keys, key, strict=True)
        where = " ".join([start, *(f"{each.name}={value}" for each, value in named)])
        found.windows += 1
        found.late += late > 0
        found.late_rows += late
        if ours + late != theirs:
            short = f" and {late:,} late ones" if late else ""
            found.differs(f"{where}: {ours:,} rows{short}, {theirs:,} in the batch")
        elif not late:
            # A measure may look at the window before: late rows of that one are in it, too.
            follows_short = key == before and before_is_short
            derived = {each.name for each in aggregation.measures if _is_derived(each)}
            names = (plan.WINDOW_END, *(each.name for each in aggregation.measures))
            for name, pair in zip(names, _pairs(values), strict=True):
                if not (follows_short and name in derived) and not _is_same(*pair):
                    found.differs(f"{where}: {name} {pair[0]}, {pair[1]} in the batch")
        before, before_is_short = key, late > 0
    return found


def _windows(
    connection: sqlite3.Connection, aggregation: plan.Aggregation, copied_by: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Each window of the stream or the batch: its key, start, late rows, rows of the stream, rows
    of the batch, and of its end and each measure the stream's value and the batch's.

    What the stream has of a window are pieces: a row of its own and late rows. They have the start
    of that window, but for sessions: late rows would have made one of several, or one that begins
    sooner, so a piece is of the last session of the batch that does not begin behind it.
    """
    table, rows = quoted(aggregation.name), quoted(_ROWS)
    place = [*(quoted(key.name) for key in aggregation.keys), quoted(plan.WINDOW_START)]
    columns, keys = ", ".join(place), "".join(f"{each}, " for each in place[:-1])
    start = "p.window_start"
    if isinstance(aggregation.window, plan.Session):
        within = "".join(f"b.{each} = p.{each} AND " for each in place[:-1])
        start = (
            f"coalesce((SELECT max(b.window_start) FROM batch.{table} b "
            f"WHERE {within}b.window_start <= {start}), {start})"
        )
    late = f"SELECT *, 1 AS _n FROM main.{plan.LATE} WHERE aggregation = ?"
    if copied_by:
        late = _without_copies(late, place, [quoted(name) for name in copied_by])
    connection.execute("DROP TABLE IF EXISTS temp._pieces")
    connection.execute(
        f"CREATE TEMP TABLE _pieces AS SELECT {keys}{start} AS window_start, sum(n) AS n, "
        f"sum(late) AS late FROM (SELECT {columns}, {rows} AS n, 0 AS late FROM main.{table} "
        f"UNION ALL SELECT {columns}, 0, _n FROM ({late})) p "
        f"GROUP BY {', '.join(str(1 + each) for each in range(len(place)))}",
        (aggregation.name,),
    )
    compared = (plan.WINDOW_END, *(each.name for each in aggregation.measures))
    values = "".join(f", s.{quoted(each)}, b.{quoted(each)}" for each in compared)
    named = ", ".join(f"w.{each}" for each in place)
    same = {side: " AND ".join(f"{side}.{each} = w.{each}" for each in place) for side in "sbp"}
    yield from connection.execute(
        f"SELECT {named}, coalesce(p.late, 0), coalesce(p.n, 0), coalesce(b.{rows}, 0){values} "
        f"FROM (SELECT {columns} FROM temp._pieces WHERE n + late > 0 "
        f"UNION SELECT {columns} FROM batch.{table}) w "
        f"LEFT JOIN main.{table} s ON {same['s']} LEFT JOIN batch.{table} b ON {same['b']} "
        f"LEFT JOIN temp._pieces p ON {same['p']} ORDER BY {named}"
    )


def _is_derived(measure: plan.Rule) -> bool:
    return next(plan.derived(measure.expression), None) is not None


def _without_copies(late: str, place: Sequence[str], by: Sequence[str]) -> str:
    """The late rows of each window, of copies the first: none where a copy came in time, and so is
    not among the late ones. A row with a null has no copies."""
    fields = ", ".join(by)
    window = ", ".join(dict.fromkeys([*place, *by]))
    same = " AND ".join(f"r.{each} = l.{each}" for each in by)
    return (
        "SELECT l.*, CASE WHEN copies IS NULL THEN n ELSE n = copies END AS _n "
        f"FROM (SELECT {window}, sum(_n) AS n FROM ({late}) GROUP BY {window}) l LEFT JOIN "
        f"(SELECT {fields}, count(*) AS copies FROM main.{plan.RAW} GROUP BY {fields}) r ON {same}"
    )


def _pairs(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(values[::2], values[1::2], strict=True)


def _is_same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=_DIGITS, abs_tol=_DIGITS)
    return bool(ours == theirs)


def _say(name: str, stream: Ledger, batch: Ledger, found: Sequence[Comparison]) -> int:
    """Tells people; gives the exit status."""
    wrong = [*stream.open_terms(), *batch.open_terms()]
    if stream.rows != batch.rows:
        wrong.append(f"the batch read {batch.rows:,} rows: has the input grown?")
    print(f"{name}: a stream of {stream.rows:,} rows in {stream.batches:,} batches, and a batch")
    print(*[each.text() for each in found], *[f"  {each}" for each in wrong], sep="\n")
    if wrong or any(each.wrong for each in found):
        print("not equal", file=sys.stderr)
        return FAILED
    print("equal: batch = streaming + late")
    return DONE
