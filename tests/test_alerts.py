"""Alerts where receivers differ from what one thinks: a real Alertmanager, programs, records."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from engine.alerts import Alert, Undelivered
from engine.alerts._one_by_one import OneByOne
from engine.alerts.alertmanager import Alertmanager
from engine.alerts.command import Command
from engine.alerts.kafka import Kafka
from engine.template import filled, problems
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.kafka import KafkaBroker
from tests.test_alert_targets import alert, send


def hours(number: float) -> str:
    """So many hours from now; an Alertmanager forgets what ended long ago."""
    at = datetime.now(timezone.utc) + timedelta(hours=number)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told(rule: str, start: float, **more: Any) -> dict[str, Any]:
    """An alert of a window that began so many hours from now."""
    window = {"window_start": hours(start), "window_end": hours(start + 1), "since": hours(start)}
    return alert(1, **{"AnalysisModule": rule, "keys": {"sensor": 4}, **window, **more})


def standing(server: AlertmanagerServer, rule: str) -> list[str]:
    return [each["labels"]["severity"] for each in server.alerts(alertname=rule)]


def test_an_alertmanager_says_who_it_is(alertmanager: AlertmanagerServer) -> None:
    said = Alertmanager(url=alertmanager.url).probe()
    assert said is not None
    assert said.startswith(f"{alertmanager.url}: Alertmanager 0.")


def test_an_alert_stands_until_it_recovers(alertmanager: AlertmanagerServer) -> None:
    target = Alertmanager(url=alertmanager.url, stands="3 days")
    rises = told("steps", -3, level="warn")
    assert send(target, [rises]) == []
    (found,) = alertmanager.alerts(alertname="steps")
    assert found["labels"] == {
        "alertname": "steps", "severity": "warn", "aggregation": "temps", "field": "t",
        "job": "plant", "sensor": "4",
    }  # fmt: skip
    assert found["startsAt"] == rises["since"]
    # Without an end of ours it would be gone after five minutes.
    assert found["endsAt"] > hours(71)
    assert send(target, [told("steps", -2, level="crit", previous="warn")]) == []
    assert standing(alertmanager, "steps") == ["crit"]
    over = told("steps", -1, level="ok", previous="crit", kind="recovered")
    assert send(target, [over]) == []
    assert standing(alertmanager, "steps") == []


def test_windows_of_the_future_begin_and_end_there(alertmanager: AlertmanagerServer) -> None:
    target = Alertmanager(url=alertmanager.url)
    assert send(target, [told("ahead", 200)]) == []
    assert standing(alertmanager, "ahead") == ["crit"]
    assert send(target, [told("ahead", 201, level="ok", previous="crit", kind="recovered")]) == []
    assert standing(alertmanager, "ahead") == []


def test_what_is_over_changes_nothing(alertmanager: AlertmanagerServer) -> None:
    target = Alertmanager(url=alertmanager.url)
    past = told("past", -9, until=hours(-8), kind="correction")
    assert send(target, [told("past", -2), past]) == []
    assert standing(alertmanager, "past") == ["crit"]
    assert send(target, [told("gone", -9, until=hours(-8))]) == []
    assert standing(alertmanager, "gone") == []


def test_keys_keep_their_labels_beside_ours(alertmanager: AlertmanagerServer) -> None:
    keys = {"severity": "low", "job": 'a"\n', "9 lines": True}
    assert send(Alertmanager(url=alertmanager.url), [told("named", -2, keys=keys)]) == []
    (found,) = alertmanager.alerts(alertname="named")
    labels = found["labels"]
    assert (labels["severity"], labels["key_severity"]) == ("crit", "low")
    assert (labels["job"], labels["key_job"], labels["_9_lines"]) == ("plant", 'a"\n', "True")


def test_an_alertmanager_refuses_what_is_no_alert(alertmanager: AlertmanagerServer) -> None:
    wrong = told("wrong", -2, since="0 o'clock")
    left = send(Alertmanager(url=alertmanager.url), [wrong, told("right", -2)])
    assert left == [Undelivered(wrong["id"], f"{alertmanager.url} answers 400")]
    assert standing(alertmanager, "right") == ["crit"]


def test_a_program_is_done_though_it_leaves_another_one(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; "
        "p = subprocess.Popen(['sleep', '30']); open(sys.argv[1], 'w').write(str(p.pid))"
    )
    assert (
        send(
            Command(
                command=(sys.executable, "-c", code, str(tmp_path / "pid")), timeout="10 seconds"
            ),
            [alert()],
        )
        == []
    )
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_program_need_not_read() -> None:
    large = alert(1, message="x" * 1_000_000)
    assert send(Command(command=("true",)), [large]) == []


def test_a_record_that_is_too_large_leaves_the_way_to_others(kafka: KafkaBroker) -> None:
    kafka.create_topic("alert-large")
    target = Kafka(bootstrap_servers=kafka.address, topic="alert-large")
    large = alert(2, message="x" * 2_000_000)
    left = send(target, [alert(1), large, alert(3)])
    assert [each.id for each in left] == [large["id"]]
    records = kafka.consume("alert-large")
    assert [json.loads(each.value)["id"] for each in records] == [alert(1)["id"], alert(3)["id"]]


def test_a_topic_that_is_not_there_is_said(kafka: KafkaBroker) -> None:
    target = Kafka(bootstrap_servers=kafka.address, topic="alert-never-made", timeout="5 seconds")
    (left,) = send(target, [alert(1)])
    assert left.reason == f"{kafka.address}: there is no topic 'alert-never-made'; make it"


def test_a_sender_raises_nothing_whatever_fails() -> None:
    sent = []

    def one(each: Alert) -> None:
        if each["id"] == alert(1)["id"]:
            raise KeyError("a secret")
        sent.append(each["id"])

    with closing(OneByOne(one, 1.0)) as sender:
        left = sender.send([alert(1), alert(2)])
    assert left == [Undelivered(alert(1)["id"], "it failed (KeyError)")]
    assert sent == [alert(2)["id"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{level", "a single '{' in '{level'"),
        ("level}", "a single '}' in 'level}'"),
        ("{{level}}", None),
        ("{levl}", "an alert has no 'levl'"),
        ("{keys.a} {measures.n}", None),
        ("{keys.b}", "an alert has no 'keys.b'"),
        ("{measures.a}", "an alert has no 'measures.a'"),
        ("{message.upper}", "an alert has no 'message.upper'"),
    ],
)
def test_a_template_names_what_there_is(text: str, message: str | None) -> None:
    found = [said for said, _ in problems(text, {"keys.a", "measures.n"})]
    assert found == ([] if message is None else [message])


def test_numbers_are_whole_in_templates() -> None:
    values = {"measures": {"a": 1234567890123.0, "b": 0.1 + 0.2, "c": 85.0, "d": 2**62}}
    text = filled("{measures.a} {measures.b} {measures.c} {measures.d}", values)
    assert text == "1234567890123 0.3 85 4611686018427387904"
