"""The balance of a run after each of its micro-batches, for a test to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.runtime.ledger import TERMS, Ledger
from engine.runtime.report import Report
from engine.runtime.run import ONCE
from engine.testing.compare import Difference

#: What the differences of balances stand under, where those of rows name a stream.
LEDGER = "ledger"


class Totals(Report):
    """A report that is no file: what it hears is kept, by the number of the micro-batch."""

    def __init__(self, name: str) -> None:
        super().__init__(None, name, ONCE)
        self.after: dict[int, Mapping[str, Any]] = {}

    def batch(self, ledger: Ledger) -> None:
        self.after[ledger.batches - 1] = {
            "rows_read": ledger.rows_read,
            "malformed": ledger.malformed,
            "aggregations": {
                name: {"rows_read": each.rows, **each.report(TERMS, each.rows)}
                for name, each in ledger.aggregations.items()
            },
        }


def off(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Difference]:
    """What is not as expected: one of the run, and one of each aggregation; numbers of which
    nothing is said may be any."""
    accounts = expected.get("aggregations", {})
    parts = [({n: v for n, v in expected.items() if n != "aggregations"}, found)]
    for name, account in accounts.items():
        about = {"aggregation": name}
        parts.append(({**about, **account}, {**about, **found["aggregations"][name]}))
    for wanted, there in parts:
        said = {name: value for name, value in wanted.items() if value is not None}
        columns = tuple(name for name, value in said.items() if value != there[name])
        if columns:
            yield Difference(said, {name: there[name] for name in said}, None, columns)
