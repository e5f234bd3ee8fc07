"""pytest collects files of tests: each test is an item, all run in one Spark session."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.testing import SUFFIX

if TYPE_CHECKING:
    from engine.testing.load import Case


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Takes the files whose names say that they are tests of a config."""
    if file_path.name.endswith(SUFFIX):
        return ConfigTests.from_parent(parent, path=file_path)
    return None


class ConfigTests(pytest.File):
    """A file of tests."""

    def collect(self) -> Iterable[pytest.Item]:
        from engine.testing.load import load_tests

        loaded = load_tests(str(self.path))
        if loaded.problems:
            told = "\n".join(problem.text() for problem in loaded.problems)
            raise self.CollectError(told)
        for case in loaded.cases:
            yield ConfigTest.from_parent(self, name=case.name, case=case)


class ConfigTest(pytest.Item):
    """One test of a config."""

    def __init__(self, *, case: Case, **about: Any) -> None:
        super().__init__(**about)
        self.case = case

    def runtest(self) -> None:
        from engine.testing.execute import run_case
        from engine.testing.show import failed

        result = run_case(self.case)
        if not result.is_well:
            raise DifferentError("\n".join(failed(result)))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if isinstance(excinfo.value, DifferentError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.name


class DifferentError(Exception):
    """What came is not what was expected: the differences."""
