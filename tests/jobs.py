"""What cases that run a whole config share: a config in a folder, a run in this process, a look at
what it wrote."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from engine.cli import main

FIELDS = {
    "time": {"index": 0, "type": "long"},
    "key": {"index": 1, "type": "string"},
    "value": {"index": 2, "type": "double"},
}


class Job:
    """A config in a folder of its own, reading csv lines and writing to sqlite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.database = folder / "out.sqlite"
        self.files = 0

    def config(
        self,
        aggregations: Any,
        *,
        transformation: Sequence[str] = (),
        streams: Sequence[str] = ("aggregated",),
        structure: Mapping[str, Any] = FIELDS,
        options: Mapping[str, Any] | None = None,
        input_type: str = "csv",
        outputs: Sequence[Mapping[str, Any]] = (),
        processing: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        """Writes the config; ``more`` are further sections of it."""
        source = {"path": "data", "max_files_per_batch": 1} if input_type == "csv" else {}
        sqlite = {"method": "sqlite", "options": {"path": "out.sqlite"}, "streams": list(streams)}
        whole = {
            "input": {
                "input_type": input_type,
                "data_structure": structure,
                "options": {**source, **(options or {})},
            },
            "outputs": [sqlite, *outputs],
            "processing": {
                "event_time": "time",
                "transformation": list(transformation),
                **({"aggregations": aggregations} if aggregations else {}),
                **(processing or {}),
            },
            **more,
        }
        path = self.folder / "config.json"
        path.write_text(json.dumps(whole, indent=2))
        return path

    def arrive(self, records: Iterable[str | bytes]) -> Path:
        """A file of records arrives, later than the files before it."""
        path = self.data / f"{self.files:04}.csv"
        lines = [each if isinstance(each, bytes) else each.encode() for each in records]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        os.utime(path, (1_700_000_000 + self.files, 1_700_000_000 + self.files))
        self.files += 1
        return path

    def run(self, *options: str, status: int = 0) -> dict[str, Any]:
        """Runs the config in this process; gives its report."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        arguments = ["run", str(self.folder / "config.json"), "--report", str(report), *options]
        assert main(arguments) == status
        found: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
        return found

    def rows(self, table: str, order: str = "window_start") -> list[dict[str, Any]]:
        """The rows of a table of the output."""
        return rows(self.database, table, order)


def rows(database: Path, table: str, order: str = "window_start") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f'SELECT * FROM "{table}" ORDER BY {order}').fetchall()
    return [dict(each) for each in found]


def iso(seconds: float) -> str:
    """A time as the outputs write it."""
    time = datetime.fromtimestamp(seconds, timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
