"""The output postgres, by hand: what the tables hold of windows and rows, and what goes aside."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from threading import Timer
from typing import Any

import pytest

from engine.outputs import Batch, OutputError
from engine.outputs.postgres import Postgres
from tests.by_hand import HOSTILE, beside, find, job, rows, stream, table, time, write
from tests.servers.faults import End, Swallow, at_random
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

_NUMBERS = count()


class Place:
    """A schema of its own, and the output that writes there."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.schema = f"s {next(_NUMBERS)}"
        self.execute(f'CREATE SCHEMA "{self.schema}"')

    def target(self, **more: Any) -> Postgres:
        known = {
            "host": self.server.host,
            "port": self.server.port,
            "database": self.server.database,
            "username": self.server.username,
            "password": self.server.password,
            "schema": self.schema,
        }
        return Postgres(**{**known, **more})

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        with self.server.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; SET search_path = \"{self.schema}\"")
            found = connection.execute(text)
            return found.fetchall() if found.description else []

    def tables(self) -> set[str]:
        found = self.execute(
            f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{self.schema}'"
        )
        return {name for (name,) in found}


@pytest.fixture
def place(postgres: PostgresServer) -> Place:
    return Place(postgres)


def test_windows_are_rows_of_their_types_and_the_last_write_is_right(place: Place) -> None:
    columns = {"k": "string key", "K": "long key", "n": "int", "v": "double", "f": "float"}
    of = stream("Två; ord", **columns, on="boolean", select="string", seen="timestamp")
    first = [
        (1_000, "a", 7, 1, 0.1 + 0.2, 0.5, True, "x", time(1_234)),
        (0, "a", 8, -1, -1e300, None, None, "y", None),
    ]
    assert write(place.target(), of, rows(of, *first)) == []
    again = (1_000, "a", 7, None, 5e-324, 0.25, False, "", None)
    assert write(place.target(), of, rows(of, again)) == []
    assert place.execute('SELECT * FROM "Två; ord" ORDER BY 1') == [
        (time(0), time(1_000), "a", 8, -1, -1e300, None, None, "y", None),
        (time(1_000), time(2_000), "a", 7, None, 5e-324, 0.25, False, "", None),
    ]


def test_hostile_keys_arrive_intact_are_found_and_are_removed(place: Place) -> None:
    of = stream("w", **{"k": "string key", '"; DROP TABLE w; --': "string key", "v %s": "long"})
    windows = [(1_000, key, key[::-1], i) for i, key in enumerate(HOSTILE)]
    target = place.target()
    assert write(target, of, rows(of, *windows)) == []
    found = place.execute("SELECT * FROM w")
    assert sorted(row[2:] for row in found) == sorted(row[1:] for row in windows)
    asked = [(1_000, key, key[::-1]) for key in HOSTILE]
    answer = find(target, of, [*asked, (1_000, "a\0", "b"), (1_000, "\0", "")], 0)
    assert answer.column("v %s").to_pylist() == [*range(len(HOSTILE)), None, None]
    kept = (9_000, "a", "a", 1)
    gone = rows(of, *windows)
    assert write(target, of, rows(of, kept), removed=gone) == []
    assert place.execute('SELECT k, "v %s" FROM w') == [("a", 1)]


def test_exactly_the_rows_that_the_server_refuses_go_aside(place: Place) -> None:
    of = stream(k="string key", v="double")
    drawn = random.Random(1)
    # Of a row in an index there is less than the third of a page, however it is compressed.
    long = "".join(chr(drawn.randrange(0x4E00, 0x9000)) for _ in range(4_000))
    bad = {3: long, 50: "a\0b", 99: "\0"}
    windows = [(0, bad.get(i, f"k{i}"), float(i)) for i in range(100)]
    windows.append((1_000, "x" * 10_000, 1.0))
    refused = write(place.target(batch_size=64), of, rows(of, *windows))
    reasons = {json.loads(each.record)["v"]: each.reason for each in refused}
    assert sorted(reasons) == [3.0, 50.0, 99.0]
    assert reasons[3.0].startswith("index row ")
    assert reasons[50.0] == "a text of PostgreSQL cannot hold the character NUL, 'k' does"
    found = {v for (v,) in place.execute("SELECT v FROM w")}
    assert found == {float(i) for i in range(100) if i not in bad}
    assert place.execute("SELECT count(*) FROM w WHERE length(k) = 10000") == [(1,)]


