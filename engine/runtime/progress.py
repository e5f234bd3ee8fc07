"""What a run does becomes a line on a terminal that moves, or plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from engine.runtime.ledger import Ledger

#: Seconds between what is told of a run while it lasts.
PAUSE = 5.0


class Progress:
    """Tells of micro-batches on stderr. The batches hand over what they know, ``tell`` prints it.

    Args:
        moves: a bar that moves; else a line now and then.
        total: how many rows there will be, where that is known.
        pause: seconds between two lines, at least.
    """

    def __init__(self, moves: bool, total: int | None = None, pause: float = PAUSE) -> None:
        self.bar: Any = None
        self.pause = pause
        self._rows = 0
        self._seconds = 0.0
        self._line: str | None = None
        self._told = -math.inf
        if moves:
            from tqdm import tqdm

            self.bar = tqdm(
                total=total, unit=" rows", unit_scale=True, leave=False, mininterval=0.2
            )
            self.bar.set_postfix_str("starting")

    @classmethod
    def on_screen(cls, prints: bool, total: int | None = None) -> Progress:
        """A bar where a person looks at it, and nothing else is printed between."""
        both = prints and sys.stdout.isatty()
        return cls(sys.stderr.isatty() and not both, total)

    def batch(self, rows: int, seconds: float, ledger: Ledger) -> None:
        """A micro-batch has ended.

        Args:
            rows: that it read.
            ledger: with the batch in it.
        """
        if self.bar is not None:
            self.bar.update(rows)
            late = sum(each.late for each in ledger.aggregations.values())
            terms = f"{ledger.malformed:,} malformed, {late:,} late"
            self.bar.set_postfix_str(f"{ledger.counted_batches()}, {terms}")
            return
        self._rows += rows
        self._seconds += seconds
        rate = self._rows / self._seconds if self._seconds > 0 else 0
        totals = f"{ledger.totals()}, {rate:,.0f} rows/s"
        self._line = "; ".join([totals, *_accounts(ledger)])

    def tell(self, at_once: bool = False) -> None:
        """Prints the line of the last batch, unless the one before was printed just now."""
        if not at_once and time.monotonic() - self._told < self.pause:
            return
        line, self._line = self._line, None
        if line is None:
            return
        self._rows, self._seconds = 0, 0.0
        self._told = time.monotonic()
        print(line, file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Prints a line of its own, above the bar where there is one."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """The run has ended; what was not told yet is told."""
        self.tell(at_once=True)
        if self.bar is not None:
            self.bar.close()


def _accounts(ledger: Ledger) -> list[str]:
    """Each aggregation that has malformed or late rows or duplicates, with their numbers."""
    found = []
    for name, account in ledger.aggregations.items():
        terms = [
            (account.malformed, "malformed"),
            (account.late, "late"),
            (account.duplicate, "duplicate"),
        ]
        if told := [f"{count:,} {term}" for count, term in terms if count]:
            found.append(f"{name}: {', '.join(told)}")
    return found
