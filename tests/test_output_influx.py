"""The output influx, a task's side: what servers hold of the windows, and what goes aside."""

from __future__ import annotations

import json
import math
import pickle
import re
import time
from datetime import datetime, timezone
from itertools import count
from threading import Timer
from typing import Any
from urllib.parse import parse_qs

import pytest

from engine.outputs import Batch, OutputError
from tests.influx import Database, job, rows, stream, write
from tests.servers.faults import Answer, End, at_random
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.influx3 import InfluxThree, Reply
from tests.servers.proxy import Proxy

_NUMBERS = count()
#: Keys that line protocol, InfluxQL, or a careless client could take for something of its own.
HOSTILE = [
    *("a,b", "a=b", "a b", 'a"b', "it's", "a\\b", "a\\,b", "a\\ b", "a\\=b", "\\n", ",", "=", " "),
    *("\t", "é☃", "\x01", "\x7f", "\u2028", "\U0001f600", "x" * 10_000, "';DROP MEASUREMENT s;--"),
    *("#", "null", "k=v", " a ", '"', "'", "a\\' OR 'b'='b", "\\\\x", "$1", "{{", "%s"),
]


@pytest.fixture(params=["influx1", "influx2"])
def database(request: pytest.FixtureRequest) -> Database:
    """A database of InfluxDB 1, a bucket of InfluxDB 2."""
    return made(request.getfixturevalue(request.param))


def made(server: InfluxOne | InfluxTwo) -> Database:
    name = f"d{next(_NUMBERS)}"
    where = {"host": server.host, "port": server.port}
    if isinstance(server, InfluxOne):
        server.create_database(name)
        who = {"username": server.username, "password": server.password}
        return Database(server, {**where, **who, "database": name})
    server.create_bucket(name)
    return Database(server, {**where, "bucket": name, "org": server.org, "token": server.token})


def test_keys_are_tags_measures_are_fields_and_the_start_is_the_time(database: Database) -> None:
    of = stream(k="string key", n="long", v="double", on="boolean", word="string", seen="timestamp")
    window = rows(of, (1_000, "a", 7, 1.5, True, 'say "no"\\\n', _time(1_234)))
    assert write(database.target(), of, window) == []
    fields = {"n": 7, "v": 1.5, "on": True, "word": 'say "no"\\\n', "seen": 1234}
    assert database.points("s") == [({"k": "a"}, 1_000, {**fields, "window_end": 2_000})]


def test_numbers_arrive_as_they_are(database: Database) -> None:
    of = stream(k="long key", n="long", v="double", f="float")
    doubles = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1e-7, 123456789012345678.0, -1e20, 3.0]
    longs = [2**63 - 1, -(2**63), 0, 1, -1, 2**53 + 1, 10]
    values = zip(doubles, longs, strict=True)
    window = rows(of, *[(0, i, n, v, 0.5) for i, (v, n) in enumerate(values)])
    assert write(database.target(), of, window) == []
    found = {int(tags["k"]): fields for tags, _, fields in database.points("s")}
    assert [found[i]["v"] for i in range(7)] == doubles
    assert [found[i]["n"] for i in range(7)] == longs
    assert {found[i]["f"] for i in range(7)} == {0.5}


def test_keys_of_every_type_have_the_text_that_the_rules_give_them(database: Database) -> None:
    of = stream(b="boolean key", d="double key", n="int key", t="timestamp key", v="double")
    write(database.target(), of, rows(of, (0, True, 200.0, -3, _time(1_500), 1.0)))
    [(tags, _, _)] = database.points("s")
    assert tags == {"b": "true", "d": "200.0", "n": "-3", "t": "1970-01-01T00:00:01.500Z"}


def test_hostile_keys_arrive_intact_and_are_found_again(database: Database) -> None:
    of = stream(k="string key", other="string key", v="long")
    target = database.target()
    windows = rows(of, *[(1_000, key, key[::-1], i) for i, key in enumerate(HOSTILE)])
    turned = [key[::-1] for key in HOSTILE]
    wrong = [i for i, key in enumerate(turned) if key.endswith("\\")]
    refused = write(target, of, windows)
    assert {each.reason for each in refused} == {"the key 'other' ends with a backslash"}
    assert len(refused) == len(wrong) == 2
    fine = [i for i in range(len(HOSTILE)) if i not in wrong]
    found = {(tags["k"], tags["other"]): f["v"] for tags, _, f in database.points("s")}
    assert found == {(HOSTILE[i], turned[i]): i for i in fine}
    with_reader = target.open(job(of)).reader()()
    answer = with_reader.find(of, windows.select(["k", "other", "window_start"]), 0)
    with_reader.close()
    assert answer.column("v").to_pylist() == [i if i in fine else None for i in range(len(HOSTILE))]