def test_a_condition_of_the_table_refuses_rows_one_by_one(place: Place) -> None:
    of = stream(k="long key", v="long")
    target = place.target()
    write(target, of, rows(of))
    place.execute("ALTER TABLE w ADD CONSTRAINT small CHECK (v < 100)")
    windows = rows(of, *[(0, i, 1_000 if i % 7 == 0 else i) for i in range(90)])
    refused = write(target, of, windows)
    assert [json.loads(each.record)["k"] for each in refused] == list(range(0, 90, 7))
    assert {each.reason for each in refused} == {
        'new row for relation "w" violates check constraint "small"'
    }
    assert place.execute("SELECT count(*) FROM w") == [(90 - 13,)]
    with pytest.raises(OutputError, match=r'PostgreSQL at .*: new row for .*"v": 1000'):
        write(place.target(on_reject="stop"), of, windows)


def test_the_same_window_twice_is_the_later_one(place: Place) -> None:
    of = stream(k="string key", v="long")
    windows = rows(of, (0, "a", 1), (0, "b", 2), (0, "a", 3))
    assert write(place.target(), of, windows, rows(of, (0, "a", 4))) == []
    assert place.execute("SELECT k, v FROM w ORDER BY k") == [("a", 4), ("b", 2)]


def test_an_older_table_gets_the_columns_that_it_lacks(place: Place) -> None:
    old, new = stream(k="string key", v="long"), stream(k="string key", v="long", w="boolean")
    write(place.target(), old, rows(old, (0, "a", 1)))
    write(place.target(), new, rows(new, (1_000, "a", 2, True)))
    assert place.execute("SELECT v, w FROM w ORDER BY 1") == [(1, None), (2, True)]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("w (window_start timestamptz, k text PRIMARY KEY)", "the table has another key"),
        ("w (window_start timestamptz, k text)", "the table has another key"),
        ("w (window_start timestamptz, k text, v date, PRIMARY KEY (k, window_start))", "types"),
    ],
)
def test_a_table_that_does_not_fit_is_told_and_stays(place: Place, table: str, told: str) -> None:
    place.execute(f"CREATE TABLE {table}")
    of = stream(k="string key", v="double")
    with pytest.raises(OutputError, match=told):
        write(place.target(), of, rows(of, (0, "a", 1.0)))
    assert place.execute("SELECT * FROM w") == []


def test_small_batches_over_connections_write_every_row(place: Place) -> None:
    of = stream(k="long key", v="long")
    batches = [rows(of, *[(0, i, i) for i in range(at, at + 700)]) for at in range(0, 2_100, 700)]
    assert write(place.target(batch_size=97, connections=3), of, *batches) == []
    assert place.execute("SELECT count(*), sum(v) FROM w") == [(2_100, sum(range(2_100)))]


def test_a_hundred_and_fifty_measures_fit(place: Place) -> None:
    of = stream(k="string key", **{f"m{i}": "double" for i in range(150)})
    assert write(place.target(), of, rows(of, (0, "a", *map(float, range(150))))) == []
    assert place.execute("SELECT m0, m149 FROM w") == [(0.0, 149.0)]


RAW = beside("raw", k="string", v="double", at="timestamp", on="boolean")


def raw(batch: int, *values: tuple[Any, ...]) -> Any:
    return table(RAW, *[(*each, time(5), batch) for each in values])


def test_rows_without_a_key_are_written_once_by_each_run(place: Place) -> None:
    target = place.target()
    values = [(key, float(i), time(i), i % 2 == 0) for i, key in enumerate(HOSTILE)]
    values.append((None, None, None, None))
    assert write(target, RAW, raw(0, *values)) == []
    found = place.execute('SELECT k, v, at, "on", _arrived, _batch FROM raw')
    assert sorted(found, key=str) == sorted(((*each, time(5), 0) for each in values), key=str)
    # The attempt that comes again is another task: the batch may have other partitions.
    write(target, RAW, raw(0, *values), batch=Batch(0, replayed=True))
    write(target, RAW, raw(1, *values[:3]), batch=Batch(1))
    write(target, RAW, raw(1, *values[:2]), batch=Batch(1, replayed=True))
    write(target, RAW, raw(2, *values), batch=Batch(2), commits=False)
    count = "SELECT _batch, count(*) FROM raw GROUP BY 1 ORDER BY 1"
    assert place.execute(count) == [(0, len(values)), (1, 2)]
    write(target, RAW, raw(0, values[0]), batch=Batch(0, replayed=True), checkpoint="another")
    assert place.execute(count) == [(0, len(values) + 1), (1, 2)]
    assert place.execute("SELECT count(*) FROM _ts_engine_batches") == [(1,)]


def test_a_task_that_runs_again_finds_that_it_is_done(place: Place) -> None:
    with closing(place.target().open(job(RAW))) as opened:
        factory = opened.begin(Batch(3))
        for _ in range(2):
            writer = factory(7)
            writer.write(RAW, raw(3, ("a", 1.0, None, None)))
            writer.settle()
            writer.commit()
    assert place.execute("SELECT count(*) FROM raw") == [(1,)]


