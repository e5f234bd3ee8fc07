"""What the output ``redis`` leaves in a real RedisTimeSeries, and what it reads there."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest

from engine.check import check
from engine.outputs import Batch, Job, OutputError, Reader, Refused, Stream, Writer
from engine.outputs._notices import Notices
from engine.outputs._redis_key import KeyTemplate
from engine.outputs.redis import Compaction, Redis
from engine.plan import Column
from engine.types import Type
from tests.jobs import Job as ConfigJob
from tests.servers.faults import End
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisNodes, RedisServer

TIME = pa.timestamp("us", tz="UTC")
START = 1_700_000_000
RIGHTS = [f"+ts.{each}" for each in ("madd", "add", "create", "del", "get")]
RIGHTS += ["+info", "+acl"]
#: Values of keys that separate, quote, filter or inject somewhere.
HOSTILE = [
    ("a:b", "c"),
    ("a", "b:c"),
    ("a%3Ab", "c"),
    ("", "x"),
    ("x", ""),
    ("RETENTION", "LABELS"),
    ("q\"'\n\r\t ;DROP", "(a,b)=c!"),
    ("é😀\0", "trailing \\"),
    ("k" * 10_000, "*"),
]


def stream(name: str, **columns: Type) -> Stream:
    """A stream with two keys, ``sensor`` and ``room``, and these measures."""
    times = (Column(each, Type.TIMESTAMP, "time") for each in ("window_start", "window_end"))
    keys = (Column(each, Type.STRING, "key") for each in ("sensor", "room"))
    measures = (Column(each, of, "measure") for each, of in columns.items())
    return Stream(name, (*times, *keys, *measures))


def windows(of: Stream, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows of (seconds, sensor, room, measures …)."""
    kinds = {Type.LONG: pa.int64(), Type.DOUBLE: pa.float64(), Type.BOOLEAN: pa.bool_()}
    starts = pa.array([int(row[0] * 1_000_000) for row in rows], TIME)
    values = [list(each) for each in zip(*rows, strict=True)] or [[] for _ in of.columns[1:]]
    texts = [pa.array(values[place], pa.string()) for place in (1, 2)]
    measures = [
        pa.array(values[place], kinds[column.type])
        for place, column in enumerate(of.columns[4:], start=3)
    ]
    names = [column.name for column in of.columns]
    return pa.RecordBatch.from_arrays([starts, starts, *texts, *measures], names)


def target(server: RedisServer | RedisNodes | Proxy, **options: Any) -> Redis:
    return Redis(**{"host": "127.0.0.1", "port": server.port, **options})


@contextmanager
def writing(to: Redis, *streams: Stream, job: Job | None = None) -> Iterator[Writer]:
    """A writer as a task gets it."""
    job = job or Job("j", "redis", "c", "127.0.0.1", streams)
    with closing(to.open(job)) as opened:
        writer = pickle.loads(pickle.dumps(opened.begin(Batch(0))))(0)
        try:
            yield writer
        except BaseException:
            writer.abort()
            raise
        writer.settle()
        writer.commit()


@contextmanager
def reading(to: Redis, taken: Stream) -> Iterator[Reader]:
    """A reader as a task gets it."""
    opened = to.open(Job("j", "redis", "c", "", (taken,)))
    with closing(opened), closing(pickle.loads(pickle.dumps(opened.reader()))()) as reader:
        yield reader


def write(to: Redis, of: Stream, rows: list[tuple[Any, ...]]) -> list[Refused]:
    """Writes the windows; gives what was refused."""
    with writing(to, of) as writer:
        writer.write(of, windows(of, rows))
        writer.settle()
        return writer.refused()


def samples(server: RedisServer | RedisNodes, key: str) -> list[tuple[float, float]]:
    """What a series holds, its times in seconds."""
    with server.client() as client:
        return [(time / 1000, value) for time, value in client.ts().range(key, "-", "+")]