def test_what_a_line_cannot_say_goes_aside_with_its_reason(database: Database) -> None:
    of = stream(k="string key", v="double")
    told = [
        ("a\nb", 1.0, "the key 'k' has a line break"),
        ("a\rb", 1.0, "the key 'k' has a line break"),
        ("a\0b", 1.0, "the key 'k' has a character 0"),
        ("a\\", 1.0, "the key 'k' ends with a backslash"),
        ("", 1.0, "the key 'k' is empty: InfluxDB takes that for a series without it"),
        ("inf", math.inf, "'v' is not finite"),
        ("nan", math.nan, "'v' is not finite"),
    ]
    fine = [("b", 2.0), ("c", 3.0)]
    windows = rows(of, (0, *fine[0]), *[(0, *each[:2]) for each in told], (0, *fine[1]))
    refused = write(database.target(), of, windows)
    assert sorted(each.reason for each in refused) == sorted(each[2] for each in told)
    start = "1970-01-01T00:00:00.000Z"
    record = next(each.record for each in refused if "backslash" in each.reason)
    assert json.loads(record) == {
        **{"window_start": start, "window_end": "1970-01-01T00:00:01.000Z"},
        **{"k": "a\\", "v": 1.0},
    }
    assert [(tags["k"], f["v"]) for tags, _, f in database.points("s")] == fine


def test_a_window_without_any_value_is_its_end_or_goes_aside(database: Database) -> None:
    of = stream(k="string key", v="double")
    windows = rows(of, (0, "a", None), (0, "b", 1.0))
    assert write(database.target(), of, windows) == []
    assert database.points("s") == [
        ({"k": "a"}, 0, {"window_end": 1_000}),
        ({"k": "b"}, 0, {"v": 1.0, "window_end": 1_000}),
    ]
    [refused] = write(database.target(window_end=False, measurement="t"), of, windows)
    assert refused.reason == "no measure has a value"
    assert database.points("t") == [({"k": "b"}, 0, {"v": 1.0})]


def test_exactly_the_lines_that_the_server_refuses_go_aside(database: Database) -> None:
    of = stream(k="string key", v="double")
    # The 66 kB of a key are more than a series may have; the year 2262 is the end of time.
    bad = {3: (0, "x" * 66_000, 3.0), 50: (9_300_000_000_000, "b", 1.0), 99: (0, "y" * 66_000, 2.0)}
    windows = [bad.get(i, (0, f"k{i}", float(i))) for i in range(100)]
    refused = write(database.target(batch_size=64), of, rows(of, *windows))
    assert len(refused) == 3
    assert all("unable to parse" in each.reason or "max key" in each.reason for each in refused)
    assert all(len(each.reason) < 500 for each in refused)
    found = {tags["k"]: f["v"] for tags, _, f in database.points("s")}
    assert found == {f"k{i}": float(i) for i in range(100) if i not in bad}


def test_a_field_of_another_type_is_refused_line_by_line(database: Database) -> None:
    numbers, words = stream(k="string key", v="double"), stream(k="string key", v="string")
    of_both = stream(k="string key", v="string", n="long")
    write(database.target(), numbers, rows(numbers, (0, "a", 1.0)))
    refused = write(database.target(), words, rows(words, *[(0, f"k{i}", "no") for i in range(50)]))
    assert len(refused) == 50
    assert "field type conflict" in refused[0].reason
    mixed = rows(of_both, *[(0, f"m{i}", "no" if i % 9 == 0 else None, i) for i in range(40)])
    refused = write(database.target(), of_both, mixed)
    assert [each.record.split('"k": "')[1].split('"')[0] for each in refused] == [
        f"m{i}" for i in range(0, 40, 9)
    ]
    left = {f"m{i}" for i in range(40) if i % 9}
    assert {tags["k"] for tags, _, _ in database.points("s")} == {"a", *left}


def test_a_refused_window_stops_the_run_where_that_is_wanted(database: Database) -> None:
    of = stream(k="string key", v="double")
    target = database.target(on_reject="stop")
    with pytest.raises(OutputError, match=r"a window cannot be written: the key 'k' is empty.*\{"):
        write(target, of, rows(of, (0, "", 1.0)))
    with pytest.raises(OutputError, match=r"a window cannot be written: .*unable to parse"):
        write(target, of, rows(of, (0, "x" * 66_000, 1.0)))


