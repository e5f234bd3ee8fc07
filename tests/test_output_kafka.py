"""What the output ``kafka`` leaves on a real broker."""

from __future__ import annotations

import json
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as theirs

from engine.check import check
from engine.outputs import Batch, Job, OutputError, Stream, Writer
from engine.outputs._kafka_client import settings
from engine.outputs._kafka_partition import murmur2
from engine.outputs._notices import Notices
from engine.outputs.kafka import Kafka
from engine.plan import Column
from engine.types import Type
from tests.jobs import Job as ConfigJob
from tests.jobs import iso
from tests.servers.kafka import KafkaBroker

TIME = pa.timestamp("us", tz="UTC")
WINDOWS = Stream(
    "w",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("window_end", Type.TIMESTAMP, "time"),
        Column("key", Type.STRING, "key"),
        Column("n", Type.LONG, "measure"),
        Column("hot", Type.BOOLEAN, "measure"),
    ),
)


def windows(rows: list[tuple[int, str, int | None, bool | None]]) -> pa.RecordBatch:
    """Rows of (start, key, n, hot)."""
    starts = [row[0] * 1_000_000 for row in rows]
    columns = [
        pa.array(starts, TIME),
        pa.array([start + 10_000_000 for start in starts], TIME),
        pa.array([row[1] for row in rows], pa.string()),
        pa.array([row[2] for row in rows], pa.int64()),
        pa.array([row[3] for row in rows], pa.bool_()),
    ]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in WINDOWS.columns])


@contextmanager
def writing(
    to: Kafka, stream: Stream = WINDOWS, notices: Notices | None = None
) -> Iterator[Writer]:
    """A writer as a task gets it."""
    address = notices.address if notices is not None else None
    job = Job("j", "kafka", "c", "127.0.0.1", (stream,), address)
    with closing(to.open(job)) as opened:
        writer = pickle.loads(pickle.dumps(opened.begin(Batch(0))))(0)
        try:
            yield writer
        except BaseException:
            writer.abort()
            raise
        writer.settle()
        writer.commit()


def to(broker: KafkaBroker, topic: str, **options: Any) -> Kafka:
    return Kafka(bootstrap_servers=broker.address, topic=topic, **{"create": True, **options})


def test_a_record_is_keyed_by_series_and_start_and_says_its_stream(kafka: KafkaBroker) -> None:
    hostile = 'a","b\n;DROP é\\'
    with writing(to(kafka, "out-{stream}", partitions=3)) as writer:
        writer.write(WINDOWS, windows([(10, hostile, 1, True), (20, "", None, None)]))
    found = {record.key: record for record in kafka.consume("out-w")}
    first = json.dumps(["w", hostile, iso(10)], ensure_ascii=False).encode()
    second = json.dumps(["w", "", iso(20)]).encode()
    assert set(found) == {first, second}
    assert json.loads(found[first].value) == {
        "stream": "w",
        "window_start": iso(10),
        "window_end": iso(20),
        "key": hostile,
        "n": 1,
        "hot": True,
    }
    assert list(found[second].headers) == [("stream", b"w")]


def test_a_key_has_the_partition_that_every_client_gives_it(kafka: KafkaBroker) -> None:
    rows = [(10 * number, "k" * (number % 9), 1, True) for number in range(200)]
    for partitions in (1, 5):
        ours, plain = f"ours-{partitions}", f"plain-{partitions}"
        with writing(to(kafka, ours, partitions=partitions)) as writer:
            writer.write(WINDOWS, windows(rows))
        kafka.create_topic(plain, partitions)
        found = {record.key: record.partition for record in kafka.consume(ours)}
        kafka.produce(plain, [(key, b"x") for key in found])
        assert found == {record.key: record.partition for record in kafka.consume(plain)}
        assert len(set(found.values())) == partitions


@given(st.binary(max_size=40))
@example(b"")
def test_a_key_has_the_hash_that_every_client_gives_it(key: bytes) -> None:
    assert murmur2(key) & 0xFFFFFFFF == theirs(key) & 0xFFFFFFFF


