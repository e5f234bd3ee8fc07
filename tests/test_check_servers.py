"""The command that asks servers, against inputs and outputs without one, and a socket."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from engine.cli import main
from tests.jobs import Job
from tests.servers.kafka import KafkaBroker


def config(job: Job, port: int) -> Path:
    return job.config(
        {"name": "w", "rule": ["n: count()"]},
        input_type="socket",
        options={"host": "127.0.0.1", "port": port},
        processing={"event_time": None},
    )


def test_a_broker_tells_its_topics(
    job: Job, kafka: KafkaBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    server, port = kafka.address.split(":")
    kafka.create_topic("asked", partitions=2)
    for topic, status in ({"asked": 0, "never made": 1}).items():
        options = {"server": server, "port": int(port), "topic": topic}
        path = job.config(
            {"name": "w", "rule": ["n: count()"]}, input_type="kafka", options=options
        )
        assert main(["check-servers", str(path)]) == status
    told = capsys.readouterr()
    assert f"input 'kafka': {kafka.address}: 'asked' (partitions: 2)\n" in told.out
    assert told.err == f"input 'kafka': {kafka.address}: there is no topic 'never made'\n"
    kafka_away = {"server": server, "port": 1, "topic": "asked"}
    path = job.config({"name": "w", "rule": ["n: count()"]}, input_type="kafka", options=kafka_away)
    assert main(["check-servers", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"input 'kafka': {server}:1: no ")


def test_each_server_has_a_line(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        path = config(job, port)
        assert main(["check-servers", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"input 'socket': 127.0.0.1:{port}: listens",
        "output 'sqlite': no server to ask",
    ]
    assert told.err == ""
    assert main(["check-servers", str(path)]) == 1
    told = capsys.readouterr()
    assert told.out == "output 'sqlite': no server to ask\n"
    assert told.err == f"input 'socket': 127.0.0.1:{port}: connection refused\n"
    assert not job.database.exists(), "nothing is written"