@pytest.fixture(params=["one server", "cluster"])
def server(request: pytest.FixtureRequest) -> RedisServer | RedisNodes:
    name = "redis" if request.param == "one server" else "redis_cluster"
    found: RedisServer | RedisNodes = request.getfixturevalue(name)
    return found


def of(server: RedisServer | RedisNodes, **options: Any) -> Redis:
    return target(server, cluster=isinstance(server, RedisNodes), **options)


def test_hostile_keys_have_series_of_their_own_and_are_found_again(
    server: RedisServer | RedisNodes,
) -> None:
    taken = stream("host:ile", n=Type.LONG, mean=Type.DOUBLE, hot=Type.BOOLEAN)
    rows = [
        (START + place, *key, place, place / 2, place % 2 == 0) for place, key in enumerate(HOSTILE)
    ]
    assert write(of(server), taken, rows) == []
    assert samples(server, "host%3Aile:a%3Ab:c:mean") == [(START, 0.0)]
    assert samples(server, "host%3Aile:a:b%3Ac:mean") == [(START + 1, 0.5)]
    with server.client() as client:
        labels = client.ts().info("host%3Aile:q\"'\n\r\t ;DROP:(a,b)=c!:hot").labels
        empty = client.ts().info("host%3Aile::x:n").labels
    assert labels == {
        "stream": "host:ile",
        "measure": "hot",
        "sensor": "q\"'\n\r\t ;DROP",
        "room": "%28a%2Cb%29=c!",  # a label cannot hold brackets and commas
    }
    assert empty == {"stream": "host:ile", "measure": "n", "room": "x"}, "no label is empty"
    asked = windows(taken, rows).select(["window_start", "sensor", "room"])
    with reading(of(server), taken) as reader:
        found = reader.find(taken, asked, 100)
    assert found.select(["n", "mean", "hot"]) == windows(taken, rows).select(["n", "mean", "hot"])
    assert [each.timestamp() for each in found.column("window_start").to_pylist()] == [
        row[0] for row in rows
    ]


def test_a_window_is_replaced_cleared_and_removed(server: RedisServer | RedisNodes) -> None:
    taken = stream("again", n=Type.LONG, mean=Type.DOUBLE)
    to = of(server)
    for rows in ([(START, "a", "r", 1, 1.5)], [(START, "a", "r", 2, 2.5)]):
        assert write(to, taken, [*rows, (START + 60, "a", "r", 3, 3.5)]) == []
    assert samples(server, "again:a:r:n") == [(START, 2), (START + 60, 3)]
    assert write(to, taken, [(START, "a", "r", 4, None), (START, "new", "r", None, None)]) == []
    assert samples(server, "again:a:r:n") == [(START, 4), (START + 60, 3)]
    assert samples(server, "again:a:r:mean") == [(START + 60, 3.5)], "null after a value"
    with writing(to, taken) as writer:
        gone = windows(taken, [(START + 60, "a", "r", 0, 0), (START, "none", "r", 0, 0)])
        writer.remove(taken, gone.select(["window_start", "sensor", "room"]))
    assert samples(server, "again:a:r:n") == [(START, 4)]
    assert samples(server, "again:a:r:mean") == []


def test_what_is_refused_is_told_one_by_one_and_the_rest_is_written(
    server: RedisServer | RedisNodes,
) -> None:
    taken = stream("refused", n=Type.LONG, mean=Type.DOUBLE)
    to = of(server, retention_ms=1000)
    assert write(to, taken, [(START, "a", "r", 1, 1.5)]) == []
    with server.client() as client:
        client.set("refused:text:r:mean", "no series")
    rows: list[tuple[Any, ...]] = [
        (START + 1, "a", "r", 2**53 + 1, 2.5),
        (START + 1, "b", "r", 2**60, float("inf")),
        (START + 1, "text", "r", 3, 3.5),
        (START - 10, "a", "r", 4, None),
        (-10, "c", "r", 5, None),
        (START + 1, "d", "r", 6, 6.5),
    ]
    refused = [(each.reason, json.loads(each.record)) for each in write(to, taken, rows)]
    told = {(reason, row["sensor"], row.get("n"), row.get("mean")) for reason, row in refused}
    assert told == {
        ("a sample is a double, which does not hold all digits", "a", 2**53 + 1, None),
        ("a sample is a finite number", "b", None, float("inf")),
        ("the key of the series holds something else", "text", None, 3.5),
        ("Timestamp is older than retention", "a", 4, None),
        ("a series has no times before 1970", "c", 5, None),
    }
    assert {row["stream"] for _, row in refused} == {"refused"}
    assert len(refused) == len(told)
    assert samples(server, "refused:b:r:n") == [(START + 1, float(2**60))]
    assert samples(server, "refused:d:r:mean") == [(START + 1, 6.5)]
    with server.client() as client:
        assert client.get("refused:text:r:mean") == "no series"