def test_a_nul_in_a_row_goes_aside_and_is_shown_where_records_are(place: Place) -> None:
    [refused] = write(place.target(), RAW, raw(0, ("a\0", 1.0, None, None)))
    assert json.loads(refused.record)["k"] == "a\0"
    malformed = beside("malformed", reason="string", record="string")
    row = table(malformed, ("why", "a\0b", time(0), 0), ("why", None, time(0), 0))
    assert write(place.target(), malformed, row) == []
    found = place.execute("SELECT record FROM malformed")
    assert set(found) == {("a\N{SYMBOL FOR NULL}b",), (None,)}


def test_history_is_the_nearest_window_within_the_accuracy(place: Place) -> None:
    of = stream(k="string key", n="long", v="double", on="boolean", seen="timestamp")
    target = place.target()
    many = [
        (at * 1_000, f"k{i}", i * 100 + at, None, True, time(5))
        for i in range(1_000)
        for at in range(3)
    ]
    write(target, of, rows(of, *many))
    asked = [
        *[(1_000, f"k{i}") for i in range(1_000)],
        *((1_400, "k1"), (1_500, "k1"), (1_600, "k1")),  # below, between two, above
        *((3_000, "k1"), (9_000_000, "k1"), (1_000, "none"), (1_000, None)),
    ]
    answer = find(target, of, asked, 500)
    starts = [each and each.timestamp() for each in answer.column("window_start").to_pylist()]
    assert starts == [*[1] * 1_000, 1, 1, 2, None, None, None, None]
    assert answer.column("n").to_pylist()[:1_000] == [i * 100 + 1 for i in range(1_000)]
    assert answer.column("seen").to_pylist()[0] == time(5)
    assert answer.column("on").to_pylist()[1_000:1_004] == [True, True, True, None]
    assert answer.column("v").null_count == len(asked)
    assert find(target, of, [], 0).schema == answer.schema


def test_history_of_windows_without_keys(place: Place) -> None:
    of = stream(n="long")
    write(place.target(), of, rows(of, (0, 1), (1_000, 2)))
    answer = find(place.target(), of, [(900,), (-5_000,)], 500)
    assert answer.column("n").to_pylist() == [2, None]


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    with Proxy(place.server.port) as made:
        yield made


def test_faults_of_the_network_lose_and_double_nothing(place: Place, proxy: Proxy) -> None:
    of = stream(k="long key", v="long")
    target = place.target(port=proxy.port, batch_size=100, connections=2, timeout="2 seconds")
    for at in range(6):
        with closing(target.open(job(of, RAW))) as opened:
            factory = opened.begin(Batch(at))
            proxy.behave(then=at_random(at, share=0.6, within=12_000))
            writer = factory(0)
            writer.write(of, rows(of, *[(at * 1_000, i, i) for i in range(600)]))
            writer.write(RAW, raw(at, *[(f"{i}", 1.0, None, None) for i in range(600)]))
            writer.settle()
            assert writer.refused() == []
            writer.commit()
            proxy.behave()
    assert proxy.happened.total() > 5
    found = Counter(place.execute("SELECT extract(epoch FROM window_start), k FROM w"))
    assert found == {(at, i): 1 for at in range(6) for i in range(600)}
    assert Counter(place.execute("SELECT _batch, k FROM raw")) == {
        (at, f"{i}"): 1 for at in range(6) for i in range(600)
    }


def test_a_commit_whose_answer_is_lost_is_not_done_again(place: Place, proxy: Proxy) -> None:
    target = place.target(port=proxy.port, timeout="2 seconds")
    numbers = count()
    with closing(target.open(job(RAW))) as opened:

        def is_cut(after: int) -> bool:
            """Writes a row over a connection of so many bytes of answers; whether it had them."""
            number, before = next(numbers), proxy.happened.total()
            factory = opened.begin(Batch(number))
            proxy.behave(End("reset", after, "answer"))
            writer = factory(0)
            writer.write(RAW, raw(number, ("a", 1.0, None, None)))
            writer.settle()
            writer.commit()
            return proxy.happened.total() > before

        whole, more = 0, 4_096
        while more - whole > 1:
            middle = (whole + more) // 2
            whole, more = (middle, more) if is_cut(middle) else (whole, middle)
        # The last of them are the answer to the commit.
        assert all(is_cut(whole - short) for short in range(1, 20, 3))
    found = place.execute("SELECT _batch, count(*) FROM raw GROUP BY 1 ORDER BY 1")
    assert found == [(number, 1) for number in range(next(numbers))]


