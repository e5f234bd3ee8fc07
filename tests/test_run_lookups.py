"""Lookups in runs: tables joined with rows and files asked for addresses, and what changes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.check import check
from engine.cli import main
from engine.runtime.tables import Tables
from tests.geo import write_mmdb
from tests.jobs import FIELDS, Job, iso

pytestmark = pytest.mark.usefixtures("spark")

ROOT = Path(__file__).parent.parent
CARS = "plate,model,weight,zip\nA1,Beetle,840.5,01234\nB2,Mini,,99999\n"
COUNT = ["key: key", "n: count()"]


def table(job: Job, name: str, text: str) -> Path:
    """A file of a table, which takes the place of the one before at once."""
    path = job.folder / name
    written = path.with_suffix(".new")
    written.write_text(text)
    written.replace(path)
    return path


def raw(job: Job, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in columns) for row in job.rows("raw", "time, value")]


def test_rules_conditions_and_aggregations_look_up_and_lookups_chain(job: Job) -> None:
    table(job, "cars.csv", CARS)
    models = [
        {"model": "Beetle", "maker": {"name": "VW"}, "doors": 2, "tags": ["a", "b"]},
        {"model": "Mini", "maker": {"name": "BMC"}, "doors": None},
    ]
    table(job, "models.json", json.dumps(models))
    job.config(
        [
            {
                "name": "w",
                "window": "1 hour",
                "where": "not(lookup('cars', key, 'zip') == '99999') or is_null(model)",
                "rule": ["key: maker", "n: count()", "kg: sum(lookup('cars', key, 'weight'))"],
            },
            {
                "name": "x",
                "window": "1 hour",
                "rule": ["d: max(lookup('models', lookup('cars', key, 'model'), 'doors') * 2)"],
            },
        ],
        transformation=[
            "model: lookup('cars', key, 'model')",
            "maker: coalesce(lookup('models', model, 'maker.name'), 'none')",
            "key: lookup('models', lookup('cars', key, 'model'), 'tags.1')",
        ],
        streams=["aggregated", "raw"],
        databases={"cars": {"path": "cars.csv", "key": "plate"}, "models": "models.json"},
    )
    # `key` is hidden by a rule for those after it: what aggregations see is the tag.
    table(job, "cars.csv", CARS + "b,Tag,2.5,5\n")
    job.arrive(["1,A1,1", "2,B2,2", "3,C3,3", "4,,4", "5,A1,5", "broken"])
    report = job.run("--once")
    assert raw(job, "time", "key", "value", "model", "maker") == [
        (1, "b", 1.0, "Beetle", "VW"),
        (2, None, 2.0, "Mini", "BMC"),
        (3, None, 3.0, None, "none"),
        (4, None, 4.0, None, "none"),
        (5, "b", 5.0, "Beetle", "VW"),
    ]
    found = [(row["maker"], row["n"], row["kg"]) for row in job.rows("w", "maker")]
    assert found == [("VW", 2, 5.0), ("none", 2, None)]
    assert [row["d"] for row in job.rows("x")] == [None]
    assert report["aggregations"]["w"] == {
        "malformed": 1,
        "filtered": 1,
        "late": 0,
        "aggregated": 4,
    }
    columns = ["time", "value", "model", "maker", "key", "_file", "_arrived", "_batch"]
    assert list(job.rows("raw", "1")[0]) == columns
    assert main(["verify", str(job.folder / "config.json")]) == 0


def test_keys_are_compared_by_value_in_the_type_of_the_table(job: Job) -> None:
    # 2**53 and 2**53 + 1 are one double.
    table(job, "longs.csv", f"k,v\n5,five\n{2**53},big\n{2**53 + 1},bigger\n-1,minus\n")
    table(job, "doubles.csv", "k,v\n5.0,five\n0.5,half\n-0.0,zero\n")
    about = {"columns": {"t": "timestamp", "n": "short", "f": "float", "b": "boolean"}}
    text = "t,n,f,b\n1970-01-01T00:00:05Z,7,0.1,yes\n1970-01-01 00:01,8,,No\n"
    table(job, "times.csv", text)
    job.config(
        [],
        transformation=[
            "a: lookup('longs', value, 'v')",
            "b: lookup('longs', time, 'v')",
            "c: lookup('doubles', value, 'v')",
            "d: lookup('doubles', time, 'v')",
            "e: lookup('times', timestamp(time), 'n')",
            "f: lookup('times', timestamp(time), 'f')",
            "g: lookup('times', timestamp(time), 'b')",
            "h: lookup('longs', null, 'v')",
        ],
        streams=["raw"],
        databases={
            "longs": "longs.csv",
            "doubles": "doubles.csv",
            "times": {"path": "times.csv", **about},
        },
        processing={"max_future": None},
    )
    job.arrive(
        [f"{2**53 + 1},k,{2.0**53}", "5,k,5.5", "60,k,0.5", "0,k,-1", "61,k,0", "62,k,1e300"]
    )
    job.run("--batch")
    assert raw(job, *"abcdefgh") == [
        ("minus", None, None, "zero", None, None, None, None),
        (None, "five", None, "five", 7, pytest.approx(0.1), 1, None),
        (None, None, "half", None, 8, None, 0, None),
        (None, None, "zero", None, None, None, None, None),
        (None, None, None, None, None, None, None, None),
    ]


HOSTILE = [
    "'",
    '"',
    "a,b",
    "`",
    "a\tb",
    "'; DROP TABLE w; --",
    "%",
    "ü",
    "ﬁ",
    "😀",
    "\\",
    "é",
    " a ",
    "{}",
    "$1",
]


def test_hostile_keys_are_found_and_no_others(job: Job) -> None:
    keys = [*HOSTILE, "k" * 10_000]
    lines = [json.dumps({"key": each, "place": n}) for n, each in enumerate(keys)]
    table(job, "t.json", "\n".join(lines))
    job.config(
        [],
        transformation=["place: lookup('a \"table\" of `keys`', key, 'place')"],
        streams=["raw"],
        databases={'a "table" of `keys`': "t.json"},
    )
    rows = [
        "{},{},{}".format(n, '"' + each.replace('"', '""') + '"', n) for n, each in enumerate(keys)
    ]
    # Not equal as Unicode is: other forms of the same letters, other case, blanks.
    others = ["Ü", "fi", "e\u0301", "a", "K" * 10_000]
    rows += [f"{100 + n},{each},0" for n, each in enumerate(others)]
    job.arrive(rows)
    job.run("--once")
    found = raw(job, "time", "place")
    assert found[: len(keys)] == [(n, n) for n in range(len(keys))]
    assert [place for _, place in found[len(keys) :]] == [None] * len(others)


def test_addresses_are_asked_of_a_maxmind_file(job: Job) -> None:
    record = {
        "country": {"iso_code": "GR", "names": {"en": "Greece"}},
        "location": {"latitude": 37.98, "radius": 5},
        "subdivisions": [{"iso_code": "I"}],
    }
    write_mmdb(
        job.folder / "geo.mmdb",
        {"1.2.3.0/24": record, "2001:db8::/32": {"country": {"iso_code": 5}, "is_hosting": True}},
    )
    job.config(
        [{"name": "w", "window": "1 hour", "rule": ["key: land", "n: count()"]}],
        transformation=[
            "land: coalesce(lookup('geo', key, 'country.iso_code'), '?')",
            "name: lookup('geo', key, 'country.names.en')",
            "lat: round(lookup('geo', key, 'location.latitude'))",
            "radius: lookup('geo', key, 'location.radius') + 1",
            "part: lookup('geo', key, 'subdivisions.0.iso_code')",
            "hosting: lookup('geo', key, 'is_hosting')",
        ],
        streams=["aggregated", "raw"],
        databases={"geo": {"path": "geo.mmdb", "columns": {"location.latitude": "double"}}},
    )
    addresses = ["1.2.3.4", "2001:db8::7", "9.9.9.9", "no address", "", "1.2.3.4", "::ffff:1.2.3.4"]
    job.arrive([f"{n},{each},{n}" for n, each in enumerate(addresses)])
    job.run("--once")
    greece = ("GR", "Greece", 38, 6, "I", None)
    nothing = ("?", None, None, None, None, None)
    rows = raw(job, "land", "name", "lat", "radius", "part", "hosting")
    assert rows[:6] == [
        greece,
        ("5", None, None, None, None, 1),
        nothing,
        nothing,
        nothing,
        greece,
    ]
    assert main(["verify", str(job.folder / "config.json")]) == 0


@pytest.mark.parametrize("kind", ["csv", "mmdb"])
def test_late_rows_are_found_by_an_event_time_that_is_looked_up(job: Job, kind: str) -> None:
    if kind == "csv":
        table(job, "times.csv", "key,at\n" + "".join(f"1.0.0.{n},{n}\n" for n in range(256)))
    else:
        networks = {f"1.0.0.{n}/32": {"at": n} for n in range(256)}
        write_mmdb(job.folder / "times.mmdb", networks)
    rule = ["key: key", "n: count()", "t: max(lookup('times', key, 'at'))"]
    job.config(
        {"name": "ten", "window": "10 seconds", "rule": rule},
        transformation=["at: lookup('times', key, 'at')", "moment: at * 1"],
        streams=["aggregated", "late"],
        processing={"event_time": "moment"},
        databases={"times": f"times.{kind}"},
    )
    job.arrive(["0,1.0.0.100,1"])
    job.arrive(["0,1.0.0.200,2"])
    job.arrive(["0,1.0.0.250,3", "0,1.0.0.89,4", "what is this", "0,1.0.0.99,5", "0,2.0.0.0,6"])
    job.arrive(["0,1.0.0.150,6"])
    report = job.run("--once")
    assert report["balanced"]
    terms = {"malformed": 2, "filtered": 0, "late": 3, "aggregated": 3}
    assert report["aggregations"]["ten"] == terms
    late = [(row["window_start"], row["at"], row["value"]) for row in job.rows("late", "value")]
    assert late == [(iso(80), 89, 4.0), (iso(90), 99, 5.0), (iso(150), 150, 6.0)]
    assert main(["verify", str(job.folder / "config.json")]) == 0


def test_sessions_and_derived_measures_look_up(job: Job) -> None:
    table(job, "cars.csv", CARS + "C3,Fiat,1,1\nD4,Dodge,3,1\n")
    job.config(
        [
            {
                "name": "s",
                "window": {"gap": "10 seconds"},
                "where": "lookup('cars', key, 'weight') < 800",
                "rule": ["kg: sum(lookup('cars', key, 'weight'))"],
            },
            {
                "name": "d",
                "window": "10 seconds",
                "rule": ["more: delta(lookup('cars', key, 'weight'))"],
            },
        ],
        databases={"cars": "cars.csv"},
    )
    job.arrive(["1,C3,1", "5,D4,1"])
    job.arrive(["12,D4,1", "13,A1,1", "14,X,1", "15,C3,1", "40,B2,1"])
    job.run("--once")
    assert [(row["window_start"], row["kg"]) for row in job.rows("s")] == [(iso(1), 8.0)]
    found = [(row["window_start"], row["more"]) for row in job.rows("d")]
    assert found == [(iso(0), None), (iso(10), -2.0), (iso(40), None)]


# ---------------------------------------------------------------- files that change


class Running:
    """A run in a process of its own, with files that arrive one by one: each is its own batch."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.errors = job.folder / "errors.txt"

    def __enter__(self) -> Running:
        command = [sys.executable, "-m", "engine", "run", str(self.job.folder / "config.json")]
        environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=errors, stderr=errors
            )
        return self

    def batch(self, *records: str) -> None:
        """A batch of these records, to its end."""
        self.job.arrive(records)
        end = time.monotonic() + 120
        while self._batches() < self.job.files:
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end, f"batch {self.job.files} has not ended"
            time.sleep(0.1)

    def _batches(self) -> int:
        commits = self.job.folder / "config.checkpoint" / "commits"
        return sum(1 for each in commits.glob("*") if each.name.isdecimal())

    def said(self) -> list[str]:
        """What it said of tables."""
        lines = self.errors.read_text().splitlines()
        return [line for line in lines if line.startswith("table ")]

    def __exit__(self, *error: Any) -> None:
        self.process.terminate()
        status = self.process.wait(120)
        assert error[0] is not None or status == 0, self.errors.read_text()


