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
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from tests.stores import Store

ROOT = Path(__file__).parent / "outputs"


def cases(beginning: str) -> list[tuple[str, Path]]:
    """The folders whose name begins so, such as `influx/1`, with their names."""
    found = ((str(each.relative_to(ROOT)), each) for each in sorted(ROOT.glob("*/*")))
    return [(name, each) for name, each in found if name.startswith(beginning)]


def run(
    case: Path,
    folder: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> str:
    """Runs a case in a folder; gives what it said."""
    for name, value in store.told.items():
        monkeypatch.setenv(name, value)
    shutil.copy(case / "config.json", folder)
    (folder / "data").mkdir()
    config = str(folder / "config.json")
    found, said = [], ""
    for number, path in enumerate(sorted((case / "data").iterdir())):
        if number:
            with store.stopped():
                pass
        shutil.copy(path, folder / "data")
        found.append(main(["run", config, "--once"]))
        captured = capfd.readouterr()
        said += captured.out + captured.err
    found.append(main(["explain", config]))
    said += capfd.readouterr().out
    # First, so that what is said below of a failure holds none.
    assert not any(each in said for each in store.secrets), "a secret is said"
    status = 1 if (case / "error.txt").exists() else 0
    assert found == [*[status] * (len(found) - 1), 0], said
    return said


def lines(case: Path, name: str) -> list[str]:
    """The lines of a file of the case; none where it has no such file."""
    path = case / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def expected(case: Path) -> list[Any]:
    """What the server must hold, in the order of the file."""
    return [json.loads(line) for line in lines(case, "expected.jsonl")]
