"""The file of a config's tests as dataclasses, from which its schema and its check are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.option import option


@dataclass(frozen=True, kw_only=True)
class AccountSection:
    """Where the rows of one aggregation went since the first step, as a report has it."""

    rows_read: int | None = option("where that is another number than that of the run", None)
    malformed: int | None = option("the malformed rows, and those that have no key", None)
    filtered: int | None = option("rows that 'where' leaves out", None)
    late: int | None = option("rows whose window had ended", None)
    duplicate: int | None = option("rows that were there before, with 'deduplicate'", None)
    aggregated: int | None = option("rows that are in a window", None)


@dataclass(frozen=True, kw_only=True)
class LedgerSection:
    """The balance since the first step, as a report has it: the numbers that matter."""

    rows_read: int | None = option("the rows that were read", None)
    malformed: int | None = option("of them, those that are malformed", None)
    aggregations: dict[str, AccountSection] = option("by the names of aggregations", {})


@dataclass(frozen=True, kw_only=True)
class StepSection:
    """A micro-batch, and what it writes."""

    input: tuple[str | dict[str, Any], ...] = option(
        "the rows in the order in which they arrive: a record as text, or an object of fields",
        (),
        example=["1000,a,20.5", {"time": 1001, "key": "a", "value": 21}],
    )
    at: str | None = option(
        "when these rows arrive, in ISO 8601, in UTC where it names no zone; with those of the "
        "step before when absent",
        None,
        example="2026-08-01T00:10:00Z",
    )
    expect: dict[str, Any] | None = option(
        "stream: the rows that this step writes, of each the columns that matter; nothing else "
        "may be written",
        None,
        example={"aggregated": [{"key": "a", "value": 21}], "late": []},
    )
    ledger: LedgerSection | None = option(
        "where the rows of this step and of those before it went",
        None,
        example={"rows_read": 2, "aggregations": {"aggregated": {"late": 1}}},
    )


@dataclass(frozen=True, kw_only=True)
class CaseSection:
    """One test: a run from nothing, of one step or several."""

    name: str = option("what is tested", nonempty=True)
    input: tuple[str | dict[str, Any], ...] = option("of a test of one step, as a step's", ())
    at: str | None = option("of a test of one step, as a step's", None)
    expect: dict[str, Any] | None = option(
        "of a test of one step, as a step's; beside steps what they leave together: of windows the "
        "last rows, of other streams all",
        None,
    )
    ledger: LedgerSection | None = option("where the rows of all steps went", None)
    steps: tuple[StepSection, ...] = option("one micro-batch each", (), nonempty=True)
    ignore: tuple[str, ...] = option("streams that may write anything", ())
    rules: tuple[str, ...] = option(
        "the rules of the analysis that this test is about; alerts of others may be any", ()
    )
    exact: bool = option("a row has no columns but those that are expected", False)
    tolerance: float = option("by how much of itself a number may be off", 0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class TestsFile:
    """The tests of one config."""

    schema: str | None = option("for editors: the path of a schema", None, name="$schema")
    config: str | None = option(
        "the config, relative to this file; the one of the same name when absent", None
    )
    environment: dict[str, str] = option("variables that the config asks for", {})
    tests: tuple[CaseSection, ...] = option("the tests", nonempty=True)