def test_a_refused_sample_stops_the_run_where_that_is_asked_for(redis: RedisServer) -> None:
    taken = stream("stops", n=Type.LONG)
    told = "a sample is a double, which does not hold all digits"
    with pytest.raises(OutputError, match=f"output 'redis': 127.0.0.1:{redis.port}: {told}"):
        write(target(redis, on_reject="stop"), taken, [(START, "a", "r", 2**53 + 1)])


def test_a_series_that_others_made_takes_replays_whatever_its_policy(redis: RedisServer) -> None:
    taken = stream("others", n=Type.LONG)
    with redis.client() as client:
        client.ts().create("others:a:r:n", duplicate_policy="block")
    for number in (1, 2):
        assert write(target(redis), taken, [(START, "a", "r", number)]) == []
    assert samples(redis, "others:a:r:n") == [(START, 2)]


def test_series_are_made_as_the_options_say_and_compacted(redis: RedisServer) -> None:
    taken = stream("made", n=Type.LONG)
    rule = Compaction(aggregation="sum", bucket="1 minute", retention_ms=86_400_000)
    to = target(redis, retention_ms=3_600_000, chunk_size=128, compactions=(rule,))
    at = START // 60 * 60
    for more in (0, 1):  # the second time the rule is there
        rows = [(at + 10 * place, "a", "r", place + more) for place in range(13)]
        assert write(to, taken, rows) == []
    with redis.client() as client:
        about = client.ts().info("made:a:r:n")
        compacted = client.ts().info("made:a:r:n:sum:60000")
        found = client.ts().range("made:a:r:n:sum:60000", "-", "+")
    assert (about.retention_msecs, about.chunk_size, about.duplicate_policy) == (
        3_600_000,
        128,
        "last",
    )
    assert compacted.retention_msecs == 86_400_000
    assert compacted.labels == {
        **about.labels,
        "aggregation": "sum",
        "bucket_ms": "60000",
    }
    assert found[-1] == (1000 * (at + 60), sum(range(7, 13)))


def test_another_database_is_written_to(redis: RedisServer) -> None:
    taken = stream("elsewhere", n=Type.LONG)
    assert write(target(redis, db=3), taken, [(START, "a", "r", 1)]) == []
    with redis.client() as here, redis.client(db=3) as there:
        assert here.exists("elsewhere:a:r:n") == 0
        assert there.ts().range("elsewhere:a:r:n", "-", "+") == [(START * 1000, 1)]


