"""What a run tells on stderr while it lasts."""

from __future__ import annotations

import math

import pytest

from engine.runtime.ledger import Ledger
from engine.runtime.progress import Progress
from engine.spark.query import Entry


def test_the_totals_are_told_now_and_then_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(moves=False, pause=math.inf)
    ledger = Ledger()
    progress.tell()
    for late in ({}, {"daily": 0}, {"hourly": 3}):
        ledger.add(
            1000, 1, {"hourly": Entry(1000, 2, 0, 998), "daily": Entry(1000, 1, 9, 990)}, late
        )
        progress.batch(1000, 0.5, ledger)
        progress.tell()
    progress.close()
    progress.close()
    assert capsys.readouterr().err == (
        "1 batch, 1,000 rows read, 1 malformed, 2,000 rows/s; "
        "hourly: 2 malformed; daily: 1 malformed\n"
        "3 batches, 3,000 rows read, 3 malformed, 2,000 rows/s; "
        "hourly: 6 malformed, 3 late; daily: 3 malformed\n"
    )


def test_one_row_is_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(moves=False, pause=math.inf)
    ledger = Ledger()
    ledger.add(1, 0, {}, {})
    progress.batch(1, 0.5, ledger)
    progress.close()
    assert capsys.readouterr().err == "1 batch, 1 row read, 0 malformed, 2 rows/s\n"


def test_a_line_that_moves_has_the_terms(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(moves=True, total=2000)
    ledger = Ledger()
    ledger.add(1000, 7, {"hourly": Entry(1000, 7, 0, 993)}, {"hourly": 3})
    progress.batch(1000, 0.5, ledger)
    progress.bar.refresh()
    shown = capsys.readouterr().err.split("\r")[-1]
    progress.close()
    assert "1.00k/2.00k" in shown
    assert "1 batch, 7 malformed, 3 late" in shown
