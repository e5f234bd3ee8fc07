"""``ts-engine test``: files of tests are found, run in one session, and told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.source import nearest
from engine.testing import STATUSES, SUFFIX
from engine.testing.load import Loaded, load_tests

TEXT, JSON = "text", "json"
DONE, FAILED, MISTAKE = 0, 1, 2
_SKIPPED = (".git", ".venv", "node_modules", "__pycache__")


@dataclass(frozen=True)
class Asked:
    """What a user asked for.

    Args:
        paths: of tests, configs, or folders of them.
        update: what comes out is written where nothing is expected yet.
        update_failing: and in the place of what is not as expected.
        format: ``text`` or ``json``: one object, of all cases.
    """

    paths: Sequence[str]
    update: bool = False
    update_failing: bool = False
    format: str = TEXT
    master: str | None = None


def run_tests(asked: Asked) -> int:
    """Runs the tests that are at these paths, and gives the exit status."""
    files, unknown = found(asked.paths)
    for sentence in unknown:
        print(sentence, file=sys.stderr)
    loaded = [load_tests(path) for path in files]
    problems = {problem.text(): problem for each in loaded for problem in each.problems}
    for text in problems if asked.format == TEXT else ():
        print(text, file=sys.stderr)
    wrong = bool(problems or unknown)
    cases = [] if wrong else list(_run(loaded, asked))
    counts = {status: sum(case["status"] == status for case in cases) for status in STATUSES}
    if asked.format == JSON:
        told = [problem.as_json() for problem in problems.values()]
        whole = {**counts, "problems": told, "cases": cases}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    elif not wrong:
        print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    return MISTAKE if wrong else FAILED if counts["failed"] else DONE


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


def _run(loaded: Sequence[Loaded], asked: Asked) -> Iterator[dict[str, Any]]:
    """Runs the cases, as programs see them; tells them to people, and writes what is asked for."""
    from engine.testing.execute import run_case
    from engine.testing.rewrite import Rewriting
    from engine.testing.show import as_json, shown

    for each in loaded:
        assert each.document is not None
        rewriting = Rewriting(each.document)
        for case in each.cases:
            result = run_case(case, asked.master)
            written = rewriting.fill(result) if asked.update else []
            written += rewriting.mend(result) if asked.update_failing else []
            if asked.format == TEXT:
                print(shown(result, written), flush=True)
            yield as_json(result, written)
        if rewriting.edits:
            rewriting.write()
