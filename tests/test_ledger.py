"""The balance: what it takes for closed, and what of it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict

from engine.runtime.ledger import Ledger
from engine.spark.query import Entry


def test_an_account_closes_by_its_own_number_of_rows() -> None:
    ledger = Ledger()
    ledger.add(10, 1, {"one": Entry(10, 1, 0, 9), "hops": Entry(28, 1, 9, 18)}, {"hops": 2})
    assert ledger.is_balanced
    ledger.aggregations["hops"].aggregated -= 4
    assert ledger.open_terms() == ["'hops': +4 rows of 28 are not accounted for"]


def test_more_late_rows_than_entered_do_not_close() -> None:
    ledger = Ledger()
    ledger.add(10, 1, {"one": Entry(10, 1, 0, 9)}, {"one": 10})
    assert ledger.open_terms() == [
        "'one': more rows were late or aggregated than entered its windows"
    ]


def test_a_ledger_is_what_was_kept_of_it_and_goes_on_from_one_of_an_older_version() -> None:
    ledger = Ledger()
    ledger.add(10, 1, {"one": Entry(19, 1, 0, 18)}, {})
    assert Ledger.loaded(ledger.dumped()) == ledger
    old = asdict(ledger)
    old["aggregations"]["one"] = {"malformed": 1, "filtered": 0, "late": 0, "aggregated": 9}
    ledger = Ledger.loaded(json.dumps(old))
    ledger.add(1, 0, {"one": Entry(2, 0, 0, 2)}, {"one": 1})
    assert ledger.is_balanced
    assert ledger.report("job", "once", "", None)["rows_read"] == 12


def test_what_an_aggregation_was_added_behind_is_of_each_its_own() -> None:
    ledger = Ledger()
    ledger.add(10, 1, {"one": Entry(10, 1, 0, 9)}, {})
    ledger = ledger.continued(("one", "two", "three"), {})
    ledger.add(1, 0, {"two": Entry(2, 0, 0, 2)}, {"two": 1})
    none = {"malformed": 0, "filtered": 0, "late": 0, "aggregated": 0}
    assert ledger.report("job", "once", "", None)["aggregations"] == {
        "one": {**none, "rows_read": 10, "malformed": 1, "aggregated": 9},
        "two": {**none, "rows_read": 12, "late": 1, "aggregated": 1, "before": 10},
        "three": {**none, "rows_read": 10, "before": 10},
    }
    assert ledger.is_balanced