def test_what_is_written_again_replaces_and_a_value_that_became_null_goes(
    database: Database,
) -> None:
    of = stream(k="string key", v="double", w="double")
    first = rows(of, (0, "a", 1.0, 2.0), (0, "b", 1.0, 2.0), (1_000, "a", 5.0, 6.0))
    write(database.target(), of, first)
    write(database.target(), of, rows(of, (0, "a", None, 3.0), (0, "b", 4.0, 4.0)))
    assert [(tags["k"], time, f.get("v"), f["w"]) for tags, time, f in database.points("s")] == [
        *(("a", 0, None, 3.0), ("a", 1_000, 5.0, 6.0), ("b", 0, 4.0, 4.0))
    ]
    write(database.target(nulls="keep"), of, rows(of, (1_000, "a", None, 7.0)))
    assert database.points("s")[1][2] == {"v": 5.0, "w": 7.0, "window_end": 2_000}


def test_windows_that_are_no_more_are_removed(database: Database) -> None:
    of = stream(k="string key", v="double")
    keys = [key for key in HOSTILE if not key.endswith("\\")]
    windows = [(at, key, 1.0) for key in keys for at in (0, 1_000, -5_000)]
    write(database.target(), of, rows(of, *windows))
    gone = rows(of, *[(1_000, key, None) for key in keys])
    write(database.target(), of, rows(of, (9_000, "a", 1.0)), removed=gone)
    left = {(tags["k"], time) for tags, time, _ in database.points("s")}
    assert left == {(key, at) for key in keys for at in (0, -5_000)} | {("a", 9_000)}


def test_streams_without_keys_and_a_measurement_for_all(database: Database) -> None:
    of = stream('two "words", here', v="double")
    write(database.target(measurement="a=b {stream}"), of, rows(of, (0, 1.0)))
    assert database.points('a=b two "words", here') == [({}, 0, {"v": 1.0, "window_end": 1_000})]


def test_small_batches_over_connections_write_every_row(database: Database) -> None:
    of = stream(k="long key", v="long")
    batches = [rows(of, *[(0, i, i) for i in range(at, at + 700)]) for at in range(0, 2_100, 700)]
    write(database.target(batch_size=97, connections=3, gzip=True), of, *batches)
    assert sorted(f["v"] for _, _, f in database.points("s")) == list(range(2_100))


def test_windows_of_several_streams_share_a_request(database: Database) -> None:
    one, two = stream("one", k="string key", v="double"), stream("two", n="long")
    opened = database.target().open(job(one, two))
    writer = opened.begin(Batch(0))(0)
    long = "x" * 66_000
    writer.write(one, rows(one, (0, "a", 1.0), (0, long, 2.0)))
    writer.write(two, rows(two, (0, 5)))
    writer.write(one, rows(one, (0, "b", 3.0)))
    writer.settle()
    [refused] = writer.refused()
    writer.commit()
    assert json.loads(refused.record)["k"] == long
    assert [(tags["k"], f["v"]) for tags, _, f in database.points("one")] == [("a", 1), ("b", 3)]
    assert database.points("two") == [({}, 0, {"n": 5, "window_end": 1_000})]


def test_history_is_the_nearest_window_within_the_accuracy(database: Database) -> None:
    of = stream(k="string key", n="long", v="double", on="boolean", seen="timestamp")
    target = database.target()
    many = [(at * 1_000, f"k{i}", i * 100 + at, None, True, _time(5)) for i in range(80)
            for at in range(3)]  # fmt: skip
    write(target, of, rows(of, *many))
    asked = [
        *[(f"k{i}", 1_000) for i in range(80)],  # more than a statement names
        *(("k1", 1_400), ("k1", 1_500), ("k1", 1_600)),  # below, between two, above
        *(("k1", 3_000), ("k1", 9_000_000), ("none", 1_000), ("", 1_000), ("a\0b", 9_000)),
    ]
    answer = find(target, of, asked, 500)
    starts = [
        each and each.timestamp() * 1000 for each in answer.column("window_start").to_pylist()
    ]
    assert starts == [*[1_000] * 80, 1_000, 1_000, 2_000, *[None] * 5]
    assert answer.column("n").to_pylist()[:80] == [i * 100 + 1 for i in range(80)]
    assert answer.column("seen").to_pylist()[0] == _time(5)
    assert answer.column("on").to_pylist()[80:84] == [True, True, True, None]
    assert answer.column("v").null_count == len(asked)


