#!/usr/bin/env python3
"""Prints simulated rows or sends them to Kafka, and tells what an engine should find in them."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.simulator import SCENARIOS, Rows, Simulation, rows_due
from engine.simulator.lines import FORMATS

#: Rows of one write: large enough to be fast, small enough to stop at once.
CHUNK = 8192
#: Seconds that Kafka may take to accept a connection, and to answer what is sent.
CONNECT_TIMEOUT, DELIVERY_TIMEOUT = 10, 30
START = "of row 0: epoch seconds or ISO 8601; now for sensors, the building begins with 2020"
SPEED = """\
sensors: rows a second of event time; --rate, or 1000. building: how many times as fast as the clock
event time runs, in place of --rate: 900 is a quarter of an hour each second"""
EPILOG = """\
examples:
  %(prog)s --count 5                             five rows
  %(prog)s --rate 1000 | kafka-console-producer --bootstrap-server kafka:9092 --topic sensors-demo
  %(prog)s --kafka localhost:9092 --topic sensors-demo --rate 1000 --malformed 0.01
  %(prog)s --seed 7 --start 2026-01-01T00:00:00Z --count 100000 --truth truth.json > rows.csv
  %(prog)s --scenario building --days 90 --truth truth.json > rows.csv
  %(prog)s --scenario building --speed 900 --kafka localhost:9092 --topic building

scenarios:
  sensors   a hundred machines' sensors: timestamp, sensor_id, sensor_type and four measures
  building  ten sensors of a building: timestamp, sensor, value; a row every quarter of an hour
            (TH1 TH2 HVAC1 HVAC2 MiAC1 MiAC2 W1), now and then (Mov1) or at the day's end (the
            counters Etot and Wtot). Every 5 hours W1 repeats a reading of 2 days ago, and every
            30 hours one of 10 days ago, with another value: the former count, the latter are late
            for an engine that allows 2 days or more, and whose batches are small: two batches
            together span no more than 9 days less the allowed lateness. There are about 700 rows
            a day. Values are eighths, so that sums of doubles are exact.

