"""The check: each case is a rule or a config, and what a person reads about it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.check import check
from engine.check.expression import ExpressionCheck, Scope
from engine.cli import main
from engine.dsl import parse_rule
from engine.dsl.lexer import RuleError
from engine.source import Span
from engine.tables import Known, Table
from engine.types import Type

CASES = Path(__file__).parent / "check"
FIELDS = {
    "n": Type.LONG,
    "m": Type.LONG,
    "hour": Type.LONG,
    "i": Type.INT,
    "f": Type.FLOAT,
    "d": Type.DOUBLE,
    "s": Type.STRING,
    "b": Type.BOOLEAN,
    "t": Type.TIMESTAMP,
}
CONFIGS = Path(__file__).parent.parent / "configs"
JUNK = [None, 1, -1.5, True, "", "é", [], {}, ["a: b"], {"a": 1}, "10 seconds", "max(a)", 10**30]
CONFIG = {
    "engine": {"limit": 3, "rate": 2.5, "list": [1, "two"], "on": True},
    "outputs": [{"options": {"password": "hunter2"}}],
}
CATALOG = Catalog.builtin()
STRING, LONG, DOUBLE = Type.STRING, Type.LONG, Type.DOUBLE
CARS = Table("cars", "cars.csv", "csv", "plate", STRING, {"model": STRING, "weight": DOUBLE})
MODELS = Table("models", "models.json", "json", "number", LONG, {"doors": LONG})
GEO = Table("geo", "geo.mmdb", "mmdb", columns={"country.iso_code": STRING})
TABLES = {
    "cars": Known(CARS, True),
    "models": Known(MODELS, False),
    "geo": Known(GEO, False),
    "broken": None,
}


def rules() -> list[tuple[str, list[str]]]:
    """(rule, the lines that the check says about it)."""
    found: list[tuple[str, list[str]]] = []
    for line in (CASES / "rules.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("? ") or line.lstrip().startswith("^ "):
            found[-1][1].append(line)
        else:
            found.append((line, []))
    return found


def said(rule: str) -> list[str]:
    problems: list[tuple[int, str, str]] = []

    def say(message: str, span: Span, hint: str) -> None:
        problems.append((span.start, message, hint))

    try:
        tree = parse_rule(rule).tree
        typed = ExpressionCheck(
            Scope(FIELDS, CATALOG, config=CONFIG, tables=TABLES), say
        ).expression(tree)
        if typed is not None:
            assert not problems
            return [f"? {typed.type}"]
    except RuleError as error:
        problems.append((error.span.start, error.message, error.hint))
    return [
        f"{' ' * at}^ {message}{f' [{hint}]' if hint else ''}" for at, message, hint in problems
    ]


@pytest.mark.parametrize(("rule", "expected"), rules(), ids=lambda value: str(value)[:60])
def test_a_rule_has_its_type_or_its_problems_at_their_places(
    rule: str, expected: list[str]
) -> None:
    assert said(rule) == expected


@pytest.mark.parametrize("case", sorted(CASES.glob("configs/*.case")), ids=lambda path: path.stem)
def test_a_config_has_all_its_problems_told_at_once(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _, expected = case.read_text(encoding="utf-8").partition("---\n")
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text(text, encoding="utf-8")
    found = check("config.json", {"PATH": "x"})
    told = [problem.text() for problem in found.problems]
    told += [f"note: {problem.text()}" for problem in found.not_yet]
    assert "\n".join(told) + "\n" == expected


def nothing(path: Path) -> None:
    """No file at all."""


HOSTILE = [
    (nothing, "there is no such file"),
    (lambda path: path.mkdir(), "is a folder; name the file in it"),
    (lambda path: path.write_text(""), "the file is empty; a config is a JSON object"),
    (lambda path: path.write_text(" \n\t\n"), "the file is empty; a config is a JSON object"),
    (lambda path: path.write_bytes(b"\x7fELF\x00\x01\x02"), "is not a text: it holds zero bytes"),
    (lambda path: path.write_bytes(b"{\xff}"), "is not a text in UTF-8 (byte 2)"),
    (
        lambda path: path.write_text('{"a": 1}', encoding="utf-16"),
        "is not a text in UTF-8 (byte 1); save it as UTF-8",
    ),
    (
        lambda path: path.write_text("[" * 5_000_000),
        "the file has 5.0 MB; at most 2 MB are read",
    ),
    (lambda path: path.write_text("[" * 10_000), "nested deeper than 100 levels"),
    (lambda path: path.write_text('{"a":' * 10_000), "nested deeper than 100 levels"),
    (lambda path: path.write_text("[]"), "a config must be an object, is a list"),
    (lambda path: path.write_text("7"), "a config must be an object, is an integer"),
    (lambda path: path.write_text("1" * 100_000), "a config must be an object, is an integer"),
]


@pytest.mark.parametrize(("make", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_config_costs_a_sentence_and_exit_status_2(
    make: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    make(path)  # type: ignore[operator]
    assert main(["validate", str(path)]) == 2
    told = capsys.readouterr().err
    assert message in told.splitlines()[0]
    assert told.startswith(f"{path}:1:")
    assert "Traceback" not in told


def spoiled(config: Any, random: Random) -> None:
    """Takes a part of the config out, or puts something else in its place."""
    places = [place for place in walk(config) if place]
    *above, last = random.choice(places)
    parent = at(config, above)
    match random.randrange(4):
        case 0:
            del parent[last]
        case 1:
            parent[last] = random.choice(JUNK)
        case 2 if isinstance(parent, dict):
            parent[last[:-1]] = parent.pop(last)
        case _:
            parent[last] = copy.deepcopy(at(config, random.choice(places)))


def walk(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield from walk(value[step], (*place, step))


def at(value: Any, place: Iterable[Any]) -> Any:
    return reduce(getitem, place, value)


@pytest.mark.parametrize("name", sorted(each.name for each in CONFIGS.glob("*.json")))
def test_whatever_is_spoiled_in_a_config_is_a_problem_of_it(name: str, tmp_path: Path) -> None:
    random = Random(name)
    for _ in range(30):
        config = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
        for _ in range(random.randint(1, 3)):
            spoiled(config, random)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        found = check(str(path), {})
        # Nothing raises; what is not told is whole.
        assert bool(found.problems or found.not_yet) != (found.query is not None), config


def test_a_byte_order_mark_is_told_with_the_problems_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('\ufeff{"inputs": 1}', encoding="utf-8")
    told = [(p.line, p.column, p.message) for p in check(str(path)).problems]
    assert told[0] == (1, 1, "the file begins with a byte-order mark")
    assert (1, 3, "unknown section 'inputs'") in told


def test_json_problems_are_one_list_for_all_configs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(minimal()))
    bad.write_text(json.dumps(minimal() | {"nmae": "x"}))
    assert main(["validate", "--format", "json", str(good), str(bad)]) == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert problem == {
        "file": str(bad),
        "line": 1,
        "column": json.dumps(minimal() | {"nmae": "x"}).index('"nmae"') + 1,
        "pointer": "/nmae",
        "message": "unknown section 'nmae'",
        "hint": "did you mean 'name'?",
    }
    assert main(["validate", "--format", "json", str(good)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def minimal() -> dict[str, object]:
    return {
        "input": {
            "input_type": "kafka",
            "data_structure": {"a": {"index": 0, "type": "long"}},
            "options": {"server": "kafka", "topic": "t"},
        },
        "outputs": [{"method": "stdout"}],
        "processing": {"aggregations": {"rule": ["max(a)"]}},
    }


def test_the_check_imports_neither_pyspark_nor_what_the_config_does_not_name(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(minimal()))
    script = (
        "import sys; from engine.cli import main; "
        f"status = main(['validate', {str(path)!r}]); status += main(['explain', {str(path)!r}]); "
        "unwanted = {'pyspark', 'pyarrow', 'py4j', 'pandas', 'sqlite3', 'socketserver'}; "
        "loaded = unwanted & set(sys.modules); "
        "print('loaded', loaded); sys.exit(status or bool(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_values_of_the_environment_never_change_the_structure(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = minimal() | {"name": "${JOB}", "engine": {"spark": {"a.b": "$${JOB} ${NONE:-}"}}}
    path.write_text(json.dumps(config))
    hostile = 'x", "outputs": []}'
    found = check(str(path), {"JOB": hostile})
    assert found.query is not None
    assert found.query.name == hostile
    assert found.query.spark == {"a.b": "${JOB} "}


def test_a_number_from_the_environment_is_a_number_where_one_is_wanted(tmp_path: Path) -> None:
    config = minimal()
    config["input"]["options"]["port"] = "${PORT}"  # type: ignore[index]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = check(str(path), {"PORT": "9093"})
    assert found.query is not None
    assert found.query.input.source.port == 9093
    told = [problem.message for problem in check(str(path), {"PORT": "many"}).problems]
    assert told == ["'port' must be an integer, is a string"]


def test_two_hundred_long_rules_are_no_trouble(tmp_path: Path) -> None:
    config = minimal()
    chain = " + ".join(["a"] * 1000)
    nested = "(" * 100 + "a" + ")" * 100
    config["processing"] = {
        "transformation": [f"r{i}: {chain}" for i in range(20)] + [f"s: {nested}", "l: --a"],
        "aggregations": {"rule": [f"max(r{i})" for i in range(20)] + ["max(s)", "max(l)"]},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert check(str(path)).problems == []
    assert main(["explain", str(path)]) == 0