def test_faults_of_the_network_lose_and_double_nothing(database: Database) -> None:
    of = stream(k="long key", v="long")
    with Proxy(database.server.port, http=True) as proxy:
        target = database.target(port=proxy.port, batch_size=100, timeout="2 seconds")
        for at in range(5):
            opened = target.open(job(of))
            proxy.behave(then=at_random(at, share=0.4, within=2_000, http=True))
            writer = opened.begin(Batch(at))(0)
            writer.write(of, rows(of, *[(at * 1_000, i, i) for i in range(600)]))
            writer.settle()
            assert writer.refused() == []
            writer.commit()
            proxy.behave()
        assert proxy.happened.total() > 5
    points = database.points("s")
    assert [(time, f["v"]) for _, time, f in sorted(points, key=lambda each: each[1])] == [
        (at * 1_000, i) for at in range(5) for i in sorted(range(600), key=str)
    ]


def test_a_server_that_stops_is_waited_for(database: Database) -> None:
    of = stream(k="long key", v="long")
    writer = database.target().open(job(of)).begin(Batch(0))(0)
    database.server.kill()
    starting = Timer(1.5, database.server.start)
    starting.start()
    writer.write(of, rows(of, *[(0, i, i) for i in range(200)]))
    writer.settle()
    writer.commit()
    starting.join()
    assert len(database.points("s")) == 200


def test_a_busy_server_is_asked_again_when_it_says(database: Database) -> None:
    of = stream(k="string key", v="long")
    with Proxy(database.server.port, http=True) as proxy:
        writer = database.target(port=proxy.port).open(job(of)).begin(Batch(0))(0)
        half = End("half-close", 2_000, "request")
        faults = [Answer(429, retry_after=1), Answer(503), End("reset", 0, "answer"), half]
        proxy.behave(*faults)
        writer.write(of, rows(of, (0, "k" * 5_000, 1)))
        writer.settle()
        assert writer.refused() == []
        assert [proxy.happened[each] for each in faults] == [1, 1, 1, 1]
    assert len(database.points("s")) == 1