def test_many_windows_are_answered_at_once_each_by_the_nearest(redis: RedisServer) -> None:
    taken = stream("past", n=Type.LONG, mean=Type.DOUBLE)
    rows = [(START + 10 * (place % 3), f"s{place // 3}", "r", place, 1.0) for place in range(9000)]
    rows.append((START + 5, "null", "r", 1, None))
    assert write(target(redis), taken, rows) == []
    asked: list[tuple[float, str, int | None]] = [
        (START + 12, f"s{place}", 3 * place + 1) for place in range(3000)
    ]
    asked += [
        (START + 15, "s0", 1),  # of two as near the earlier one
        (START + 23.5, "s0", None),
        (START + 20.001, "s0", 2),
        (START, "nobody", None),
        (START + 5, "null", 1),
        (-5, "s0", None),
    ]
    wanted = windows(taken, [(at, key, "r", 0, 0.0) for at, key, _ in asked])
    asked_rows = wanted.select(["window_start", "sensor", "room"])
    with reading(target(redis), taken) as reader:
        near = reader.find(taken, asked_rows.slice(0, 3000), 3000)
        rest = reader.find(taken, asked_rows.slice(3000), 5000)
        none = reader.find(taken, asked_rows.slice(0, 0), 3000)
    assert near.column("n").to_pylist() == [number for *_, number in asked[:3000]]
    assert rest.column("n").to_pylist() == [1, 2, 2, None, 1, None]
    assert rest.column("mean").to_pylist()[4] is None
    assert rest.column("window_start").to_pylist()[4] == datetime.fromtimestamp(
        START + 5, timezone.utc
    )
    assert (none.num_rows, none.schema) == (0, near.schema)


def test_a_server_that_stops_is_waited_for_and_nothing_is_lost(redis: RedisServer) -> None:
    taken = stream("stopped", n=Type.LONG)
    said: list[str] = []
    down = threading.Event()
    notices = Notices("127.0.0.1", lambda line: (said.append(line), down.set())[0])
    job = Job("j", "redis", "c", "127.0.0.1", (taken,), notices.address)
    try:
        with writing(target(redis, timeout="2 seconds"), taken, job=job) as writer:
            writer.write(taken, windows(taken, [(START, "a", "r", 1)]))
            writer.settle()
            with redis.stopped():
                writer.write(taken, windows(taken, [(START + 1, "a", "r", 2)]))
                assert down.wait(60)
            writer.settle()
            assert writer.refused() == []
    finally:
        notices.close()
    assert samples(redis, "stopped:a:r:n") == [(START, 1), (START + 1, 2)]
    assert said[0] == f"output 'redis': 127.0.0.1:{redis.port}: connection refused; waiting"
    assert "goes on after" in said[-1]


def test_connections_that_are_cut_lose_and_double_nothing(redis: RedisServer) -> None:
    taken = stream("cut", n=Type.LONG)
    cuts = [End(of="answer", after=700, how="reset"), End(of="request", after=9000, how="reset")]
    rows = [(START + place, f"s{place % 50}", "r", place) for place in range(3000)]
    with Proxy(redis.port) as proxy:
        to = target(proxy, batch_size=500)
        with writing(to, taken) as writer:
            proxy.behave(*cuts)
            writer.write(taken, windows(taken, rows))
        assert all(proxy.happened[each] for each in cuts)
    found = [each for s in range(50) for each in samples(redis, f"cut:s{s}:r:n")]
    assert sorted(found) == [(row[0], row[3]) for row in rows]


def full(client: Any) -> Callable[[], None]:
    client.config_set("maxmemory", "1")
    return lambda: client.config_set("maxmemory", "0")


def test_a_full_server_is_waited_for(redis: RedisServer) -> None:
    taken = stream("full", n=Type.LONG)
    said: list[str] = []
    told = threading.Event()
    notices = Notices("127.0.0.1", lambda line: (said.append(line), told.set())[0])
    job = Job("j", "redis", "c", "127.0.0.1", (taken,), notices.address)
    try:
        with redis.client() as client, writing(target(redis), taken, job=job) as writer:
            mend = full(client)
            try:
                writer.write(taken, windows(taken, [(START, "a", "r", 1)]))
                assert told.wait(60)
            finally:
                mend()
            writer.settle()
    finally:
        notices.close()
    assert "the server's memory is full; waiting" in said[0]
    assert samples(redis, "full:a:r:n") == [(START, 1)]