def reloading(job: Job, databases: Mapping[str, Any], rule: str) -> None:
    job.config(
        {"name": "w", "window": "1 hour", "rule": COUNT},
        transformation=[rule],
        streams=["aggregated", "raw"],
        options={"batchDuration": 0.2},
        databases=databases,
    )


def test_a_table_that_changes_is_read_again_between_batches(job: Job) -> None:
    table(job, "t.csv", "key,v\na,1\n")
    write_mmdb(job.folder / "geo.mmdb", {"1.0.0.0/8": {"v": 1}})
    rule = "v: coalesce(lookup('t', key, 'v'), 0) + coalesce(lookup('geo', '1.2.3.4', 'v'), 0)"
    reloading(job, {"t": "t.csv", "geo": "geo.mmdb"}, rule)
    with Running(job) as run:
        run.batch("1,a,1", "1,b,1.5")
        table(job, "t.csv", "key,v\na,10\nb,20\n")
        run.batch("2,a,2", "2,b,2.5", "2,c,2.7")
        write_mmdb(job.folder / "geo.mmdb", {"1.0.0.0/8": {"v": 100}})
        run.batch("3,a,3")
        table(job, "t.csv", "key,v\na,ten\n")
        run.batch("4,a,4")
        (job.folder / "t.csv").unlink()
        run.batch("5,a,5")
        run.batch("6,b,6")
        (job.folder / "t.csv").write_text("key,v\na,2\n")
        run.batch("7,a,7", "7,b,7.5")
    assert raw(job, "value", "v") == [
        (1.0, 2),
        (1.5, 1),
        (2.0, 11),
        (2.5, 21),
        (2.7, 1),
        (3.0, 110),
        (4.0, 110),
        (5.0, 110),
        (6.0, 120),
        (7.0, 102),
        (7.5, 100),
    ]
    counts = [(row["key"], row["n"]) for row in job.rows("w", "key")]
    assert counts == [("a", 6), ("b", 4), ("c", 1)]
    going_on = "going on with what was read before"
    assert run.said() == [
        "table 't': t.csv has changed and is read again",
        "table 'geo': geo.mmdb has changed and is read again",
        f"table 't': t.csv: line 2: 'v' is not a long: 'ten'; {going_on}",
        f"table 't': t.csv: there is no such file; {going_on}",
        "table 't': t.csv has changed and is read again",
    ]


