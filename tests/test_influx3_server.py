"""The recorder of InfluxDB 3's protocol answers as the documentation says, and forgets nothing."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import urllib3
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from tests.servers.influx3 import InfluxThree, Reply

V3 = "/api/v3/write_lp?db=plant"
V2 = "/api/v2/write?bucket=plant"
REASON = "invalid column type for column 'v'"
LINES = b'w,sensor=a v=1.5 1\nw,sensor=b v="text" 2\nw,sensor=c v=2.5 3'


def asked(
    server: InfluxThree, target: str, body: bytes = LINES, **headers: str
) -> tuple[int, dict[str, Any]]:
    known = {"Authorization": f"Bearer {server.token}", **headers}
    answer = urllib3.request("POST", server.url + target, body=body, headers=known, retries=False)
    return answer.status, json.loads(answer.data) if answer.data else {}


def test_bytes_are_recorded_as_they_were_before_they_were_packed(influx3: InfluxThree) -> None:
    line = "wärme,sensor=a\\ b v=1.5 1".encode()
    packed = {"Content-Encoding": "gzip"}
    assert asked(influx3, V3 + "&precision=second", gzip.compress(line), **packed) == (204, {})
    (request,) = influx3.requests
    assert request.body == line
    assert request.packed
    assert request.parameters == {"db": "plant", "precision": "second"}
    assert influx3.lines == {"plant": [line]}


@pytest.mark.parametrize(
    ("target", "headers", "status", "error"),
    [
        ("/api/v3/write?db=plant", {}, 404, "not found"),
        ("/api/v3/write_lp", {}, 400, "missing query parameter 'db'"),
        (V3 + "&precision=ns", {}, 400, "unknown precision 'ns'"),
        (V2 + "&precision=nanosecond", {}, 400, "unknown precision 'nanosecond'"),
        (V3 + "&bucket=b", {}, 400, "unknown query parameter 'bucket'"),
        (V3 + "&no_sync=1", {}, 400, "'no_sync' is neither true nor false"),
        (V3, {"Authorization": ""}, 401, "the request was not authenticated"),
        (V3, {"Authorization": "Bearer wrong"}, 401, "the request was not authenticated"),
        (V3, {"Authorization": f"Token {InfluxThree.token}"}, 401, "the request was not authen"),
    ],
)
def test_what_the_protocol_does_not_know_is_refused_and_not_stored(
    influx3: InfluxThree, target: str, headers: dict[str, str], status: int, error: str
) -> None:
    found, body = asked(influx3, target, **headers)
    assert found == status
    assert body["error"].startswith(error)
    assert influx3.lines == {}
    assert [request.status for request in influx3.requests] == [status]


def test_a_refused_line_is_told_and_the_others_are_stored_or_none(influx3: InfluxThree) -> None:
    refused = {
        "original_line": 'w,sensor=b v="text" 2',
        "line_number": 2,
        "error_message": REASON,
    }
    influx3.refuses = lambda line: REASON if b'"text"' in line else ""
    whole = {"error": "parsing failed for write_lp endpoint", "data": refused}
    assert asked(influx3, V3 + "&accept_partial=false") == (400, whole)
    assert influx3.lines == {}
    partly = {"error": "partial write of line protocol occurred", "data": [refused]}
    assert asked(influx3, V3) == (400, partly)
    assert influx3.lines == {"plant": [b"w,sensor=a v=1.5 1", b"w,sensor=c v=2.5 3"]}


def test_it_answers_what_it_is_told_and_then_as_ever(influx3: InfluxThree) -> None:
    influx3.answer(Reply(503, b"{}", {"Retry-After": "1"}), Reply(500))
    line = b"w v=1 1"
    assert [asked(influx3, V3, line)[0] for _ in range(3)] == [503, 500, 204]
    assert influx3.lines == {"plant": [line]}


def test_the_client_of_influxdb_2_writes_to_it(influx3: InfluxThree) -> None:
    with InfluxDBClient(influx3.url, influx3.token, org="any", enable_gzip=True) as client:
        client.write_api(SYNCHRONOUS).write("plant", record="w,sensor=a v=1.5 1")
    (request,) = influx3.requests
    assert request.path == "/api/v2/write"
    assert request.parameters == {"bucket": "plant", "org": "any", "precision": "ns"}
    assert influx3.lines == {"plant": [b"w,sensor=a v=1.5 1"]}
