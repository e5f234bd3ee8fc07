"""The counts of micro-batches become the balance of a run: every row read is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine import plan

if TYPE_CHECKING:
    from engine.spark.query import Entry

TERMS = ("malformed", "filtered", "late", "duplicate", "aggregated")


@dataclass
class Account:
    """Where the rows went, for one aggregation; a row counts once for each window that it is in.

    Args:
        rows: how many there should be: each malformed row once, the others once for each window.
        before: those that were read before the aggregation was added to a config that had run.
    """

    rows: int = 0
    malformed: int = 0
    filtered: int = 0
    late: int = 0
    duplicate: int = 0
    aggregated: int = 0
    before: int = 0

    @property
    def total(self) -> int:
        """The sum of the terms."""
        return sum(getattr(self, term) for term in (*TERMS, "before"))

    def report(self, terms: Iterable[str], rows_read: int) -> dict[str, int]:
        """The terms; ``rows_read`` only where it is another one, ``before`` where there is
        something."""
        found = {term: getattr(self, term) for term in terms}
        if self.before:
            found["before"] = self.before
        return found if self.rows == rows_read else {"rows_read": self.rows, **found}


@dataclass
class Ledger:
    """The sums of all micro-batches since the checkpoint began, restarts included.

    Args:
        deduplicates: whether a row may be a duplicate; else that is no term.
        refused: output -> how many rows of streams, windows mostly, its server has refused. They
            went to ``malformed``, but are no rows that were read, and in no balance.
    """

    batches: int = 0
    rows: int = 0
    malformed: int = 0
    deduplicates: bool = False
    aggregations: dict[str, Account] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, query: plan.Query) -> Ledger:
        """The ledger before the first batch."""
        accounts = {each.name: Account() for each in query.aggregations}
        return cls(deduplicates=query.deduplicate is not None, aggregations=accounts)

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(term for term in TERMS if term != "duplicate" or self.deduplicates)

    def add(
        self,
        rows: int,
        malformed: int,
        aggregations: Mapping[str, Entry],
        late: Mapping[str, int],
    ) -> None:
        """Adds a micro-batch.

        Args:
            rows: that were read, each once; of them ``malformed``.
            late: aggregation -> how many of those that entered its windows these refused.
        """
        self.batches += 1
        self.rows += rows
        self.malformed += malformed
        for name, entry in aggregations.items():
            account = self.aggregations.setdefault(name, Account())
            refused = late.get(name, 0)
            account.rows += entry.rows
            account.malformed += entry.malformed
            account.filtered += entry.filtered
            account.late += refused
            passed = entry.entering - refused if entry.passed is None else entry.passed
            account.duplicate += entry.entering - refused - passed
            account.aggregated += passed

    def refuse(self, refused: Mapping[str, int]) -> None:
        """Adds rows that outputs could not write, by output."""
        for output, rows in refused.items():
            self.refused[output] = self.refused.get(output, 0) + rows

    def continued(self, names: Iterable[str], renamed: Mapping[str, str]) -> Ledger:
        """The ledger of a config that goes on with other aggregations; of its own it is the same.

        Args:
            names: the aggregations from here on.
            renamed: the name now -> the one before.
        """
        known = self.aggregations
        accounts = {
            name: known.get(name)
            or known.get(renamed.get(name, ""))
            or Account(rows=self.rows, before=self.rows)
            for name in names
        }
        return replace(self, aggregations=accounts)

    def open_terms(self) -> list[str]:
        """What does not close, a sentence for each aggregation; empty when all is well."""
        found = []
        for name, account in self.aggregations.items():
            off = account.rows - account.total
            negative = [term for term in TERMS if getattr(account, term) < 0]
            if off:
                found.append(f"'{name}': {off:+,} rows of {account.rows:,} are not accounted for")
            if negative:
                found.append(
                    f"'{name}': more rows were late or aggregated than entered its windows"
                )
        return found

    @property
    def rows_read(self) -> int:
        """What the terms of each aggregation add up to, where that is one number; else the rows,
        each once."""
        totals = {each.rows for each in self.aggregations.values()}
        return totals.pop() if len(totals) == 1 else self.rows

    @property
    def is_balanced(self) -> bool:
        return not self.open_terms()

    def dumped(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> Ledger:
        """The ledger that ``dumped`` wrote."""
        values = json.loads(text)
        # Kept by an older version, an account has no number of its own: it was that of all.
        accounts = {
            name: Account(**{"rows": values["rows"], **each})
            for name, each in values.pop("aggregations").items()
        }
        return cls(**values, aggregations=accounts)

    def report(self, name: str, mode: str, started: str, ended: str | None) -> dict[str, Any]:
        """The balance as ``--report`` writes it; ``ended`` is None while the run lasts."""
        return {
            "name": name,
            "mode": mode,
            "batches": self.batches,
            "started": started,
            "ended": ended,
            "rows_read": self.rows_read,
            "malformed": self.malformed,
            **({"refused": self.refused} if self.refused else {}),
            "aggregations": {
                name: each.report(self.terms, self.rows_read)
                for name, each in self.aggregations.items()
            },
            "balanced": self.is_balanced,
        }

    def counted_batches(self) -> str:
        return f"{self.batches:,} batch{'' if self.batches == 1 else 'es'}"

    def totals(self) -> str:
        return f"{self.counted_batches()}, {_rows(self.rows)} read, {self.malformed:,} malformed"

    def text(self, query: plan.Query) -> str:
        """The balance for people."""
        lines = [f"{query.name}: {self.totals()}"]
        if self.aggregations:
            accounts = self.aggregations.values()
            terms = self.terms
            if any(each.before for each in accounts):
                terms = (*terms, "before")
            if any(each.rows != self.rows for each in accounts):
                terms = ("rows", *terms)
            rows: list[tuple[str, ...]] = [("", *terms)]
            for each, account in self.aggregations.items():
                rows.append((each, *(f"{getattr(account, term):,}" for term in terms)))
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            for row in rows:
                cells = [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
                lines.append("  ".join(["", row[0].ljust(widths[0]), *cells]).rstrip())
        for output, number in self.refused.items():
            lines.append(f"refused by {output}: {_rows(number)}, gone to 'malformed'")
        kept_nowhere = {
            plan.MALFORMED: self.malformed + sum(self.refused.values()),
            plan.LATE: sum(each.late for each in self.aggregations.values()),
        }
        for stream, number in kept_nowhere.items():
            if number and not query.takes(stream):
                lines.append(f"{_rows(number)} of '{stream}' kept nowhere: no output takes it")
        told = self.open_terms()
        lines += [f"the balance does not close: {each}" for each in told]
        if not told:
            lines.append("balanced: every row is accounted for")
        return "\n".join(lines)


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"
