"""Folders become runs against a real server: a config, rows that arrive, what is there afterwards.

config.json     ${NAME} stands for what the server's fixture says
data/*.csv      the rows; the server ends and begins again between two files
expected.jsonl  what the server holds, a line for each point, row or record
malformed.txt   the reasons of the rows in the stream `malformed`; none where it is absent
error.txt       instead: what a run says that ends with status 1
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main

ROOT = Path(__file__).parent / "outputs"


def cases(method: str) -> list[Any]:
    """The folders of a method, as parameters of a test."""
    return [pytest.param(each, id=each.name) for each in sorted((ROOT / method).iterdir())]


def run(
    case: Path,
    folder: Path,
    told: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    between: Callable[[], None],
    secrets: Iterable[str],
    capfd: pytest.CaptureFixture[str],
) -> str:
    """Runs a case in a folder; gives what it said.

    Args:
        told: values of the config's `${NAME}`.
        between: is called between two files.
        secrets: what must not be said.
    """
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    shutil.copy(case / "config.json", folder)
    (folder / "data").mkdir()
    status = 1 if (case / "error.txt").exists() else 0
    said = ""
    for number, path in enumerate(sorted((case / "data").iterdir())):
        if number:
            between()
        shutil.copy(path, folder / "data")
        assert main(["run", str(folder / "config.json"), "--once"]) == status
        captured = capfd.readouterr()
        said += captured.out + captured.err
    assert main(["explain", str(folder / "config.json")]) == 0
    said += capfd.readouterr().out
    assert not [each for each in secrets if each in said], "a secret is said"
    return said


def lines(case: Path, name: str) -> list[str]:
    """The lines of a file of the case; none where it has no such file."""
    path = case / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def expected(case: Path) -> list[Any]:
    """What the server must hold, in the order of the file."""
    return [json.loads(line) for line in lines(case, "expected.jsonl")]
