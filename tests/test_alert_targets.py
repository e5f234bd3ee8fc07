"""Alerts at those who are told: over HTTP, by mail, to programs, as records, on the screen."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import ssl
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.alerts import Job, Target, Undelivered
from engine.alerts.alertmanager import Alertmanager
from engine.alerts.command import Command
from engine.alerts.email import Email
from engine.alerts.kafka import Kafka
from engine.alerts.stdout import Stdout
from engine.alerts.webhook import Webhook
from engine.outputs import OutputError
from engine.outputs._notices import Screen
from engine.outputs._patience import PassingError
from engine.template import filled, problems
from tests.receivers import CLOSED, SECRET, SILENT, Mailbox, Receiver
from tests.servers.kafka import KafkaBroker
from tests.servers.tls import certificate


def alert(number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{number:016x}",
        "kind": "alert",
        "AnalysisModule": "hot",
        "module": "Threshold",
        "level": "crit",
        "previous": "ok",
        "aggregation": "temps",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "window_start": "2026-11-22T10:00:00.000Z",
        "window_end": "2026-11-22T10:01:00.000Z",
        "since": "2026-11-22T10:00:00.000Z",
        "until": None,
        "keys": {"sensor id": 4, "line": 'a"\r\nBcc: x'},
        "series": '{"sensor id": 4}',
        "param": {
            "key": [4, "a"],
            "field": "t",
            "lower_bound": None,
            "upper_bound": 80.0,
            "value": 85.5,
        },
        "measures": {"t": 85.5, "n": 3},
        "revision": 0,
        "corrects": None,
        "corrected_value": None,
        "message": f"hot: crit {number}",
    } | more


def send(target: Target, alerts: Sequence[dict[str, Any]], job: Job | None = None) -> Any:
    with closing(target.open(job or Job("plant"))) as sender:
        left = sender.send(alerts)
    for each in left:
        assert SECRET not in each.reason
    assert SECRET not in repr(target)
    assert SECRET not in str(target.described())
    return left


def test_a_webhook_gets_each_alert_once_signed_and_in_order(receiver: Receiver) -> None:
    target = Webhook(url=f"{receiver.url}/hook?key={SECRET}", secret=SECRET,
                     headers={"X-Plant": "north", "X-Token": SECRET})  # fmt: skip
    assert send(target, [alert(1), alert(2)]) == []
    assert receiver.bodies == [alert(1), alert(2)]
    path, headers, body = receiver.requests[0]
    assert path == f"/hook?key={SECRET}"
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Signature-256"] == f"sha256={expected}"
    assert (headers["Idempotency-Key"], headers["X-Plant"]) == (alert(1)["id"], "north")
    assert headers["Content-Type"] == "application/json"


def test_a_webhook_has_a_template(receiver: Receiver) -> None:
    template = {"text": "{level}: {message} {{x}}", "blocks": [{"v": "{param.value}", "n": 1}]}
    send(Webhook(url=receiver.url, template=template), [alert(1)])
    assert receiver.bodies == [{"text": "crit: hot: crit 1 {x}", "blocks": [{"v": "85.5", "n": 1}]}]


@pytest.mark.parametrize("answer", [503, 429, 500, CLOSED])
def test_a_server_that_is_busy_is_tried_again(receiver: Receiver, answer: int) -> None:
    receiver.answers = [answer, answer]
    assert send(Webhook(url=receiver.url, timeout="30 seconds"), [alert(1), alert(2)]) == []
    assert [each["id"] for each in receiver.bodies] == [alert(n)["id"] for n in (1, 1, 1, 2)]


def test_a_server_that_asks_for_time_gets_it(receiver: Receiver) -> None:
    receiver.answers, receiver.retry_after = [429], "3"
    assert send(Webhook(url=receiver.url, timeout="30 seconds"), [alert(1)]) == []
    first, second = receiver.times
    assert second - first >= 3
    # For longer than there is: it is left alone until the next micro-batch.
    receiver.answers, receiver.retry_after = [503, 503], "60"
    left = send(Webhook(url=receiver.url, timeout="30 seconds"), [alert(2)])
    assert left == [Undelivered(alert(2)["id"], f"{receiver.url} answers 503")]
    assert len(receiver.requests) == 3


def secured(receiver: Receiver, folder: Path) -> Path:
    """The receiver speaks TLS from now on; the certificate of its authority."""
    public, private = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return public


def test_a_server_is_trusted_by_an_authority_of_ones_own(
    receiver: Receiver, tmp_path: Path
) -> None:
    public = secured(receiver, tmp_path)
    url = receiver.url.replace("http:", "https:")
    (left,) = send(Webhook(url=url), [alert(1)])
    assert left.reason.startswith(f"{url}: no trust: ")
    assert send(Webhook(url=url, ca_file=str(public)), [alert(1)]) == []
    assert send(Alertmanager(url=url, ca_file=str(public)), [alert(1)]) == []
    assert [path for path, _, _ in receiver.requests] == ["/", "/api/v2/alerts"]


def test_what_is_no_file_of_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")

    def told(target: Target) -> list[tuple[str, str]]:
        said: list[tuple[str, str]] = []
        target.check(lambda name, message, hint: said.append((name, message)))
        return said

    absent, empty = str(tmp_path / "absent.pem"), str(tmp_path / "no.pem")
    here = {"url": "https://h"}
    assert told(Webhook(**here, ca_file=absent)) == [
        ("ca_file", f"'{absent}' cannot be read: no such file or directory")
    ]
    assert told(Alertmanager(**here, ca_file=empty)) == [
        ("ca_file", f"'{empty}' has no certificates")
    ]
    unused = [("ca_file", "'ca_file' is of no use without TLS")]
    assert told(Webhook(url="http://h", ca_file=absent)) == unused
    assert told(email(25, ca_file=absent)) == unused


def test_what_is_refused_is_kept_and_the_others_are_sent(receiver: Receiver) -> None:
    receiver.answers = [401, 200]
    left = send(Webhook(url=receiver.url, secret=SECRET), [alert(1), alert(2)])
    assert left == [Undelivered(alert(1)["id"], f"{receiver.url} answers 401")]
    assert len(receiver.requests) == 2


def test_nothing_is_sent_where_a_redirect_leads(receiver: Receiver) -> None:
    receiver.answers = [302]
    (left,) = send(Webhook(url=receiver.url, secret=SECRET), [alert(1)])
    assert left.reason == f"{receiver.url} answers 302"
    assert len(receiver.requests) == 1


def test_a_server_that_is_away_holds_nobody_up_for_long(receiver: Receiver) -> None:
    receiver.answers = [SILENT] * 100
    left = send(Webhook(url=receiver.url, timeout="0.3 seconds"), [alert(n) for n in range(5)])
    assert [each.id for each in left] == [alert(n)["id"] for n in range(5)]
    assert {each.reason for each in left} == {f"{receiver.url} does not answer in time"}
    assert {json.loads(body)["id"] for _, _, body in receiver.requests} == {alert(0)["id"]}


def test_a_server_that_is_not_there_is_told_without_its_secrets() -> None:
    target = Webhook(url=f"http://127.0.0.1:1/{SECRET}", timeout="0.2 seconds")
    (left,) = send(target, [alert(1)])
    assert left.reason == "http://127.0.0.1:1 cannot be reached: connection refused"
    with pytest.raises(PassingError, match=f"^{left.reason}$"):
        target.probe()


def test_a_server_is_asked_without_a_post(receiver: Receiver, tmp_path: Path) -> None:
    told = "takes connections; nothing was posted"
    target = Webhook(url=f"{receiver.url}/{SECRET}")
    assert target.probe() == f"{receiver.url}: {told}"
    public = secured(receiver, tmp_path)
    url = receiver.url.replace("http:", "https:")
    assert Webhook(url=url, ca_file=str(public)).probe() == f"{url}: {told}"
    with pytest.raises(OutputError, match=f"^{url}: no trust: "):
        Webhook(url=url).probe()
    assert receiver.requests == []


LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


def test_an_alertmanager_is_told_by_its_api(receiver: Receiver) -> None:
    """What is sent, held against the rules of the API; ``test_alerts`` asks a real one."""
    target = Alertmanager(
        url=f"{receiver.url}/", username="u", password=SECRET, labels={"plant": "north"}
    )
    alerts = [
        alert(1),
        alert(2, level="warn", previous="crit", window_end="2026-11-22T10:02:00.000Z"),
        alert(3, level="ok", previous="warn", kind="recovered"),
        alert(4, until="2026-11-22T10:05:00.000Z"),  # over already: nothing is sent
    ]
    assert send(target, alerts) == []
    assert {path for path, _, _ in receiver.requests} == {"/api/v2/alerts"}
    assert receiver.requests[0][1]["Authorization"].startswith("Basic ")
    for each in (one for body in receiver.bodies for one in body):
        assert {"labels", "annotations"} <= set(each) <= {
            "labels", "annotations", "startsAt", "endsAt"}  # fmt: skip
        assert all(LABEL.match(name) for name in each["labels"])
        assert all(isinstance(value, str) for value in each["labels"].values())
        for at in (each.get("startsAt"), each.get("endsAt")):
            assert at is None or datetime.fromisoformat(at.replace("Z", "+00:00"))
    first, second, third = receiver.bodies
    (one,) = first
    assert one["labels"] == {
        "plant": "north",
        "sensor_id": "4",
        "line": 'a"\r\nBcc: x',
        "field": "t",
        "aggregation": "temps",
        "job": "plant",
        "alertname": "hot",
        "severity": "crit",
    }
    assert one["startsAt"] == alert()["since"]
    assert [(each["labels"]["severity"], "startsAt" in each) for each in second] == [
        ("crit", False),
        ("warn", True),
    ]
    assert second[0]["endsAt"] == alert()["window_start"]
    # What ends has the labels of what began.
    assert second[0]["labels"] == one["labels"]
    assert [(each["labels"]["severity"], "startsAt" in each) for each in third] == [("warn", False)]


def email(port: int, **more: Any) -> Email:
    about = {"sender": "engine@plant.example", "to": ("a@plant.example", "b@plant.example")}
    return Email(host="127.0.0.1", port=port, **{"tls": "none", **about, **more})


def test_a_mail_is_sent_for_each_alert(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    target = email(port, subject="{level} {keys.line}", username="u", password=SECRET)
    assert send(target, [alert(1), alert(2)]) == []
    first = box.mails[0]
    assert first.rcpt_tos == ["a@plant.example", "b@plant.example"]
    text = first.content.decode()
    # A key with a line break makes no header of its own.
    assert 'Subject: crit a" Bcc: x\r\n' in text
    assert "\r\nBcc:" not in text
    assert f"Message-ID: <{alert(1)['id']}@ts-engine>" in text
    assert "hot: crit 1" in text
    assert len(box.mails) == 2


def test_mails_that_are_refused_are_told_with_the_reason(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    (left,) = send(email(port, username="u", password=SECRET + "x"), [alert(1)])
    assert left.reason == "127.0.0.1: wrong user or password"
    box.refuse = "554 no"
    (left,) = send(email(port), [alert(1)])
    assert left.reason == "127.0.0.1 answers 554"
    box.refuse = "451 later"
    (left,) = send(email(port, timeout="0.2 seconds"), [alert(1)])
    assert left.reason == "127.0.0.1 answers 451"
    (left,) = send(email(port, tls="starttls"), [alert(1)])
    assert "STARTTLS" in left.reason
    (left,) = send(email(1, timeout="0.2 seconds"), [alert(1)])
    assert left.reason == "127.0.0.1 cannot be reached: connection refused"


def test_a_server_of_mail_is_asked_without_a_mail(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    told = "127.0.0.1: takes mail of engine@plant.example for a@plant.example, b@plant.example"
    assert email(port, username="u", password=SECRET).probe() == told
    with pytest.raises(OutputError, match=r"^127\.0\.0\.1: wrong user or password$"):
        email(port, username="u", password="x").probe()
    box.unknown = "b@plant.example"
    with pytest.raises(OutputError, match=r"^127\.0\.0\.1: b@plant\.example cannot be told$"):
        email(port).probe()
    with pytest.raises(PassingError, match="connection refused"):
        email(1).probe()
    assert box.mails == []


def test_a_mail_that_some_have_got_is_not_sent_again(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    box.unknown = "b@plant.example"
    left = send(email(port), [alert(1)])
    reason = "127.0.0.1: b@plant.example cannot be told"
    assert left == [Undelivered(alert(1)["id"], reason, partly=True)]
    assert [each.rcpt_tos for each in box.mails] == [["a@plant.example"]]
    (left,) = send(email(port, to=("b@plant.example",)), [alert(1)])
    assert left == Undelivered(alert(1)["id"], "127.0.0.1: nobody of 'to' is known")


def test_a_program_gets_the_alert_and_no_shell_sees_it(tmp_path: Path) -> None:
    code = f"import sys, json; open({str(tmp_path / 'out')!r}, 'a').write(json.dumps([sys.argv[1:], json.load(sys.stdin)['id']]) + chr(10))"  # noqa: E501
    target = Command(command=(sys.executable, "-c", code, "{level}", "{keys.line} $(id); `id`"))
    assert send(target, [alert(1), alert(2)]) == []
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert found == [
        [["crit", 'a"\r\nBcc: x $(id); `id`'], alert(number)["id"]] for number in (1, 2)
    ]


def test_a_program_that_fails_or_hangs_is_told() -> None:
    code = "import sys; sys.stderr.write('no\\nline'); sys.exit(3)"
    left = send(Command(command=(sys.executable, "-c", code)), [alert(1), alert(2)])
    assert [each.reason for each in left] == [f"'{sys.executable}' ended with 3: no; line"] * 2
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    hangs = Command(command=(sys.executable, "-c", code), timeout="0.5 seconds")
    (left,) = send(hangs, [alert(1)])
    assert left.reason == f"'{sys.executable}' took more than 0.5 seconds"
    (left,) = send(Command(command=("/nowhere/program",)), [alert(1)])
    assert left.reason == "'/nowhere/program' cannot be run: no such file or directory"


def test_a_topic_gets_a_record_for_each_alert(kafka: KafkaBroker) -> None:
    kafka.create_topic("alert-target", partitions=2)
    host, port = kafka.address.split(":")
    target = Kafka(server=host, port=int(port), topic="alert-target")
    assert target.probe() == f"{kafka.address}: 'alert-target' (partitions: 2)"
    assert send(target, [alert(1), alert(2)]) == []
    records = kafka.consume("alert-target")
    assert [json.loads(each.value) for each in records] == [alert(1), alert(2)]
    assert {each.key for each in records} == {b'hot {"sensor id": 4}'}
    assert dict(records[0].headers) == {"id": alert(1)["id"].encode(), "level": b"crit"}


def test_a_topic_or_broker_that_is_not_there_is_told(kafka: KafkaBroker) -> None:
    host, port = kafka.address.split(":")
    missing = Kafka(server=host, port=int(port), topic="alert-nowhere", timeout="1 second")
    with pytest.raises(OutputError, match="there is no topic 'alert-nowhere'"):
        missing.probe()
    assert [each.id for each in send(missing, [alert(1)])] == [alert(1)["id"]]
    away = Kafka(server="127.0.0.1", port=1, topic="alert-target", timeout="1 second")
    (left,) = send(away, [alert(1)])
    assert left.reason.startswith("127.0.0.1:1: ")


@pytest.mark.parametrize("format_", ["text", "json"])
def test_the_screen_is_the_drivers(capsys: pytest.CaptureFixture[str], format_: Any) -> None:
    with closing(Screen("127.0.0.1")) as screen:
        strange = alert(2, message="hot\n\x1b[31mred")
        left = send(Stdout(format=format_), [alert(1), strange], Job("plant", screen.address))
    assert left == []
    lines = capsys.readouterr().out.splitlines()
    if format_ == "json":
        assert [json.loads(line) for line in lines] == [alert(1), strange]
    else:
        assert lines[0] == "2026-11-22T10:00:00.000Z  CRIT  hot: crit 1"
        assert len(lines) == 2
        assert "\x1b" not in lines[1]


def test_a_template_runs_nothing() -> None:
    told = alert(1, message="{keys.line} {0.__class__}")
    assert filled("{message.__class__}|{message}|{nothing}", told) == "|{keys.line} {0.__class__}|"
    assert [message for message, _ in problems("{levl} {keys.any} {param.value}")] == [
        "an alert has no 'levl'"
    ]