Row i depends on --seed and on i alone, so two runs with one --start print the same bytes.
Exit status: 0 done, or ended by Ctrl-C where no --count was asked for; 1 the rows could not be
delivered; 2 a mistake in the options; 130 ended before --count rows."""

Send = Callable[[int, int], None]


class UndeliveredError(Exception):
    """Rows that cannot be delivered, with a sentence that says why."""


class Interruption:
    """Whether Ctrl-C or SIGTERM came. A second one ends the process at once."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.came = True
        signal.signal(number, signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    simulation = _simulation(parser, options)
    rows = simulation.rows()
    stop = Interruption()
    try:
        if options.kafka:
            sent = _to_kafka(simulation, rows, stop, options.kafka, options.topic)
        else:
            sent = _pump(simulation, _to_stdout(rows), stop)
    except BrokenPipeError:
        # The reader has had enough (`| head`); Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if options.truth:
            return _failed("no truth written: the reader of the rows left before their end")
        return 0
    except (UndeliveredError, OSError) as error:
        return _failed(str(error))
    if options.truth:
        found = simulation.truth(rows, sent, options.window)
        options.truth.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if simulation.total in (None, sent) else 130


def _failed(sentence: str) -> int:
    print(f"generator.py: {sentence}", file=sys.stderr)
    return 1


def _pump(simulation: Simulation, send: Send, stop: Interruption) -> int:
    """Sends rows as they fall due, until all are sent or an interruption; how many were."""
    sent = 0
    total, pace = simulation.total, simulation.pace
    began = time.monotonic()
    while not stop.came and sent != total:
        passed = time.monotonic() - began
        due = rows_due(passed, pace) if pace else sent + CHUNK
        end = min(due, sent + CHUNK, due if total is None else total)
        if end > sent:
            send(sent, end)
            sent = end
        else:
            # Short enough to stop soon, long enough not to wake up for each row.
            time.sleep(min(max(sent / pace - passed, 0.01), 0.1))
    return sent


def _to_stdout(rows: Rows) -> Send:
    def send(start: int, stop: int) -> None:
        sys.stdout.buffer.write(b"\n".join(rows.lines(start, stop)) + b"\n")
        sys.stdout.buffer.flush()

    return send


def _to_kafka(
    simulation: Simulation, rows: Rows, stop: Interruption, broker: str, topic: str
) -> int:
    """Sends rows with their sensor as key; returns when the broker has acknowledged all."""
    try:
        from kafka import KafkaProducer
        from kafka.errors import KafkaError, KafkaTimeoutError
    except ImportError:
        raise UndeliveredError("--kafka needs the package 'kafka-python'") from None
    # The client's own log lines would come before the sentence, and say less.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    _reach(broker)
    failures: list[Exception] = []

    def send(start: int, end: int) -> None:
        for line, key in zip(rows.lines(start, end), rows.keys(start, end), strict=True):
            future = producer.send(topic, line, key=key)
            future.add_errback(failures.append)
        if failures:
            raise failures[0]

    try:
        producer = KafkaProducer(
            bootstrap_servers=broker,
            acks="all",
            linger_ms=20,
            batch_size=1 << 18,
            bootstrap_timeout_ms=DELIVERY_TIMEOUT * 1000,
            max_block_ms=DELIVERY_TIMEOUT * 1000,
            request_timeout_ms=DELIVERY_TIMEOUT * 500,
            delivery_timeout_ms=DELIVERY_TIMEOUT * 1000,
        )
        try:
            sent = _pump(simulation, send, stop)
            producer.flush(DELIVERY_TIMEOUT)
        finally:
            producer.close(timeout=1)
        if failures:
            raise failures[0]
    except KafkaError as error:
        silent = isinstance(error, KafkaTimeoutError) or not error.args
        reason = f"no answer for {DELIVERY_TIMEOUT} s" if silent else error.args[0]
        raise UndeliveredError(f"cannot send to topic '{topic}' at {broker}: {reason}") from None
    return sent


def _reach(broker: str) -> None:
    """Knocks at the broker's door: Kafka's client would try for long and not say what is wrong."""
    host, _, port = broker.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except OSError as error:
        reason = (error.strerror or "no answer").lower()
        raise UndeliveredError(f"cannot reach Kafka at {broker}: {reason}") from None


def _simulation(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Simulation:
    """The options of the rows; ends the process with status 2 where they make no sense."""
    if bool(options.kafka) != bool(options.topic):
        parser.error("--kafka and --topic go together")
    if options.truth and not options.truth.absolute().parent.is_dir():
        parser.error(f"--truth: there is no folder '{options.truth.absolute().parent}'")
    if options.window is not None and options.window < 1:
        parser.error("--window must be 1 second or more")
    if options.window is not None and options.scenario == "building":
        parser.error("--window: the windows of the scenario 'building' are days")
    given = vars(options)
    names = {field.name for field in fields(Simulation)} & given.keys()
    try:
        return Simulation(**{name: given[name] for name in names})
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    defaults = Simulation()
    parser = argparse.ArgumentParser(
        prog="generator.py",
        usage="%(prog)s [--scenario NAME] [--count N] [--rate N] [OPTIONS]",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--scenario", default=defaults.scenario, help=f"of {', '.join(SCENARIOS)}")
    add("--seed", type=int, default=defaults.seed, metavar="N", help="another N, other rows")
    add("--count", type=int, metavar="N", help="rows in all; endless without")
    add("--days", type=int, metavar="N", help="building: days in all, in place of --count")
    add("--rate", type=float, default=0, metavar="N", help="rows a second; 0 is as fast as it goes")
    add("--start", type=_moment, metavar="TIME", help=START)
    add("--speed", type=float, metavar="N", help=SPEED)
    add("--malformed", type=float, default=0, metavar="SHARE", help="of broken lines: 0.01 is 1 %%")
    add(
        "--late",
        type=float,
        default=0,
        metavar="SHARE",
        help="sensors: of rows that are dated back",
    )
    add(
        "--lateness",
        type=int,
        default=5,
        metavar="SECONDS",
        help="sensors: at most, of late rows; 5",
    )
    add("--format", default="csv", choices=FORMATS, help="of the lines; csv")
    add("--sep", type=_separator, default=defaults.sep, help="between columns; a comma")
    add("--truth", type=Path, metavar="FILE", help="write the exact results here, as JSON")
    add("--window", type=int, metavar="SECONDS", help="sensors: of the truth's windows; 10")
    add("--kafka", type=_address, metavar="HOST:PORT", help="send there instead of printing")
    add("--topic", type=_topic, help="of Kafka; a row's key is its sensor")
    return parser


def _moment(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        message = f"expected epoch seconds or ISO 8601, found '{text}'"
        raise argparse.ArgumentTypeError(message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp())


def _separator(text: str) -> str:
    return text.replace("\\t", "\t")


def _topic(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", text):
        raise argparse.ArgumentTypeError(f"letters, digits and '._-' name a topic, found '{text}'")
    return text


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, found '{text}'")
    return text


if __name__ == "__main__":
    sys.exit(main())
