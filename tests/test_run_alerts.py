"""Whole runs that ask a real InfluxDB about the past, and tell a real Kafka."""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import Job, iso
from tests.kills import _SPARK, finish, kill_at_random
from tests.receivers import Mailbox, Receiver
from tests.servers.influx1 import InfluxOne
from tests.servers.kafka import KafkaBroker
from tests.test_configs import ANALYSIS

#: ``KILLS`` in the environment says how often a run is killed, each time at another place.
KILLS = int(os.environ.get("KILLS", "3"))
KEYS = ("a", "b")
BANDS = (("SimpleAnalysis1", "rpm_sum", 5), ("SimpleAnalysis1", "rpm_max", 8))
AVERAGE = ("AverageAnalysis", "rpm_sum", 4)


def section(influx1: InfluxOne, kafka: KafkaBroker, topic: str) -> dict[str, Any]:
    """The analysis of the first engine, as its users wrote it, at our servers."""
    host, port = kafka.address.split(":")
    return ANALYSIS | {
        "historical": {"method": "influx", "influx_options": options(influx1, topic)},
        "alert": {
            "method": "kafka",
            "options": {"server": host, "port": int(port), "topic": topic},
        },
    }


def options(influx1: InfluxOne, database: str) -> dict[str, Any]:
    return {
        "host": influx1.host,
        "port": influx1.port,
        "username": influx1.username,
        "password": influx1.password,
        "database": database,
        "measurement": "points",
    }


def config(job: Job, influx1: InfluxOne, kafka: KafkaBroker, topic: str) -> None:
    kafka.create_topic(topic)
    influx1.query(f'CREATE DATABASE "{topic}"')
    path = job.config(
        {"rule": ["key: key", "rpm_sum: sum(value)", "rpm_max: max(value)"]},
        outputs=[
            {"main": True, "method": "influx", "options": {"influx": options(influx1, topic)}}
        ],
        engine={"spark": _SPARK},
    )
    whole = json.loads(path.read_text())
    whole["analysis"] = section(influx1, kafka, topic)
    path.write_text(json.dumps(whole))


def arrive(job: Job, drawn: random.Random, windows: dict[tuple[str, int], list[float]]) -> None:
    """A file of one window of 10 seconds: most like the one before, some far from it."""
    start = 10 * job.files
    records = []
    for key in KEYS:
        base = drawn.choice([100, 100, 100, 103, 120, 60])
        values = [float(base), float(base - drawn.randrange(3))]
        windows[key, start] = values
        records += [f"{start + place},{key},{value}" for place, value in enumerate(values)]
    job.arrive(records)


def expected(windows: dict[tuple[str, int], list[float]], last: int) -> set[tuple[Any, ...]]:
    """(rule, field, key, window, kind, lower bound, upper bound, value) of all alerts."""
    found = set()
    for rule, field, percent in (*BANDS, AVERAGE):
        measure = sum if field == "rpm_sum" else max
        for key in KEYS:
            level = "ok"
            for start in range(0, last, 10):
                backs = range(1, 4) if rule == "AverageAnalysis" else range(1, 2)
                known = [windows.get((key, start - 10 * back)) for back in backs]
                before = [measure(each) for each in known if each is not None]
                if not before:
                    continue
                base, value = sum(before) / len(before), measure(windows[key, start])
                lower, upper = base * (1 - percent / 100), base * (1 + percent / 100)
                now = "ok" if lower <= value <= upper else "crit"
                if now != level:
                    kind = "alert" if now == "crit" else "recovered"
                    numbers = tuple(round(each, 6) for each in (lower, upper, value))
                    found.add((rule, field, key, iso(start), kind, *numbers))
                level = now
    return found


def told(record: Any) -> tuple[Any, ...]:
    alert = json.loads(record.value)
    param = alert["param"]
    numbers = (round(param[name], 6) for name in ("lower_bound", "upper_bound", "value"))
    about = (alert["AnalysisModule"], param["field"], param["key"], alert["timestamp"])
    return (*about, alert["kind"], *numbers)


@pytest.mark.parametrize("kills", [0, KILLS])
def test_exactly_the_alerts_that_are_due_arrive(
    job: Job, influx1: InfluxOne, kafka: KafkaBroker, kills: int
) -> None:
    topic = f"run-alerts-{kills}"
    config(job, influx1, kafka, topic)
    drawn = random.Random(3 if "KILLS" not in os.environ else None)
    windows: dict[tuple[str, int], list[float]] = {}
    for _ in range(kills):
        for _ in range(2):
            arrive(job, drawn, windows)
        kill_at_random(job, drawn)
    while job.files < 12:
        arrive(job, drawn, windows)
    # Once more in the run that nobody disturbs: what came twice came from a batch that was cut off.
    finish(job) if kills else job.run("--once")
    records = kafka.consume(topic)
    by_id = {dict(each.headers)["id"]: told(each) for each in records}
    due = expected(windows, 10 * (job.files - 1))
    assert len(due) > 10
    assert set(by_id.values()) == due
    assert len(by_id) == len(due)
    if not kills:
        assert len(records) == len(due)
    for secret in (influx1.password,):
        said = Path(job.folder / "said").read_text() if kills else ""
        assert secret not in said