def test_delimited_records_are_what_the_input_reads(kafka: KafkaBroker) -> None:
    with writing(to(kafka, "delimited", format="csv", sep=";", compression="gzip")) as writer:
        writer.write(WINDOWS, windows([(10, 'a;"b"', 1, True), (20, "", None, None)]))
    written = {record.value.decode() for record in kafka.consume("delimited")}
    assert written == {
        f'{iso(10)};{iso(20)};"a;""b""";1;true',
        f'{iso(20)};{iso(30)};"";;',
    }


def test_a_window_that_is_no_more_is_a_tombstone(kafka: KafkaBroker) -> None:
    with writing(to(kafka, "gone")) as writer:
        writer.remove(WINDOWS, windows([(10, "a", 1, True)]).select(["key", "window_start"]))
    (record,) = kafka.consume("gone")
    assert (json.loads(record.key), record.value) == (["w", "a", iso(10)], None)
    assert list(record.headers) == [("stream", b"w"), ("retracted", b"true")]


@pytest.mark.parametrize("origin", ["_offset", "_file"])
def test_rows_that_are_no_windows_are_keyed_by_where_they_came_from(
    kafka: KafkaBroker, origin: str
) -> None:
    known = [("_topic", "t"), ("_partition", 3), ("_offset", 7)]
    columns = [("reason", "bad"), *(known if origin == "_offset" else [("_file", "f.csv")])]
    names = [name for name, _ in columns]
    stream = Stream("malformed", tuple(Column(name, Type.STRING, "field") for name in names))
    rows = pa.RecordBatch.from_arrays([pa.array([value]) for _, value in columns], names)
    with writing(to(kafka, f"rows{origin}"), stream) as writer:
        writer.write(stream, rows)
    (record,) = kafka.consume(f"rows{origin}")
    assert record.key == (b'["malformed", "t", 3, 7]' if origin == "_offset" else None)
    assert json.loads(record.value) == {"stream": "malformed", **dict(columns)}


def test_a_record_that_is_too_large_is_refused_and_the_rest_is_written(kafka: KafkaBroker) -> None:
    rows = windows([(10, "a", 1, True), (10, "k" * 2_000_000, 2, True), (10, "b", 3, True)])
    with writing(to(kafka, "large")) as writer:
        writer.write(WINDOWS, rows)
        writer.settle()
        (refused,) = writer.refused()
    assert refused.reason == "the record is larger than the brokers take"
    assert '"key": "kkk' in refused.record
    assert len(refused.record) <= 10_000, "it would be too large for others too"
    assert len(kafka.consume("large")) == 2
    stops = to(kafka, "large", on_reject="stop")
    with pytest.raises(OutputError, match="larger than the brokers take"), writing(stops) as writer:
        writer.write(WINDOWS, rows)


def test_what_the_broker_alone_finds_too_large_is_refused_too(kafka: KafkaBroker) -> None:
    passed = {"kafka.max.request.size": "9000000", "kafka.batch.size": "1"}
    with writing(to(kafka, "larger", passed=passed)) as writer:
        writer.write(WINDOWS, windows([(10, "a", 1, True), (10, "k" * 2_000_000, 2, True)]))
        writer.settle()
        (refused,) = writer.refused()
    assert refused.reason == "the record is larger than the brokers take"
    assert len(kafka.consume("larger")) == 1


def test_a_topic_that_there_is_not_is_told_before_the_start(kafka: KafkaBroker) -> None:
    lacking = to(kafka, "nowhere", create=False)
    job = Job("j", "kafka", "c", "", (WINDOWS,))
    told = f"^output 'kafka': {kafka.address}: there is no topic 'nowhere'; make it, or write"
    for ask in (lacking.open, lacking.probe):
        with pytest.raises(OutputError, match=told):
            ask(job)
    made = to(kafka, "nowhere", partitions=2)
    assert made.probe(job) == f"{kafka.address}: 'nowhere' (will be made)"
    made.open(job).close()
    assert lacking.probe(job) == f"{kafka.address}: 'nowhere' (partitions: 2)"


