"""The tables of a config: what their files say of columns and types, and what is wrong there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.check import check
from engine.explain import explained
from engine.tables import Table, known, sample
from tests.geo import write_mmdb

CSV = "plate,model,weight,zip,sold,note\nA1,Beetle,840.5,01234,true,\nB2,Mini,600,99999,False,\n"
FIRST = '{"n": 1, "at": {"lat": 1, "x.y": true}, "p.q": true, "tags": ["a"], "mixed": 1}'
LINES = FIRST + '\n{"n": 2, "mixed": "m"}\n'


def of(table: Table) -> dict[str, str]:
    return {name: str(of) for name, of in table.columns.items()}


def test_columns_have_the_types_that_their_values_look_like(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeff" + CSV)
    found = known(Table("t", str(path), "csv"), {}, "UTC").table
    assert (found.key, str(found.key_type)) == ("plate", "string")
    assert of(found) == {
        "plate": "string",
        "model": "string",
        "weight": "double",
        "zip": "string",
        "sold": "boolean",
        "note": "string",
    }
    path.write_text(LINES)
    found = known(Table("t", str(path), "json"), {}, "UTC").table
    assert (found.key, str(found.key_type)) == ("n", "long")
    assert of(found) == {
        "n": "long",
        "at.lat": "long",
        "p.q": "boolean",
        "tags.0": "string",
        "mixed": "string",
    }
    write_mmdb(path, {"1.0.0.0/8": {"country": {"iso_code": "GR"}, "lat": 1.5, "n": 7}})
    found = known(Table("t", str(path), "mmdb"), {}, "UTC").table
    assert of(found) == {"country.iso_code": "string", "lat": "double", "n": "long"}


@pytest.mark.parametrize("format", ["csv", "json", "array"])
def test_of_a_large_file_only_the_beginning_is_read(tmp_path: Path, format: str) -> None:
    path = tmp_path / "t"
    count = sample.SMALL // 8
    if format == "csv":
        path.write_text("k,v\n" + "".join(f"{n},{n}\n" for n in range(count)) + "0,late\n")
    else:
        objects = [f'{{"k": {n}, "v": {n}}}' for n in range(count)]
        path.write_text("\n".join(objects) if format == "json" else f"[{', '.join(objects)}]")
    found = known(Table("t", str(path), "csv" if format == "csv" else "json"), {}, "UTC").table
    assert of(found) == {"k": "long", "v": "long"}


#: The file, its text, what the config says of it, what is told.
WRONG: dict[str, tuple[str, str | bytes | None, dict[str, Any], str]] = {
    "missing": ("t.csv", None, {}, "there is no file 't.csv'"),
    "kind": ("t.txt", "a", {}, "'t.txt' is no table that can be read; it ends with '.csv', "),
    "empty": ("t.csv", "", {}, "t.csv: has no columns"),
    "bytes": ("t.csv", b"k\n\xff\n", {}, "t.csv: is not a text in UTF-8 (byte 3)"),
    "key": ("t.csv", "key,v\n", {"key": "kye"}, "t.csv: has no column 'kye'; did you mean 'key'?"),
    "column": (
        "t.csv",
        "key,value\n",
        {"columns": {"valeu": "long"}},
        "t.csv: has no column 'valeu'; did you mean 'value'?",
    ),
    "type": (
        "t.csv",
        "k,v\n",
        {"columns": {"v": "lnog"}},
        "'v' is 'lnog', which is not known; did you mean 'long'?",
    ),
    "twice": ("t.csv", "k,k\n", {}, "t.csv: two columns are called 'k'"),
    "short": ("t.csv", "k,v\n1,2\n\n3\n", {}, "t.csv: line 4 has 1 value for 2 columns"),
    "value": (
        "t.csv",
        "k,v\n1,2\n3,x\n",
        {"columns": {"v": "long"}},
        "t.csv: line 3: 'v' is not a long: 'x'",
    ),
    "infinite": (
        "t.csv",
        "k,v\n1,1e999\n",
        {"columns": {"v": "double"}},
        "t.csv: line 2: 'v' is not a double: '1e999'",
    ),
    "quote": ("t.csv", 'k,v\n1,"a\n2,b\n3,c\n', {}, "t.csv: line 4: unexpected end of data"),
    "deep": ("t.json", "[" + 100_000 * "[", {}, "t.json: record 1 is no JSON: "),
    "duplicates": (
        "t.csv",
        "k,v\n01,2\n3,x\n01,2\n",
        {},
        "line 2 and line 4 have the same key '01'",
    ),
    "duplicates of a type": (
        "t.csv",
        "k,v\n01,2\n1,x\n",
        {"columns": {"k": "long"}},
        "t.csv: line 2 and line 3 have the same key '1'",
    ),
    "no key": ("t.csv", "k,v\n1,2\n,3\n", {}, "t.csv: line 3 has no key: 'k' is empty"),
    "no header": ("t.csv", "1,2\n", {"header": False}, "a file without a header needs its columns"),
    "no json": ("t.json", '{"k": 1}\n{"k": 2\n', {}, "t.json: line 2 is no JSON: expecting ','"),
    "no array": ("t.json", '[{"k": 1}, {"k": 2]', {}, "t.json: record 2 is no JSON: expecting ','"),
    "no object": ("t.json", '[{"k": 1}, 2]', {}, "t.json: record 2 is no JSON object"),
    "behind": ("t.json", '[{"k": 1}]]', {}, "t.json: has something behind the array"),
    "infinity": ("t.json", '{"k": Infinity}', {}, "t.json: line 1 is no JSON: 'Infinity' is no"),
    "misfit": (
        "t.json",
        '{"k": 1, "v": {"w": "3"}}',
        {"columns": {"v.w": "long"}},
        "t.json: line 1: 'v.w' is not a long: '3'",
    ),
    "no mmdb": ("t.mmdb", "k,v\n", {}, "t.mmdb: is no MaxMind database"),
    "mmdb key": ("t.mmdb", "", {"key": "ip"}, "an mmdb file is asked by address, and has no key"),
    "sep": ("t.csv", "k;v\n", {"sep": ";;"}, "'sep' "),
}


def config(
    folder: Path, table: Any, *, file: str, text: str | bytes | None, rule: str = "v"
) -> Path:
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (folder / file).write_bytes(data)
    whole = {
        "input": {
            "input_type": "csv",
            "data_structure": {"v": {"index": 0, "type": "string"}},
            "options": {"path": "."},
        },
        "outputs": [{"method": "stdout", "streams": ["raw"]}],
        "databases": {"t": table},
        "processing": {"transformation": [rule]},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_table_is_told_at_its_place(tmp_path: Path, case: str) -> None:
    file, text, about, told = WRONG[case]
    path = config(tmp_path, {"path": file, **about}, file=file, text=text)
    found = check(str(path), {}).problems
    assert len(found) == 1
    assert told in f"{found[0].message}; {found[0].hint}"
    assert found[0].pointer.startswith("/databases/t")


def test_a_lookup_in_a_table_with_a_problem_is_not_told_again(tmp_path: Path) -> None:
    path = config(tmp_path, "t.csv", file="t.csv", text="", rule="w: lookup('t', v, 'x')")
    assert [each.pointer for each in check(str(path), {}).problems] == ["/databases/t"]


def test_the_plan_has_the_columns_that_are_looked_up_and_explain_shows_them(tmp_path: Path) -> None:
    about = {"path": "t.csv", "header": False, "sep": ";", "columns": {"id": "string", "n": "int"}}
    rule = "w: lookup('t', v, 'n')"
    path = config(tmp_path, about, file="t.csv", text="A;1\nB;2\n", rule=rule)
    query = check(str(path), {}).query
    assert query is not None
    assert [(each.key, of(each)) for each in query.tables] == [("id", {"n": "int"})]
    assert "t  t.csv  joined by id string  n int" in explained(query)


def test_a_lookup_outside_an_aggregation_is_told(tmp_path: Path) -> None:
    path = config(tmp_path, "t.csv", file="t.csv", text="k,n\nA,1\n")
    whole = json.loads(path.read_text())
    rule = ["key: v", "n: lookup('t', v, 'n')", "m: max(lookup('t', v, 'n'))"]
    whole["processing"] = {"aggregations": {"rule": rule}}
    whole["outputs"] = [{"method": "stdout"}]
    path.write_text(json.dumps(whole))
    found = [(each.message, each.pointer) for each in check(str(path), {}).problems]
    place = "/processing/aggregations/rule/1"
    assert found == [("lookup() stands outside an aggregation", place)]