TAKES = """import json, os, sys
if not os.path.exists(sys.argv[2]): sys.exit('the door is shut')
told = json.load(sys.stdin)
print(told['AnalysisModule'], told['previous'], told['level'], file=open(sys.argv[1], 'a'))
"""


def test_alerts_go_where_they_are_wanted_and_wait_for_who_is_away(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    def program(name: str, door: str, **wants: Any) -> dict[str, Any]:
        paths = [str(job.folder / name), str(job.folder / door)]
        return {
            "method": "command",
            "options": {"command": [sys.executable, "-c", TAKES, *paths], "timeout": "30 seconds"},
            **wants,
        }

    path = job.config({"rule": ["key: key", "value: max(value)"], "window": "10 seconds"})
    whole = json.loads(path.read_text())
    levels = {"warn": "value > 5", "crit": "value > 8"}
    whole["analysis"] = {
        "rule": [
            {"module": "Threshold", "name": "high", "options": levels},
            {"module": "Threshold", "name": "low", "options": {"info": "value < 2"}},
        ],
        "alert": [
            {"method": "stdout"},
            program("crit", "config.json", levels=["crit"]),
            program("low", "config.json", rules=["low"]),
            program("late", "door"),
        ],
    }  # fmt: skip
    path.write_text(json.dumps(whole))
    values = [6, 9, 6, 3, 1, 3, 3]
    job.arrive([f"{1000 + place * 10},a,{value}" for place, value in enumerate(values)])
    job.run("--once")
    said = capsys.readouterr()
    high = ["high ok warn", "high warn crit", "high crit warn", "high warn ok"]
    low = ["low ok info", "low info ok"]
    assert (job.folder / "crit").read_text().splitlines() == high[1:3]
    assert (job.folder / "low").read_text().splitlines() == low
    assert not (job.folder / "late").exists()
    assert "the door is shut" in said.err
    assert [line for line in said.out.splitlines() if "CRIT" in line]
    (job.folder / "door").touch()
    job.arrive(["1070,a,3"])
    job.run("--once")
    assert (job.folder / "late").read_text().splitlines() == [*high, *low]
    assert (job.folder / "crit").read_text().splitlines() == high[1:3], "nothing is told twice"


def test_what_cannot_be_told_now_is_told_later_and_what_some_know_is_not_told_again(
    job: Job,
    receiver: Receiver,
    mailbox: tuple[Mailbox, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    box, port = mailbox
    box.unknown = "gone@plant.example"
    path = job.config({"rule": ["key: key", "value: max(value)"], "window": "10 seconds"})
    whole = json.loads(path.read_text())
    addresses = {"from": "engine@plant.example", "to": ["shift@plant.example", box.unknown]}
    whole["analysis"] = {
        "rule": [{"module": "Threshold", "name": "hot", "options": {"crit": "value > 80"}}],
        "alert": [
            {"method": "webhook", "options": {"url": receiver.url, "timeout": "0.2 seconds"}},
            {"method": "email", "options": {"host": "127.0.0.1", "port": port, "tls": "none"}},
        ],
    }
    whole["analysis"]["alert"][1]["options"] |= addresses
    path.write_text(json.dumps(whole))
    receiver.answers = [503] * 100
    job.arrive(["1000,a,90", "1010,a,90"])
    job.run("--once")
    told = capsys.readouterr().err
    assert f"1 alert could not be delivered yet: {receiver.url} answers 503" in told
    assert "1 alert did not reach everybody: 127.0.0.1: gone@plant.example cannot be told" in told
    receiver.answers = []
    job.arrive(["1020,a,90"])
    job.run("--once")
    assert "deliver" not in (told := capsys.readouterr().err), told
    assert "everybody" not in told
    assert len({body["id"] for body in receiver.bodies}) == 1
    job.arrive(["1030,a,90"])
    before = len(receiver.requests)
    job.run("--once")
    # It goes on: nobody is told twice.
    assert len(receiver.requests) == before
    assert [each.rcpt_tos for each in box.mails] == [["shift@plant.example"]]
