"""Streams and rows made by hand, written to an output as a task does: what cases without Spark
share."""

from __future__ import annotations

import pickle
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from engine.outputs import Batch, Job, Refused, Stream, Target
from engine.plan import Column
from engine.spark.arrow import ARROW
from engine.types import Type

#: Keys that a language, a format, or a careless client could take for something of its own.
HOSTILE = [
    *("a,b", "a=b", "a b", 'a"b', "it's", "a\\b", "a\\", "\\", "\\n", ",", " ", "", "NULL", "null"),
    *("\t", "a\nb", "a\r\nb", "a\n\\.\nb", "\\.", "\x01", "\x7f", "\u2028", "é☃", "\U0001f600"),
    *(
        "'; DROP TABLE w; --",
        '"; DROP TABLE w; --',
        "{a,b}",
        "{}",
        '{"a"}',
        "$1",
        "%s",
        "{{",
        "(1)",
    ),
    *(
        " a ",
        '"',
        "'",
        "''",
        '""',
        "a\\' OR 'b'='b",
        "\\x41",
        "\N{COMBINING ACUTE ACCENT}",
        "K",
        "k",
    ),
]


def stream(name: str = "w", **columns: str) -> Stream:
    """A stream of windows: `k="string key"`, `v="double"`."""
    made = [Column(each, Type.TIMESTAMP, "time") for each in ("window_start", "window_end")]
    for each, told in columns.items():
        of, _, role = told.partition(" ")
        made.append(Column(each, Type(of), role or "measure"))
    return Stream(name, tuple(made))


def beside(name: str, **columns: str) -> Stream:
    """A stream of rows that are no window's: `v="double"`."""
    made = [Column(each, Type(of), "field") for each, of in columns.items()]
    origin = [Column("_arrived", Type.TIMESTAMP, "origin"), Column("_batch", Type.LONG, "origin")]
    return Stream(name, (*made, *origin))


def rows(of: Stream, *values: tuple[Any, ...], size_ms: int = 1000) -> pa.RecordBatch:
    """Windows as (start in epoch milliseconds, keys and measures …)."""
    return table(of, *[(time(each[0]), time(each[0] + size_ms), *each[1:]) for each in values])


def table(of: Stream, *values: tuple[Any, ...]) -> pa.RecordBatch:
    """Rows as all of their values."""
    columns = [
        pa.array([row[place] for row in values], ARROW[column.type])
        for place, column in enumerate(of.columns)
    ]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in of.columns])


def time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


def job(*streams: Stream, checkpoint: str = "here") -> Job:
    return Job("plant", "store", checkpoint, "127.0.0.1", streams)


def write(
    target: Target,
    of: Stream,
    *batches: pa.RecordBatch,
    removed: pa.RecordBatch | None = None,
    batch: Batch = Batch(0),  # noqa: B008 - frozen
    checkpoint: str = "here",
    commits: bool = True,
) -> list[Refused]:
    """Writes as a task of a micro-batch does; gives what was refused."""
    with closing(target.open(job(of, checkpoint=checkpoint))) as opened:
        writer = pickle.loads(pickle.dumps(opened.begin(batch)))(0)
        try:
            if removed is not None:
                writer.remove(of, removed)
            for each in batches:
                writer.write(of, each)
            writer.settle()
            refused: list[Refused] = writer.refused()
            if commits:
                writer.commit()
                opened.finish(batch)
            else:
                writer.abort()
        except BaseException:
            writer.abort()
            raise
    return refused


def find(target: Target, of: Stream, asked: list[tuple[Any, ...]], accuracy_ms: int) -> Any:
    """What the output answers to (start in epoch milliseconds, keys …)."""
    nothing = [None] * sum(column.role == "measure" for column in of.columns)
    batch = rows(of, *[(*each, *nothing) for each in asked])
    with closing(target.open(job(of))) as opened:
        reader = pickle.loads(pickle.dumps(opened.reader()))()
    with closing(reader):
        answer = reader.find(of, batch.select([*of.keys, "window_start"]), accuracy_ms)
    assert answer.num_rows == len(asked)
    return answer