def test_a_broker_that_stops_is_waited_for_and_nothing_is_lost_or_doubled(
    kafka: KafkaBroker,
) -> None:
    said: list[str] = []
    down = threading.Event()
    notices = Notices("127.0.0.1", lambda line: (said.append(line), down.set())[0])
    sent = [(10 * number, f"k{number % 7}", number, None) for number in range(3000)]
    try:
        with writing(to(kafka, "stopped", timeout="2 seconds"), notices=notices) as writer:
            writer.write(WINDOWS, windows(sent[:1000]))
            waiting = threading.Thread(target=_write, args=(writer, sent[1000:]))
            with kafka.stopped():
                waiting.start()
                assert down.wait(60)
            waiting.join(120)
            assert not waiting.is_alive()
            assert writer.refused() == []
    finally:
        notices.close()
    held = Counter(json.loads(record.value)["n"] for record in kafka.consume("stopped"))
    assert held == Counter(range(3000))
    assert said[0].startswith(f"output 'kafka': {kafka.address}: no answer within 2 s; waiting")
    assert "goes on after" in said[-1]


def _write(writer: Writer, rows: list[Any]) -> None:
    writer.write(WINDOWS, windows(rows))
    writer.settle()


def test_options_of_the_client_are_taken_by_their_names_in_java() -> None:
    jaas = 'PlainLoginModule required username="o\\"brien" password="sword;fish=";'
    assert settings(
        {
            "kafka.security.protocol": "SASL_SSL",
            "kafka.sasl.mechanism": "SCRAM-SHA-512",
            "kafka.sasl.jaas.config": jaas,
            "kafka.ssl.truststore.location": "ca.pem",
            "kafka.ssl.truststore.type": "PEM",
            "kafka.ssl.endpoint.identification.algorithm": "",
            "kafka.linger.ms": "7",
        }
    ) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": 'o"brien',
        "sasl_plain_password": "sword;fish=",
        "ssl_cafile": "ca.pem",
        "ssl_check_hostname": False,
        "linger_ms": 7,
    }
    target = Kafka(server="h", topic="t", passed={"kafka.sasl.jaas.config": jaas})
    assert "sword" not in repr(target) + repr(target.brokers)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"topic": "a b"}, "'a b' cannot be the name of a topic"),
        ({"topic": "{stream}-x", "kafka.acks": 1}, "'kafka.acks' is set by the engine"),
        ({"kafka.sasl.mechanisms": "PLAIN"}, "unknown option 'kafka.sasl.mechanisms'"),
        ({"kafka.linger.ms": "soon"}, "'kafka.linger.ms' must be a whole number, is 'soon'"),
        ({"kafka.ssl.keystore.type": "JKS"}, "'kafka.ssl.keystore.type' must be PEM"),
        ({"kafka.sasl.jaas.config": "x"}, "'kafka.sasl.jaas.config' lacks username"),
        (
            {"kafka.security.protocol": "ssl"},
            "'kafka.security.protocol' must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, is",
        ),
        ({"kafka.sasl.mechanism": "OAUTHBEARER"}, "'kafka.sasl.mechanism' must be PLAIN, SCRAM-"),
        ({"kafka.security.protocol": "SASL_SSL"}, "'kafka.security.protocol' with SASL needs 'ka"),
        (
            {"kafka.security.protocol": "SASL_SSL", "kafka.sasl.mechanism": "PLAIN"},
            "'kafka.sasl.mechanism' PLAIN needs 'kafka.sasl.jaas.config'",
        ),
        ({"timeout": "0 seconds"}, "'timeout' must be more than 0"),
        ({"server": None}, "the output 'kafka' needs either 'server' or 'bootstrap_servers'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
)
def test_the_check_tells_what_cannot_be_sent(
    job: ConfigJob, options: dict[str, Any], problem: str
) -> None:
    path = job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        outputs=[{"method": "kafka", "options": {"server": "h", "topic": "t", **options}}],
    )
    told = [each.message for each in check(str(path)).problems]
    assert len(told) == 1
    assert told[0].startswith(problem)
