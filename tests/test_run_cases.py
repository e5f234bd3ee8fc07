"""Runs that write to PostgreSQL: cases in folders, whose server ends and begins again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import output_cases
from tests.servers.postgres import PostgresServer


def _held(server: PostgresServer, schema: str) -> list[dict[str, Any]]:
    """All that is there, as `expected.jsonl` says it."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    with server.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [
            {"table": name, "row": row}
            for (name,) in connection.execute(tables, [schema]).fetchall()
            for (row,) in connection.execute(f'SELECT to_jsonb(t) FROM "{schema}"."{name}" t')
        ]


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda each: json.dumps(each, sort_keys=True))


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("case", output_cases.cases("postgres"))
def test_a_run_leaves_what_its_folder_says(
    case: Path,
    tmp_path: Path,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    schema = f"case {case.name}"
    with postgres.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{schema}"')
    told = {
        **{"HOST": postgres.host, "PORT": str(postgres.port), "DATABASE": postgres.database},
        **{"USER": postgres.username, "PASSWORD": postgres.password, "SCHEMA": schema},
    }

    def restart() -> None:
        with postgres.stopped():
            pass

    output_cases.run(case, tmp_path, told, monkeypatch, restart, [postgres.password], capfd)
    assert _sorted(_held(postgres, schema)) == _sorted(output_cases.expected(case))