def wrong(server: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Options that cannot work, and what a person reads about them."""
    one = {
        "password": ({"password": "hunter2"}, "refuses the user 'keeper'; check 'username' and"),
        "user": ({"username": "nobody"}, "refuses the user 'nobody'; check 'username' and"),
        "database": ({"database": "no"}, "there is no database 'no'; make it first, or write"),
        "policy": ({"retention_policy": "no"}, "there is no retention policy 'no'; create it"),
        "right": ({"username": "reader", "password": "hunter2"}, "does not allow it: .*reader"),
    }
    two = {
        "token": ({"token": "hunter2"}, "refuses the token; check 'token'"),
        "bucket": ({"bucket": "no"}, "there is no bucket 'no' .*not found"),
        "org": ({"org": "no"}, 'there is no bucket .*organization name "no" not found'),
        "right": ({"token": None}, "does not allow it: insufficient permissions for write"),
    }
    both = {
        "tls": ({"tls": True}, "check 'tls' and 'ca_file'"),
    }
    return {**(one if server == "influx1" else two), **both}


@pytest.mark.parametrize("case", ["password", "user", "database", "policy", "right", "tls"])
def test_influx_1_says_what_cannot_work(influx1: InfluxOne, case: str) -> None:
    database = made(influx1)
    influx1.create_user("reader", "hunter2", **{database.name: "READ"})
    fails(database, *wrong("influx1")[case])


@pytest.mark.parametrize("case", ["token", "bucket", "org", "right", "tls"])
def test_influx_2_says_what_cannot_work(influx2: InfluxTwo, case: str) -> None:
    options, told = wrong("influx2")[case]
    if case == "right":
        options = {"token": influx2.read_token()}
    fails(made(influx2), options, told)


def fails(database: Database, options: dict[str, Any], told: str) -> None:
    target = database.target(**options)
    for attempt in (target.open, target.probe):
        with pytest.raises(OutputError, match=told) as caught:
            attempt(job(stream(v="double")))
        text = f"{caught.value} {caught.value!r} {target!r} {caught.value.__context__!r}"
        assert str(caught.value).startswith("output 'influx': InfluxDB at 127.0.0.1:")
        secrets = (database.server.password, database.options.get("token"), "hunter2")
        assert not [each for each in secrets if each and each in text]


def test_a_probe_says_the_version_and_writes_nothing(database: Database) -> None:
    told = database.target().probe(job(stream(v="double")))
    kind = "bucket" if "bucket" in database.options else "database"
    at = f"{database.server.host}:{database.server.port}"
    assert re.fullmatch(rf"InfluxDB [12]\.[\w.~]+ at {at}: may write to the {kind} 'd\d+'", told)
    assert database.query("SHOW MEASUREMENTS") == []


def test_a_database_is_made_on_request(database: Database) -> None:
    kind = "bucket" if "bucket" in database.options else "database"
    name = "new 'one', here"
    of = stream(v="double")
    target = database.target(**{kind: name}, create=True)
    assert write(target, of, rows(of, (0, 1.0))) == []
    assert write(target, of, rows(of, (1_000, 1.0))) == []
    there = Database(database.server, {**database.options, kind: name})
    assert len(there.points("s")) == 2


def test_a_user_who_may_not_make_a_database_is_told_so(influx1: InfluxOne) -> None:
    influx1.create_user("writer", "hunter2")
    target = made(influx1).target(
        username="writer", password="hunter2", database="more", create=True
    )
    with pytest.raises(OutputError, match="requires admin privilege"):
        target.open(job(stream(v="double")))


def test_a_retention_policy_takes_the_points_and_answers(influx1: InfluxOne) -> None:
    database = made(influx1)
    influx1.query(f'CREATE RETENTION POLICY "a week" ON {database.name} DURATION 9w REPLICATION 1')
    of = stream(k="string key", v="double")
    target = database.target(retention_policy="a week")
    now = int(time.time()) * 1000
    [refused] = write(target, of, rows(of, (now, "a", 1.0), (now - 90 * 86_400_000, "a", 1.0)))
    assert "points beyond retention policy" in refused.reason
    assert influx1.query('SELECT v FROM "a week".s', database.name)[0]["values"][0][1] == 1.0
    assert find(target, of, [("a", now)], 0).column("v").to_pylist() == [1.0]


def test_influx_3_gets_what_its_documentation_says(influx3: InfluxThree) -> None:
    influx3.refuses = lambda line: "no such thing" if b"k=bad" in line else ""
    where = {"host": influx3.host, "port": influx3.port, "token": influx3.token}
    target = Database(None, {**where, "database": "plant"}).target(gzip=True)  # type: ignore[arg-type]
    of = stream(k="string key", v="double")
    keys = ["a b", "bad", "c", "bad2", "d"]
    refused = write(target, of, rows(of, *[(1_000, key, 0.5) for key in keys]))
    assert [each.reason for each in refused] == ["no such thing"] * 2
    assert influx3.lines["plant"] == [
        f"s,k={key} window_end=2000i,v=0.5 1000".encode() for key in ("a\\ b", "c", "d")
    ]
    sent = influx3.requests[-1]
    assert (sent.path, sent.packed) == ("/api/v3/write_lp", True)
    assert sent.parameters == {"db": "plant", "precision": "millisecond"}
    assert len(influx3.requests) == 2  # the refused lines are named: nothing is sent again


def test_influx_3_answers_about_the_past_as_documented(influx3: InfluxThree) -> None:
    where = {"host": influx3.host, "port": influx3.port, "token": influx3.token}
    target = Database(None, {**where, "database": "plant"}).target()  # type: ignore[arg-type]
    of = stream(k="string key", v="double")
    points = [[1_000, 0.5, 2_000, "a"], [1_050, 0.7, 2_050, "b"]]
    series = {"name": "s", "columns": ["time", "v", "window_end", "k"], "values": points}
    found = {"results": [{"series": [series]}]}
    influx3.answer(Reply(200), Reply(200, json.dumps(found).encode()))
    assert find(target, of, [("a", 1_100)], 200).column("v").to_pylist() == [0.5]
    told = influx3.requests[-1]
    assert (told.path, told.parameters) == ("/query", {"db": "plant", "epoch": "ms"})
    (statement,) = parse_qs(told.body.decode())["q"]
    assert statement.startswith('SELECT "v", "window_end", "k"::tag FROM')


def test_an_error_of_influx_3_names_the_cure(influx3: InfluxThree) -> None:
    where = {"host": influx3.host, "port": influx3.port, "token": "hunter2", "database": "d"}
    target = Database(None, where).target()  # type: ignore[arg-type]
    of = stream(v="double")
    with pytest.raises(OutputError, match="refuses the token; check 'token'"):
        write(target, of, rows(of, (0, 1.0)))


def find(target: Any, of: Any, asked: list[tuple[str, int]], accuracy: int) -> Any:
    nothing = [None] * (len(of.columns) - 3)
    batch = rows(of, *[(at, key, *nothing) for key, at in asked])
    reader = pickle.loads(pickle.dumps(target.open(job(of)).reader()))()
    try:
        return reader.find(of, batch.select(["k", "window_start"]), accuracy)
    finally:
        reader.close()


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)
