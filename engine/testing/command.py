"""``ts-engine test``: files of tests are found, run in one session, and told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.source import nearest
from engine.testing import SUFFIX
from engine.testing.load import Loaded, load_tests

DONE, FAILED, MISTAKE = 0, 1, 2
_SKIPPED = (".git", ".venv", "node_modules", "__pycache__")


def run_tests(paths: Sequence[str], update: bool = False, master: str | None = None) -> int:
    """Runs the tests that are at these paths, and gives the exit status.

    Args:
        update: what comes out is written where nothing is expected yet.
    """
    files, unknown = found(paths)
    for told in unknown:
        print(told, file=sys.stderr)
    loaded = [load_tests(path) for path in files]
    problems = list(dict.fromkeys(p.text() for each in loaded for p in each.problems))
    for text in problems:
        print(text, file=sys.stderr)
    if problems or unknown:
        return MISTAKE
    return _run(loaded, update, master)


def found(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files of tests at paths: themselves, those beside configs, those in folders; and what is
    wrong with a path."""
    files: dict[str, None] = {}
    unknown = []
    for path in paths or ["."]:
        if os.path.isdir(path):
            below = list(_below(path))
            files.update(dict.fromkeys(below))
            if not below:
                unknown.append(f"{path}: there are no tests; a file NAME{SUFFIX} has those of NAME")
            continue
        beside = path if path.endswith(SUFFIX) else path.removesuffix(".json") + SUFFIX
        if os.path.isfile(beside):
            files[beside] = None
            continue
        known = list(_below(os.path.dirname(beside) or ".", deep=False))
        hint = nearest(beside, [os.path.normpath(each) for each in known])
        unknown.append(f"{beside}: there is no such file" + (f"; {hint}" if hint else ""))
    return list(files), unknown


def _below(folder: str, deep: bool = True) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if deep and f not in _SKIPPED)
        for name in sorted(files):
            if name.endswith(SUFFIX):
                yield os.path.normpath(os.path.join(place, name))


def _run(loaded: Sequence[Loaded], update: bool, master: str | None) -> int:
    from engine.testing.execute import run_case
    from engine.testing.show import shown

    counts = {True: 0, False: 0}
    for each in loaded:
        written: dict[tuple[str | int, ...], Any] = {}
        for case in each.cases:
            result = run_case(case, master)
            print(shown(result), flush=True)
            counts[result.is_well] += 1
            for step, rows in zip(case.steps, result.rows, strict=False):
                if step.expect is None:
                    written[step.path] = rows
        if update and written:
            _update(each, written)
            print(f"updated {each.path}")
    failed = f", {counts[False]} failed" if counts[False] else ""
    print(f"{counts[True]} passed{failed}")
    return FAILED if counts[False] else DONE


def _update(loaded: Loaded, written: Mapping[tuple[str | int, ...], Any]) -> None:
    """Writes what came out where nothing was expected; all else keeps its values and its order."""
    with open(loaded.path, encoding="utf-8") as file:
        whole = json.load(file)
    for path, rows in written.items():
        place = whole
        for step in path:
            place = place[step]
        place["expect"] = {
            stream: [
                {name: value for name, value in row.items() if not name.startswith("_")}
                for row in those
            ]
            for stream, those in sorted(rows.items())
        }
    passing = f"{loaded.path}.new"
    with open(passing, "w", encoding="utf-8") as file:
        json.dump(whole, file, indent=2, ensure_ascii=False)
        file.write("\n")
    os.replace(passing, loaded.path)