def test_a_network_that_swallows_everything_is_left(place: Place, proxy: Proxy) -> None:
    of = stream(k="long key", v="long")
    with closing(place.target(port=proxy.port, timeout="1 second").open(job(of))) as opened:
        writer = opened.begin(Batch(0))(0)
        proxy.behave(Swallow())
        writer.write(of, rows(of, (0, 1, 1)))
        writer.settle()
        writer.commit()
    assert place.execute("SELECT v FROM w") == [(1,)]


def test_a_server_that_is_killed_in_the_middle_is_waited_for(place: Place) -> None:
    of = stream(k="long key", v="long")
    with closing(place.target(batch_size=50).open(job(of, RAW))) as opened:
        writer = opened.begin(Batch(0))(0)
        writer.write(of, rows(of, *[(0, i, i) for i in range(100)]))
        writer.write(RAW, raw(0, ("a", 1.0, None, None)))
        place.server.kill()
        starting = Timer(1.5, place.server.start)
        starting.start()
        writer.write(of, rows(of, *[(0, i, i) for i in range(100, 200)]))
        writer.settle()
        writer.commit()
        starting.join()
    assert place.execute("SELECT count(*) FROM w") == [(200,)]
    assert place.execute("SELECT count(*) FROM raw") == [(1,)]


def test_a_task_that_is_given_up_waits_for_nobody(place: Place) -> None:
    of = stream(k="long key", v="long")
    with closing(place.target(batch_size=1).open(job(of))) as opened:
        with place.server.stopped():
            writer = opened.begin(Batch(0))(0)
            writer.write(of, rows(of, (0, 1, 1)))
            writer.abort()
        assert place.execute("SELECT * FROM w") == []


WRONG = {
    "password": ({"password": "hunter2"}, "password authentication failed.*; check 'username'"),
    "user": ({"username": "nobody"}, "password authentication failed.*; check 'username' and"),
    "no password": ({"password": None}, "no password supplied; check 'username' and 'password'"),
    "database": ({"database": "no"}, 'database "no" does not exist; make it, or check \'data'),
    "schema": ({"schema": "no"}, "schema \"?'?no.*; make it, or check 'schema'"),
    "right": ({"username": "reader", "password": "hunter2"}, "reader"),
    "tls": ({"sslmode": "require"}, "server does not support SSL"),
    "parameter": ({"parameters": {"pasword": "hunter2"}}, "invalid connection option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_a_sentence_without_secrets(place: Place, case: str) -> None:
    options, told = WRONG[case]
    if case == "right":
        place.server.create_user("reader", "hunter2")
    target = place.target(**options)
    for attempt in (target.open, target.probe):
        with pytest.raises(OutputError, match=told) as caught:
            attempt(job(stream(v="double")))
        text = f"{caught.value} {caught.value!r} {target!r} {caught.value.__context__!r}"
        assert str(caught.value).startswith("output 'store': PostgreSQL at 127.0.0.1:")
        assert not [each for each in (place.server.password, "hunter2") if each in text]


def test_a_user_with_the_rights_to_a_table_alone_can_write(place: Place) -> None:
    of = stream(v="double")
    write(place.target(), of, rows(of))
    place.server.create_user(f"user of {place.schema}", "hunter2")
    who = {"username": f"user of {place.schema}", "password": "hunter2"}
    place.execute(f'GRANT USAGE ON SCHEMA "{place.schema}" TO "{who["username"]}"')
    with pytest.raises(OutputError, match="permission denied for table w; grant it to the user"):
        write(place.target(**who), of, rows(of))
    with pytest.raises(OutputError, match="may not read, write and delete in 'w'; grant it"):
        place.target(**who).probe(job(of))
    rights = "SELECT, INSERT, UPDATE, DELETE"
    place.execute(f'GRANT {rights} ON w TO "{who["username"]}"')
    assert write(place.target(**who), of, rows(of, (0, 1.0))) == []
    assert "may write to the database 'plant'" in place.target(**who).probe(job(of))


def test_a_probe_says_the_version_and_makes_nothing(place: Place) -> None:
    told = place.target().probe(job(stream(v="double"), RAW))
    assert told.startswith(f"PostgreSQL at 127.0.0.1:{place.server.port}, version 1")
    assert told.endswith(": may write to the database 'plant'; to be made: w, raw")
    assert place.tables() == set()


def test_a_hypertable_needs_the_extension(place: Place) -> None:
    with pytest.raises(OutputError, match="lacks the extension timescaledb; CREATE EXTENSION"):
        place.target(hypertable=True).open(job(stream(v="double")))
    assert place.tables() == set()
