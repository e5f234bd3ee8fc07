"""What a run does becomes a line on a terminal that moves, or plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """Tells of micro-batches on stderr.

    Args:
        moves: a bar that moves; else a line for each batch.
        total: how many rows there will be, where that is known.
    """

    def __init__(self, moves: bool, total: int | None = None) -> None:
        self.bar: Any = None
        self.rows = 0
        self.began = time.monotonic()
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

    def batch(self, batch: int, rows: int, seconds: float) -> None:
        """A micro-batch has ended."""
        self.rows += rows
        if self.bar is not None:
            self.bar.update(rows)
            self.bar.set_postfix_str(f"batch {batch}")
            return
        rate = rows / seconds if seconds > 0 else 0
        print(
            f"batch {batch}: {rows:,} rows in {seconds:.1f} s, {rate:,.0f} rows/s",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
