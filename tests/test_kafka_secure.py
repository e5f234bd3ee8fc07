"""A real broker over TLS and SASL: output, input and the command that asks servers."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.outputs import Batch, Job, OutputError
from engine.outputs.kafka import Kafka
from tests.by_hand import rows, stream
from tests.jobs import Job as ConfigJob
from tests.servers.kafka import KafkaBroker

WINDOWS = stream(key="string key", n="long")
#: What no output of ours may show.
WRONG = "hunter2"


def addressed(broker: KafkaBroker, way: str, password: str | None = None) -> dict[str, Any]:
    """The options of a client that is let in, as input and output take them."""
    address = {
        "TLS": broker.tls_address,
        "a certificate": broker.mutual_address,
        "nothing": broker.address,
    }.get(way, broker.sasl_address)
    trust = {
        "kafka.security.protocol": "SSL",
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.location": str(broker.certificate),
    }
    own = {"kafka.ssl.keystore.type": "PEM", "kafka.ssl.keystore.location": str(broker.pair)}
    module = "plain.Plain" if way == "PLAIN" else "scram.Scram"
    login = f'username="{broker.username}" password="{password or broker.password}"'
    user = {
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": way,
        "kafka.sasl.jaas.config": f"org.apache.kafka.common.security.{module}LoginModule required "
        f"{login};",
    }
    more = {"TLS": {}, "a certificate": own}.get(way, user)
    return {"bootstrap_servers": address, **({} if way == "nothing" else {**trust, **more})}


WAYS = ["TLS", "a certificate", "PLAIN", "SCRAM-SHA-256"]
#: From which options to which ones, and what is said.
MISTAKES = {
    "wrong password by PLAIN": ("PLAIN", WRONG, {}, "wrong user or password; check 'kafka.sasl"),
    "wrong password by SCRAM": ("SCRAM-SHA-256", WRONG, {}, "wrong user or password; check 'kafka"),
    "a mechanism that the broker lacks": (
        "SCRAM-SHA-512",
        WRONG,
        {},
        "the brokers do not know the 'kafka.sasl.mechanism' SCRAM-SHA-512",
    ),
    "an authority that is not known": (
        "TLS",
        None,
        {"kafka.ssl.truststore.location": None, "kafka.ssl.truststore.type": None},
        "its certificate is not trusted: self-signed certificate; name its authority's in",
    ),
    "no certificate where one is asked for": (
        "a certificate",
        None,
        {"kafka.ssl.keystore.location": None, "kafka.ssl.keystore.type": None},
        "the broker does not trust the client's certificate, or wants one; see 'kafka.ssl.key",
    ),
    "a file that there is not": (
        "TLS",
        None,
        {"kafka.ssl.truststore.location": "/no/authority.pem"},
        "'kafka.ssl.truststore.location': '/no/authority.pem': no such file or directory",
    ),
    "a file that is no PEM": (
        "TLS",
        None,
        {"kafka.ssl.truststore.location": __file__},
        f"'kafka.ssl.truststore.location': '{__file__}' does not hold certificates, as PEM",
    ),
    "no TLS where it is spoken": (
        "TLS",
        None,
        {"kafka.security.protocol": "PLAINTEXT"},
        "the broker speaks TLS; check 'kafka.security.protocol' and the port",
    ),
    "TLS where it is not spoken": (
        "nothing",
        None,
        {"kafka.security.protocol": "SSL"},
        "the broker speaks no TLS; check 'kafka.security.protocol' and the port",
    ),
    "no user where one is asked for": (
        "PLAIN",
        WRONG,
        {"kafka.security.protocol": "SSL"},
        "the broker asks for a user; check 'kafka.security.protocol' and the port",
    ),
    "a user where none is asked for": (
        "PLAIN",
        WRONG,
        {"bootstrap_servers": "tls_address"},
        "the broker asks for no user; check 'kafka.security.protocol' and the port",
    ),
}


def mistaken(broker: KafkaBroker, mistake: str) -> dict[str, Any]:
    way, password, changes, _ = MISTAKES[mistake]
    found = {**addressed(broker, way, password), **changes}
    if changes.get("bootstrap_servers"):
        found["bootstrap_servers"] = getattr(broker, changes["bootstrap_servers"])
    return {name: value for name, value in found.items() if value is not None}


def output(topic: str, options: dict[str, Any]) -> Kafka:
    passed = {name: value for name, value in options.items() if name.startswith("kafka.")}
    servers = options["bootstrap_servers"]
    return Kafka(bootstrap_servers=servers, topic=topic, create=True, passed=passed)


def config(job: ConfigJob, topic: str, options: dict[str, Any]) -> Path:
    """Input and output both are the broker."""
    shared = {**options, "topic": topic}
    return job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        input_type="kafka",
        options=shared,
        outputs=[{"method": "kafka", "options": {**shared, "topic": f"{topic}-out"}}],
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_output_writes_where_only_friends_may(kafka: KafkaBroker, way: str) -> None:
    topic = f"secure-{way}".replace(" ", "-")
    to = output(topic, addressed(kafka, way))
    job = Job("j", "kafka", "c", "", (WINDOWS,))
    with closing(to.open(job)) as opened:
        writer = opened.begin(Batch(0))(0)
        writer.write(WINDOWS, rows(WINDOWS, (0, "a", 1)))
        writer.settle()
        writer.commit()
    assert json.loads(kafka.consume(topic)[0].value)["n"] == 1
    assert to.probe(job) == f"{to.brokers}: '{topic}' (partitions: 1)"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_once_and_without_secrets(kafka: KafkaBroker, mistake: str) -> None:
    to = output("secure", mistaken(kafka, mistake))
    job = Job("j", "kafka", "c", "", (WINDOWS,))
    expected = f"output 'kafka': {to.bootstrap_servers}: {MISTAKES[mistake][-1]}"
    for ask in (to.open, to.probe):
        with pytest.raises(OutputError) as told:
            ask(job)
        assert str(told.value).startswith(expected)
        assert WRONG not in f"{told.value!r} {told.value.__context__!r} {to!r} {to.brokers!r}"


def test_a_task_is_told_too(kafka: KafkaBroker) -> None:
    """A password that was changed while the run went on."""
    good = output("secure-task", {**addressed(kafka, "PLAIN")})
    job = Job("j", "kafka", "c", "", (WINDOWS,))
    with closing(good.open(job)) as opened:
        opened.target = output("secure-task", mistaken(kafka, "wrong password by PLAIN"))
        writer = opened.begin(Batch(0))(0)
        with pytest.raises(OutputError, match="wrong user or password"):
            writer.write(WINDOWS, rows(WINDOWS, (0, "a", 1)))
        writer.abort()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("spark")
def test_a_run_reads_and_writes_where_only_friends_may(
    job: ConfigJob, kafka: KafkaBroker, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = f"run-{way}".replace(" ", "-")
    kafka.produce(topic, [b"1,a,1", b"2,a,1", b"3,b,1"])
    kafka.create_topic(f"{topic}-out")
    path = config(job, topic, addressed(kafka, way))
    assert main(["check-servers", str(path)]) == 0
    assert job.run("--once")["rows_read"] == 3
    found = {(row["key"], row["n"]) for row in job.rows("w")}
    sent = [json.loads(each.value) for each in kafka.consume(f"{topic}-out")]
    assert {(each["key"], each["n"]) for each in sent} == found == {("a", 2), ("b", 1)}
    told = capfd.readouterr()
    assert f"input 'kafka': {addressed(kafka, way)['bootstrap_servers']}: '{topic}' (" in told.out
    assert kafka.password not in told.out + told.err + (job.folder / "report.json").read_text()


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("spark")
def test_a_run_that_may_not_read_says_why(
    job: ConfigJob, kafka: KafkaBroker, mistake: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = mistaken(kafka, mistake)
    path = config(job, "mistaken", options)
    expected = f"{options['bootstrap_servers']}: {MISTAKES[mistake][-1]}"
    assert main(["check-servers", str(path)]) == 1
    told = capfd.readouterr()
    assert f"input 'kafka': {expected}" in told.err
    assert f"output 'kafka': {expected}" in told.err
    # Without the output: it would be asked first.
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "outputs": whole["outputs"][:1]}))
    job.run("--once", status=1)
    ran = capfd.readouterr()
    assert f"input: {expected}" in ran.err
    assert "Traceback" not in ran.err
    assert WRONG not in told.out + told.err + ran.out + ran.err