def test_over_tls_with_a_user(redis_tls: RedisServer) -> None:
    taken = stream("secret", n=Type.LONG)
    redis_tls.create_user("plant", "sword-fish", "~secret:*", *RIGHTS)
    known = {"username": "plant", "password": "sword-fish"}
    to = target(redis_tls, tls=True, tls_ca=str(redis_tls.certificate), **known)
    assert write(to, taken, [(START, "a", "r", 1)]) == []
    assert samples(redis_tls, "secret:a:r:n") == [(START, 1)]
    told = to.probe(Job("j", "redis", "c", "", (taken,)))
    assert told == f"127.0.0.1:{redis_tls.port}: Redis 7.4.1"
    other = stream("other", n=Type.LONG)
    with pytest.raises(OutputError, match="no permission"):
        write(to, other, [(START, "a", "r", 1)])
    with pytest.raises(OutputError, match=r"permission.*; give it ts\.madd"):
        to.probe(Job("j", "redis", "c", "", (other,)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"password": "hunter2"}, "wrong user or password, or none where the server wants one"),
        ({"username": "eve", "password": "hunter2"}, "wrong user or password"),
        ({"tls": False, "password": "hunter2"}, "the connection was"),
        ({"tls_ca": None, "password": "hunter2"}, "its certificate is not trusted"),
        ({"db": 99, "password": "swordfish-three"}, "there is no database 99"),
        ({"cluster": True, "password": "swordfish-three"}, "the server is no cluster"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_pass_is_told_at_once_without_the_password(
    redis_tls: RedisServer, options: dict[str, Any], told: str
) -> None:
    known = {"tls": True, "tls_ca": str(redis_tls.certificate)}
    to = target(redis_tls, **{**known, **options})
    job = Job("j", "redis", "c", "", ())
    if "connection" not in told:  # may pass: it is given up after a minute
        with pytest.raises(OutputError) as stopped:
            to.open(job)
        assert f"output 'redis': 127.0.0.1:{redis_tls.port}: {told}" in str(stopped.value)
    with pytest.raises(Exception, match=told) as asked:
        to.probe(job)
    said = f"{asked.value!r} {to.server!r}"
    assert options["password"] not in said


def test_a_cluster_that_is_taken_for_one_server_is_told(redis_cluster: RedisNodes) -> None:
    taken = stream("alone", n=Type.LONG)
    with pytest.raises(OutputError, match="the server is a node of a cluster; write"):
        write(target(redis_cluster), taken, [(START, f"s{n}", "r", n) for n in range(50)])


def test_a_user_who_may_not_read_can_begin(redis: RedisServer) -> None:
    redis.create_user("plain", "p", "~*", "+@all", "-ts.get")
    to = target(redis, username="plain", password="p")
    to.open(Job("j", "redis", "c", "", ())).close()  # who may not ask has it all the same
    told = to.probe(Job("j", "redis", "c", "", ()))
    assert told == f"127.0.0.1:{redis.port}: Redis 7.4.1 with RedisTimeSeries 1.12.2"


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{stream}:{keys}:{measure}", "s:a%3A-:b:m"),
        ("{{{stream}}}:{keys}-{measure}", "{s}:a%3A%2D:b-m"),
        ("{measure}/{room}/{sensor}", "m/b/a%3A-"),
    ],
)
def test_a_template_becomes_a_key(template: str, key: str) -> None:
    taken = stream("s", m=Type.LONG)
    made = KeyTemplate.of(template)
    assert list(made.problems([taken])) == []
    values = {"sensor": pa.array(["a:-"]), "room": pa.array(["b"])}
    escaped = {name: made.escape_column(each) for name, each in values.items()}
    assert made.keys(taken, "m", escaped, 1).to_pylist() == [key]


