"""Records of every form, good and bad, become rows of a run."""

from __future__ import annotations

import csv
import os
import random
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from engine.cli import main
from tests.jobs import Job, rows

pytestmark = pytest.mark.usefixtures("spark")


HOSTILE = [
    b"",
    b"\xff\xfe\xfa,a,1",
    b"\x00\x01\x02\x03",
    b"x" * 10_000_000,
    b"1,a",
    b"1,a,1,1",
    b"one,a,1",
    b"1,a,1.5.5",
    b'1,"a,1',
    "ä".encode("latin-1") + b",a,1",
    b"99999999999999999999,a,1",
    b",a,1",
    b"9999999999,a,1",
]


def test_bad_input_is_in_malformed_with_its_reason_and_the_rest_is_exact(job: Job) -> None:
    chance = random.Random(11)
    noise = [bytes(chance.randrange(256) for _ in range(40)).replace(b"\n", b"") for _ in range(50)]
    good = [f"{i},k{i % 3},{i}.5".encode() for i in range(90)]
    records = [*HOSTILE, *noise, *good]
    chance.shuffle(records)
    job.arrive(records)
    job.config(
        {"name": "w", "window": "1 minute", "rule": ["key: key", "n: count()", "max(value)"]},
        streams=["aggregated", "malformed", "raw"],
    )
    report = job.run("--once")
    assert report["rows_read"] == len(records)
    assert report["malformed"] == len(HOSTILE) + len(noise)
    assert report["balanced"]
    assert sum(row["n"] for row in job.rows("w")) == len(good)
    assert len(job.rows("raw", "time")) == len(good)
    malformed = job.rows("malformed", "rowid")
    assert len(malformed) == len(HOSTILE) + len(noise)
    assert all(row["reason"] for row in malformed)
    assert {row["_file"] for row in malformed} == {str(job.data / "0000.csv")}
    reasons = {row["record"]: row["reason"] for row in malformed}
    assert reasons[""] == "empty record"
    assert reasons["x" * 10_000_000] == "expected 3 columns, found 1"
    assert reasons["one,a,1"] == "'time' is not a long: 'one'"
    assert reasons["9999999999,a,1"] == "dated more than 1 day ahead of its arrival"
    assert reasons[",a,1"] == "the event time 'time' is null or out of range"


def test_header_lines_byte_order_marks_and_separators(job: Job) -> None:
    job.arrive(["\ufefft;k;v", "1;a;1", '2;"a;b";2', "", "3;a;3\r"])
    job.arrive(["t;k;v", "4;t;4"])
    job.arrive(["t;k;v"])
    job.config(
        None,
        streams=["raw", "malformed"],
        options={"sep": ";", "header": True, "max_files_per_batch": 10},
    )
    report = job.run("--once")
    assert [(r["time"], r["key"], r["value"]) for r in job.rows("raw", "time")] == [
        (1, "a", 1.0),
        (2, "a;b", 2.0),
        (3, "a", 3.0),
        (4, "t", 4.0),
    ]
    assert [row["reason"] for row in job.rows("malformed", "rowid")] == ["empty record"]
    assert (report["rows_read"], report["malformed"]) == (5, 1)


def test_csv_of_the_data_is_read_as_python_reads_it(job: Job) -> None:
    rows = [["1", 'say "hi"', "1.5"], ["2", "a,b", "2"], ["3", " blank ", "3"]]
    path = job.arrive([])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    job.config(None, streams=["raw"])
    job.run("--once")
    assert [[row["time"], row["key"]] for row in job.rows("raw", "time")] == [
        [int(row[0]), row[1]] for row in rows
    ]


def test_json_files_with_nested_members(job: Job) -> None:
    job.arrive(
        [
            '{"t": 1, "dev": {"id": "a"}, "v": 1.5, "more": []}',
            '{"t": 2.0, "dev": {}, "v": null}',
            '{"t": "3", "dev": {"id": "a"}}',
            "[]",
        ]
    )
    job.config(
        {"rule": ["key: id", "n: count()", "max(v)"]},
        input_type="json",
        structure={
            "t": {"type": "long"},
            "id": {"type": "string", "path": "dev.id"},
            "v": {"type": "double"},
        },
        options={"path": "data"},
        processing={"event_time": "t"},
        streams=["aggregated", "malformed"],
    )
    report = job.run("--once")
    assert [(r["id"], r["n"], r["v"]) for r in job.rows("aggregated")] == [("a", 1, 1.5)]
    assert report["malformed"] == 2
    assert report["aggregations"]["aggregated"]["malformed"] == 3  # one has no key
    assert report["balanced"]


def test_lines_of_a_socket_until_the_run_is_stopped(job: Job) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    job.config(
        {"name": "w", "window": "10 seconds", "rule": ["key: key", "n: count()"]},
        input_type="socket",
        options={"host": "127.0.0.1", "port": server.getsockname()[1], "batchDuration": 0.5},
    )
    served = threading.Thread(target=_serve_until_written, args=(server, job))
    served.start()
    report = job.run()
    served.join()
    assert [(row["key"], row["n"]) for row in job.rows("w", "key")] == [("a", 2), ("b", 1)]
    assert (report["mode"], report["rows_read"], report["malformed"]) == ("stream", 4, 1)


def _serve_until_written(server: socket.socket, job: Job) -> None:
    """Sends four lines, and Ctrl-C to this process once their windows are there."""
    connection = server.accept()[0]
    connection.sendall(b"1,a,1\n2,a,1\n3,b,1\nx\n")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if sum(row["n"] for row in job.rows("w")) == 3:
                break
        except sqlite3.Error:
            pass  # the table is not there yet
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    connection.close()
    server.close()


def test_files_of_one_time_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "a [1]{b} folder"  # no pattern, though it looks like one
    folder.mkdir()
    job = Job(folder)
    names = [f"{number:02}.csv" for number in range(40)]
    for name in random.Random(5).sample(names, len(names)):
        path = job.data / name
        path.write_text(f"{int(path.stem)},a,1\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (job.data / "_not_yet.csv").write_text("99,a,1\n")  # Spark's way of hiding a file
    job.config({"rule": ["n: count()"]}, streams=["raw"], options={"max_files_per_batch": 5})
    assert job.run("--once")["batches"] == 8
    taken = [(row["_batch"], row["time"]) for row in job.rows("raw", "time")]
    assert taken == [(number // 5, number) for number in range(40)]


@pytest.mark.parametrize("mode", ["--once", "--batch"])
@pytest.mark.parametrize("path", ["data", "data/0000.csv"])
def test_a_working_folder_whose_name_looks_like_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, path: str
) -> None:
    for name in ("a [1] folder", "a 1 folder"):  # the first, as a pattern, finds the second
        folder = tmp_path / name
        folder.mkdir()
        job = Job(folder)
        job.arrive([f"1,{name},1"])
        job.config({"rule": ["key: key", "n: count()"]}, options={"path": path})
    monkeypatch.chdir(tmp_path / "a [1] folder")
    assert main(["run", "config.json", mode]) == 0
    found = rows(Path("out.sqlite"), "aggregated")
    assert [(row["key"], row["n"]) for row in found] == [("a [1] folder", 1)]
