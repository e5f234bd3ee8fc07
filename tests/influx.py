"""InfluxDB 1 and 2 as one thing to write to and to ask: what their cases share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import urllib3

from engine.outputs import Batch, Job, Refused, Stream
from engine.outputs.influx import Influx
from engine.plan import Column
from engine.spark.arrow import ARROW
from engine.types import Type
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo

Point = tuple[dict[str, str], int, dict[str, Any]]


@dataclass(frozen=True)
class Database:
    """A database or a bucket of its own, and the options of an output that writes there."""

    server: InfluxOne | InfluxTwo
    options: Mapping[str, Any]

    def target(self, **more: Any) -> Influx:
        return Influx(**{**self.options, **more})

    @property
    def name(self) -> str:
        return str(self.options.get("database") or self.options.get("bucket"))

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series that InfluxQL gives; times are epoch milliseconds."""
        if isinstance(self.server, InfluxOne):
            return self.server.query(text, self.name, epoch="ms")
        asked = urlencode({"db": self.name, "epoch": "ms", "q": text})
        headers = {"Authorization": f"Token {self.server.token}"}
        url = f"{self.server.url}/query?{asked}"
        answer = urllib3.request("POST", url, headers=headers, timeout=120)
        results = json.loads(answer.data)["results"]
        return [series for result in results for series in result.get("series", ())]

    def points(self, measurement: str) -> list[Point]:
        """All points, as tags, epoch milliseconds and fields; in order."""
        quoted = measurement.replace('"', '\\"')
        found = []
        for series in self.query(f'SELECT * FROM "{quoted}" GROUP BY *'):
            for time, *values in series["values"]:
                named = dict(zip(series["columns"][1:], values, strict=True))
                fields = {each: value for each, value in named.items() if value is not None}
                found.append((series.get("tags", {}), time, fields))
        return sorted(found, key=lambda each: (sorted(each[0].items()), each[1]))


def stream(name: str = "s", **columns: str) -> Stream:
    """A stream of windows; `k="string key"`, `v="double"`."""
    made = [Column(each, Type.TIMESTAMP, "time") for each in ("window_start", "window_end")]
    for each, told in columns.items():
        of, _, role = told.partition(" ")
        made.append(Column(each, Type(of), role or "measure"))
    return Stream(name, tuple(made))


def rows(of: Stream, *values: tuple[Any, ...], size_ms: int = 1000) -> pa.RecordBatch:
    """Windows as (start in epoch milliseconds, keys and measures …)."""
    whole = [(_time(each[0]), _time(each[0] + size_ms), *each[1:]) for each in values]
    columns = [
        pa.array([row[place] for row in whole], ARROW[column.type])
        for place, column in enumerate(of.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in of.columns])


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


def job(*streams: Stream) -> Job:
    return Job("plant", "influx", "here", "127.0.0.1", streams)


def write(
    target: Influx, of: Stream, *batches: pa.RecordBatch, removed: pa.RecordBatch | None = None
) -> list[Refused]:
    """Writes as a task does; gives what was refused."""
    opened = target.open(job(of))
    writer = opened.begin(Batch(0))(0)
    try:
        if removed is not None:
            writer.remove(of, removed)
        for batch in batches:
            writer.write(of, batch)
        writer.settle()
        refused = writer.refused()
        writer.commit()
    except BaseException:
        writer.abort()
        raise
    finally:
        opened.close()
    return refused
