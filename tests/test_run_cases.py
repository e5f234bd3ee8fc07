"""Runs that write to a store: cases in folders, whose server ends and begins again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import output_cases
from tests.stores import STORES, Store


def _cases() -> Iterator[Any]:
    for beginning, (make, fixture) in STORES.items():
        # The fixture is asked for by name, which tells pytest too late what a case needs.
        marks = [getattr(pytest.mark, fixture)] if fixture else []
        for name, path in output_cases.cases(beginning):
            yield pytest.param(path, make, fixture, id=name, marks=marks)


def _sorted(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda each: json.dumps(each, sort_keys=True))


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(("case", "make", "fixture"), list(_cases()))
def test_a_run_leaves_what_its_folder_says(
    case: Path,
    make: Callable[[Any, Path], Store],
    fixture: str | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = make(request.getfixturevalue(fixture) if fixture else None, tmp_path)
    said = output_cases.run(case, tmp_path, store, monkeypatch, capfd)
    for line in output_cases.lines(case, "error.txt"):
        assert line in said
    assert _sorted(store.held()) == _sorted(output_cases.expected(case))
    aside = [
        json.loads(line)
        for file in tmp_path.glob("aside/malformed/*/*")
        for line in file.read_text().splitlines()
    ]
    reasons = output_cases.lines(case, "malformed.txt")
    assert sorted(each["reason"] for each in aside) == sorted(reasons)


def test_every_folder_is_a_case() -> None:
    named = {path for beginning in STORES for _, path in output_cases.cases(beginning)}
    assert named == {path.parent for path in output_cases.ROOT.glob("*/*/config.json")}