def test_without_keys_their_place_falls_away() -> None:
    times = (Column("window_start", Type.TIMESTAMP, "time"),)
    taken = Stream("AggDayRest", (*times, Column("energy", Type.DOUBLE, "measure")))
    for template in ("{stream}:{keys}:{measure}", "{stream}:{measure}:{keys}"):
        made = KeyTemplate.of(template)
        expected = ":".join(["AggDayRest", "energy"])
        assert made.keys(taken, "energy", {}, 2).to_pylist() == [expected] * 2


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"key": "{stream}:{keys"}, ["'{stream}:{keys' is no template: a brace is not closed"]),
        ({"key": "{stream}{keys}:{measure}"}, ["nothing stands between '{stream}' and '{keys}'"]),
        ({"key": "{stream}x{keys}:{measure}"}, ["what stands before '{keys}' begins with 'x'"]),
        ({"key": "{stream}:{senor}:{measure}"}, ["'{senor}' is no key of 'w'", "share a series"]),
        ({"key": "{stream}:{measure}"}, ["that differ by 'key' would share a series"]),
        ({"key": "{stream}:{keys}"}, ["'n' of 'w' and 'top' of 'w' would share a series"]),
        ({"chunk_size": 100}, ["'chunk_size' must be a multiple of 8, is 100"]),
        ({"db": 1, "cluster": True}, ["a cluster has the database 0 alone"]),
        (
            {"db": 1, "compactions": [{"aggregation": "avg", "bucket": "1 hour"}]},
            ["the server corrects compactions in the database 0 alone"],
        ),
        ({"tls_ca": "x.pem"}, ["'tls_ca' is for connections with 'tls'"]),
        ({"tls": True, "tls_ca": "x.pem"}, ["there is no file"]),
        (
            {"cluster": True, "compactions": [{"aggregation": "avg", "bucket": "1 hour"}]},
            ["in a cluster a series and its compaction must be on one node"],
        ),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_the_check_tells_what_cannot_be_stored(
    job: ConfigJob, options: dict[str, Any], problems: list[str]
) -> None:
    path = job.config(
        {"name": "w", "rule": ["key: key", "n: count()", "top: max(value)"]},
        outputs=[{"method": "redis", "options": {"host": "h", **options}}],
    )
    found = check(str(path)).problems
    assert len(found) == len(problems) or "share" in problems[-1]
    for problem in problems:
        assert any(problem in each.message for each in found), [each.message for each in found]


def test_texts_and_rows_cannot_be_samples(job: ConfigJob) -> None:
    path = job.config(
        {"name": "w", "rule": ["last(key)", "n: count()"]},
        outputs=[{"method": "redis", "options": {"host": "h"}}],
    )
    told = [each.message for each in check(str(path)).problems]
    assert told == ["the measure 'key' of 'w' is string"]
    config = json.loads(path.read_text())
    config["outputs"][1]["streams"] = ["late"]
    path.write_text(json.dumps(config))
    told = [each.message for each in check(str(path)).problems]
    assert told == ["the output 'redis' cannot take the stream 'late'"]


@pytest.mark.usefixtures("spark")
def test_a_run_tells_no_password_and_puts_aside_what_is_refused(
    job: ConfigJob, redis_tls: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1", "2,text,2", "x,y,z"])
    options = {"host": "127.0.0.1", "port": redis_tls.port, "tls": True}
    options |= {"tls_ca": str(redis_tls.certificate)}
    for password, status in (("hunter2", 1), (redis_tls.password, 0)):
        job.config(
            {"name": "run", "rule": ["key: key", "n: count()", "top: max(value)"]},
            streams=["malformed"],
            outputs=[{"method": "redis", "options": {**options, "password": password}}],
        )
        with redis_tls.client() as client:
            client.set("run:text:top", "no series")
        report = job.run("--once", status=status)
        told = capsys.readouterr()
        assert password not in f"{told.out}{told.err}{json.dumps(report)}"
        if status:
            who = f"output 'redis': 127.0.0.1:{redis_tls.port}"
            assert f"{who}: wrong user or password" in told.err
            assert "Traceback" not in told.err
    (refused,) = [each for each in job.rows("malformed", "1") if "output" in each["reason"]]
    assert refused["reason"] == "output 'redis': the key of the series holds something else"
    assert json.loads(refused["record"])["top"] == 2.0
    assert samples(redis_tls, "run:text:n") == [(0, 1)]
    assert samples(redis_tls, "run:a:top") == [(0, 1)]