def test_with_an_input_that_cannot_begin_a_batch_again_tables_stay_as_they_were(job: Job) -> None:
    table(job, "t.csv", "key,v\na,1\n")
    reloading(job, {"t": "t.csv"}, "v: lookup('t', key, 'v')")
    path = job.folder / "config.json"
    config = json.loads(path.read_text())
    config["input"] |= {"input_type": "socket", "options": {"host": "localhost", "port": 9}}
    path.write_text(json.dumps(config))
    query = check(str(path), {}).query
    assert query is not None
    with closing(Tables(query)) as tables:
        said: list[str] = []
        assert not tables.changed(said.append)
        table(job, "t.csv", "key,v\na,2\n")
        assert not tables.changed(said.append)
        assert not tables.changed(said.append)
    assert said == ["table 't': t.csv has changed; it is read when the run is started again"]


def test_a_changed_file_is_no_misfit_of_the_checkpoint(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    table(job, "t.csv", "key,v\na,1\n")
    reloading(job, {"t": "t.csv"}, "v: lookup('t', key, 'v')")
    job.arrive(["1,a,1"])
    job.run("--once")
    table(job, "t.csv", "key,v,w\na,2,9\n")
    job.arrive(["2,a,2"])
    job.run("--once")
    assert raw(job, "value", "v") == [(1.0, 1), (2.0, 2)]
    assert "checkpoint: goes on" not in capsys.readouterr().err
    reloading(job, {"t": {"path": "t.csv", "key": "w"}}, "v: lookup('t', long(value), 'v')")
    job.arrive(["3,a,9"])
    job.run("--once")
    assert raw(job, "value", "v")[-1] == (9.0, 2)
    told = capsys.readouterr().err
    assert "rule 'v' is lookup('t', long(value), 'v') (was lookup('t', key, 'v'))" in told
    assert "table 't' is " in told


def test_a_file_that_is_wrong_beyond_its_beginning_is_told_before_the_run(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{n},{n}" for n in range(200_000)]
    table(job, "t.csv", "\n".join(["key,v", *lines, "x,1"]))
    reloading(job, {"t": "t.csv"}, "v: lookup('t', value, 'v')")
    job.arrive(["1,a,1"])
    assert main(["validate", str(job.folder / "config.json")]) == 0
    job.run("--once", status=2)
    told = "table 't': t.csv: line 200002: 'key' is not a long: 'x'"
    assert told in capsys.readouterr().err.splitlines()
    table(job, "t.csv", "\n".join(["key,v", *lines, "7,1"]))
    job.run("--once", status=2)
    assert "line 9 and line 200002 have the same key '7'" in capsys.readouterr().err


def test_a_table_of_a_million_rows_is_joined(job: Job) -> None:
    count = 1_000_000
    lines = "".join(f"k{n},{n},name of {n}\n" for n in range(count))
    table(job, "t.csv", "key,n,name\n" + lines)
    job.config(
        {"name": "w", "window": "1 hour", "rule": ["n: count()", "last: max(n)", "m: max(name)"]},
        transformation=["n: lookup('t', key, 'n')", "name: lookup('t', key, 'name')"],
        databases={"t": "t.csv"},
    )
    for batch in range(2):
        job.arrive([f"{batch},k{batch * 999_000 + n},1" for n in range(1500)])
    job.run("--once")
    [row] = job.rows("w")
    assert (row["n"], row["last"], row["m"]) == (3000, 999_999, "name of 999999")
    assert FIELDS["key"]["type"] == "string"
    assert os.path.getsize(job.folder / "t.csv") > 20_000_000
