"""The output cassandra, by hand: what a node holds of windows, and what goes aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from threading import Timer
from typing import Any

import pytest

from engine.outputs import Batch, OutputError
from engine.outputs.cassandra import Cassandra
from tests.by_hand import HOSTILE, find, job, rows, stream, time, write
from tests.servers.cassandra import CassandraNode
from tests.servers.faults import at_random
from tests.servers.proxy import Proxy

_NUMBERS = count()


class Place:
    """A keyspace of its own, and the output that writes there."""

    def __init__(self, server: CassandraNode) -> None:
        self.server = server
        self.keyspace = f"Keys_{next(_NUMBERS)}"
        server.create_keyspace(self.keyspace)

    def target(self, **more: Any) -> Cassandra:
        known = {
            "hosts": (self.server.host,),
            "port": self.server.port,
            "keyspace": self.keyspace,
            "create": True,
        }
        return Cassandra(**{**known, **more})

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        with self.server.session() as session:
            session.set_keyspace(self.keyspace)
            return [tuple(row) for row in session.execute(text)]


@pytest.fixture
def place(cassandra: CassandraNode) -> Place:
    return Place(cassandra)


def test_windows_are_rows_and_the_last_write_is_right(place: Place) -> None:
    columns = {"k": "string key", "K": "long key", "n": "int", "v": "double", "f": "float"}
    of = stream("W", **columns, on="boolean", select="string", seen="timestamp")
    first = [
        (-1_000, "a", 7, 1, 0.1 + 0.2, 0.5, True, "x", time(1_234)),
        (0, "a", 7, -(2**31), -1e300, None, None, "", None),
    ]
    assert write(place.target(), of, rows(of, *first)) == []
    again = (-1_000, "a", 7, None, 5e-324, 0.25, False, "a\0b", None)
    assert write(place.target(), of, rows(of, again)) == []
    names = 'window_start, window_end, k, "K", n, v, f, "on", "select", seen'
    assert [
        tuple(each.timestamp() if hasattr(each, "timestamp") else each for each in row)
        for row in place.execute(f'SELECT {names} FROM "W"')
    ] == [
        (*_naive(-1_000, 0), "a", 7, None, 5e-324, 0.25, False, "a\0b", None),
        (*_naive(0, 1_000), "a", 7, -(2**31), -1e300, None, None, "", None),
    ]


def _naive(*times: int) -> list[float]:
    """Times as the driver gives them: in UTC, and silent about it."""
    return [time(each).replace(tzinfo=None).timestamp() for each in times]


def test_hostile_keys_arrive_intact_are_found_and_are_removed(place: Place) -> None:
    of = stream(**{"k": "string key", '"; DROP TABLE w; --': "string key", "v %s": "long"})
    keys = [*HOSTILE, "a\0b", "x" * 10_000]
    windows = [(1_000, key, key[::-1], i) for i, key in enumerate(keys)]
    target = place.target()
    assert write(target, of, rows(of, *windows)) == []
    found = place.execute(
        'SELECT k, "\\"; DROP", "v %s" FROM w'.replace('\\"; DROP', '""; DROP TABLE w; --')
    )
    assert sorted(found) == sorted(row[1:] for row in windows)
    answer = find(target, of, [(1_000, key, key[::-1]) for key in keys], 0)
    assert answer.column("v %s").to_pylist() == list(range(len(keys)))
    assert write(target, of, rows(of, (9_000, "a", "a", 1)), removed=rows(of, *windows)) == []
    assert place.execute('SELECT k, "v %s" FROM w') == [("a", 1)]


def test_exactly_the_rows_that_the_server_refuses_go_aside(place: Place) -> None:
    of = stream(k="string key", v="long")
    bad = {3: "", 50: "x" * 70_000}
    windows = rows(of, *[(0, bad.get(i, f"k{i}"), i) for i in range(100)])
    refused = write(place.target(batch_size=7), of, windows, removed=windows)
    reasons = {json.loads(each.record)["v"]: each.reason for each in refused}
    assert reasons[3] == "Key may not be empty"
    assert reasons[50] == "Key length of 70000 is longer than maximum of 65535"
    assert sorted(v for (v,) in place.execute("SELECT v FROM w")) == [
        i for i in range(100) if i not in bad
    ]
    with pytest.raises(OutputError, match=r'Cassandra at .*: Key may not be empty: .*"v": 3'):
        write(place.target(on_reject="stop"), of, windows)


def test_a_window_of_a_later_batch_wins_whatever_the_clocks_say(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = stream(k="string key", v="long")
    with closing(place.target().open(job(of))) as opened:
        for number in range(5):
            # A clock that goes backwards.
            monkeypatch.setattr("time.time_ns", lambda at=number: (10**6 - at) * 10**12)
            writer = opened.begin(Batch(number))(0)
            writer.write(of, rows(of, (0, "a", number)))
            writer.settle()
            writer.commit()
    assert place.execute("SELECT v FROM w") == [(4,)]


def test_a_window_lives_as_long_as_is_wanted(place: Place) -> None:
    of = stream(v="long")
    write(place.target(ttl="2 days"), of, rows(of, (0, 1)))
    [(stream_name, left)] = place.execute("SELECT stream, ttl(v) FROM w")
    assert stream_name == "w"
    assert 100_000 < left <= 2 * 86_400


def test_an_older_table_gets_the_columns_that_it_lacks(place: Place) -> None:
    old, new = stream(k="string key", v="long"), stream(k="string key", v="long", w="boolean")
    write(place.target(), old, rows(old, (0, "a", 1)))
    with pytest.raises(OutputError, match="no column 'w'; make it, or write \"create\": true"):
        place.target(create=False).open(job(new))
    write(place.target(), new, rows(new, (1_000, "a", 2, True)))
    assert place.execute("SELECT v, w FROM w") == [(1, None), (2, True)]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"k": "string key", "j": "string key", "v": "double"}, "has another key"),
        ({"k": "string", "v": "double"}, "has another key"),
        ({"k": "string key", "v": "string"}, "'v' of .* is double, and should be text"),
    ],
)
def test_a_table_that_does_not_fit_is_told(
    place: Place, columns: dict[str, str], told: str
) -> None:
    there, of = stream(k="string key", v="double"), stream(**columns)
    write(place.target(), there)
    with pytest.raises(OutputError, match=told):
        place.target().open(job(of))


def test_history_is_the_nearest_window_within_the_accuracy(place: Place) -> None:
    of = stream(k="string key", n="long", v="double", on="boolean", seen="timestamp")
    target = place.target()
    many = [
        (at * 1_000, f"k{i}", i * 100 + at, None, True, time(5)) for i in range(200)
        for at in range(3)
    ]  # fmt: skip
    write(target, of, rows(of, *many))
    asked = [
        *[(1_000, f"k{i}") for i in range(200)],
        *((1_400, "k1"), (1_500, "k1"), (1_600, "k1")),  # below, between two, above
        *((3_000, "k1"), (9_000_000, "k1"), (1_000, "none"), (1_000, None), (1_000, "")),
    ]
    answer = find(target, of, asked, 500)
    starts = [each and each.timestamp() for each in answer.column("window_start").to_pylist()]
    assert starts == [*[1] * 200, 1, 1, 2, None, None, None, None, None]
    assert answer.column("n").to_pylist()[:200] == [i * 100 + 1 for i in range(200)]
    assert answer.column("seen").to_pylist()[0] == time(5)
    assert answer.column("on").to_pylist()[200:204] == [True, True, True, None]
    assert answer.column("v").null_count == len(asked)
    assert find(target, of, [], 0).schema == answer.schema
    alone = stream("alone", n="long")
    write(target, alone, rows(alone, (0, 1), (1_000, 2)))
    assert find(target, alone, [(900,), (-5_000,)], 500).column("n").to_pylist() == [2, None]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("string key", [f"k{i}" for i in range(120)]),
        ("long key", range(120)),
        ("double key", [i / 8 for i in range(120)]),
        ("timestamp key", [time(i) for i in range(120)]),
        ("boolean key", [False, True]),
    ],
)
def test_series_are_asked_for_together_by_the_key_in_which_they_differ(
    place: Place, kind: str, keys: Sequence[Any]
) -> None:
    of = stream(a="string key", k=kind, z="boolean key", n="long")
    target = place.target()
    write(target, of, rows(of, *[(0, "a", key, True, i) for i, key in enumerate(keys)]))
    asked = [(0, "a", key, True) for key in keys]
    missing = [(0, "b", keys[0], True), (0, "a", keys[0], False), (1, "a", keys[0], True)]
    answer = find(target, of, [*asked, *missing, *asked], 0)
    there = list(range(len(keys)))
    assert answer.column("n").to_pylist() == [*there, None, None, None, *there]


def test_a_key_that_the_server_refuses_has_no_past_and_others_have(place: Place) -> None:
    of = stream(k="string key", n="long")
    target = place.target()
    write(target, of, rows(of, *[(0, f"k{i}", i) for i in range(120)]))
    asked = [*((0, f"k{i}") for i in range(120)), (0, "x" * 70_000)]
    assert find(target, of, asked, 0).column("n").to_pylist() == [*range(120), None]


def test_faults_of_the_network_lose_nothing(place: Place) -> None:
    of = stream(k="long key", v="long")
    with Proxy(place.server.port) as proxy:
        target = place.target(port=proxy.port, batch_size=50, timeout="2 seconds")
        with closing(target.open(job(of))) as opened:
            for at in range(8):
                factory = opened.begin(Batch(at))
                proxy.behave(then=at_random(at, share=0.5, within=12_000))
                writer = factory(0)
                writer.write(of, rows(of, *[(at * 1_000, i, i) for i in range(300)]))
                writer.settle()
                assert writer.refused() == []
                writer.commit()
                proxy.behave()
        assert proxy.happened.total() > 2
    assert place.execute("SELECT count(*) FROM w") == [(2_400,)]


def test_a_node_that_is_killed_in_the_middle_is_waited_for(place: Place) -> None:
    of = stream(k="long key", v="long")
    with closing(place.target(timeout="5 seconds").open(job(of))) as opened:
        writer = opened.begin(Batch(0))(0)
        writer.write(of, rows(of, *[(0, i, i) for i in range(100)]))
        place.server.kill()
        starting = Timer(0, place.server.start)
        starting.start()
        writer.write(of, rows(of, *[(0, i, i) for i in range(100, 200)]))
        writer.settle()
        writer.commit()
        starting.join()
    assert place.execute("SELECT count(*) FROM w") == [(200,)]


def test_what_is_absent_is_told_or_made(place: Place) -> None:
    of = stream(k="string key", v="double")
    for attempt in ("open", "probe"):
        for options, told in (
            ({"keyspace": "no"}, "there is no keyspace 'no'; make it, or write"),
            ({}, 'there is no table .*w.*; make it, or write "create": true'),
        ):
            target = place.target(**{**options, "create": False})
            with pytest.raises(OutputError, match=told):
                getattr(target, attempt)(job(of))
    told = place.target(keyspace="made_1").probe(job(of))
    assert told.endswith(": keyspace 'made_1'; to be made: the keyspace 'made_1', w")
    write(place.target(keyspace="made_1"), of)
    assert place.target(keyspace="made_1").probe(job(of)).endswith(": keyspace 'made_1'")
    with pytest.raises(OutputError, match="PlainStrategy"):
        write(place.target(keyspace="made_2", replication={"class": "PlainStrategy"}), of)


def test_who_may_not_is_told_without_secrets(cassandra_guarded: CassandraNode) -> None:
    place = Place(cassandra_guarded)
    place.server.create_user("reader", "hunter2", f'SELECT ON KEYSPACE "{place.keyspace}"')
    of = stream(k="string key", v="double")
    who = {"username": place.server.username, "password": place.server.password}
    assert write(place.target(**who), of, rows(of, (0, "a", 1.0))) == []
    for options, told in (
        ({**who, "password": "hunter2"}, "check 'username' and 'password'"),
        ({"username": "nobody", "password": "hunter2"}, "check 'username' and 'password'"),
        ({}, "requires authentication|equires auth"),
        ({"username": "reader", "password": "hunter2"}, "no MODIFY permission.*; grant it"),
    ):
        target = place.target(**options)
        with pytest.raises(OutputError, match=told) as caught:
            write(target, of, rows(of, (0, "a", 2.0)))
        text = f"{caught.value} {caught.value!r} {target!r} {caught.value.__context__!r}"
        assert str(caught.value).startswith("output 'store': Cassandra at 127.0.0.1:")
        assert "hunter2" not in text
    assert place.execute("SELECT v FROM w") == [(1.0,)]


MISTAKES = {
    "no authority": ({"ca_file": None}, "its certificate is not trusted: self-signed certificate"),
    "no file": ({"ca_file": "/no/authority.pem"}, "'ca_file': '/no/authority.pem': no such file"),
    "no PEM": ({"ca_file": __file__}, f"'ca_file': '{__file__}': holds no certificates, as PEM"),
    "no TLS": ({"tls": False}, 'it speaks TLS; write "tls": true'),
    "password": ({"password": "hunter2"}, "Provided username cassandra and/or password are"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_with_tls_is_told_at_once(cassandra_tls: CassandraNode, mistake: str) -> None:
    changes, expected = MISTAKES[mistake]
    place = Place(cassandra_tls)
    who = {"username": place.server.username, "password": place.server.password}
    known = {"tls": True, "ca_file": str(place.server.certificate), **who}
    of = stream(k="string key", v="double")
    for ask in ("open", "probe"):
        with pytest.raises(OutputError) as told:
            getattr(place.target(**{**known, **changes}), ask)(job(of))
        where = f"output 'store': Cassandra at 127.0.0.1:{place.server.port}: "
        assert str(told.value).startswith(where + expected)
        assert "hunter2" not in repr(told.value)


def test_tls_with_a_node_that_speaks_none_is_told_at_once(place: Place) -> None:
    for ask in ("open", "probe"):
        with pytest.raises(OutputError, match="it speaks no TLS; check 'tls' and 'port'"):
            getattr(place.target(tls=True), ask)(job(stream(k="string key", v="double")))


def test_a_file_that_there_is_not_is_a_problem(place: Place) -> None:
    told: list[tuple[str, ...]] = []
    for options in ({"ca_file": "/no/x.pem"}, {"ca_file": "/no/x.pem", "tls": True}):
        place.target(**options).check(lambda *each: told.append(each))
    assert [each[:2] for each in told] == [
        ("ca_file", "'ca_file' is of no use without TLS"),
        ("ca_file", "'/no/x.pem' cannot be read: no such file or directory"),
    ]
