"""The output ``postgres``: a table for each stream in PostgreSQL or TimescaleDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs import MALFORMED, Job, Say, Target
from engine.plan import Column

if TYPE_CHECKING:
    from engine.outputs._postgres import OpenPostgres

#: Columns that every table has, under names that no other column may have.
_SYSTEM = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
#: Longer names are cut by the server, so that two of them may become one.
_LONGEST = 63


@dataclass(frozen=True, kw_only=True)
class Postgres(Target):
    """PostgreSQL or TimescaleDB: one table a stream; rows of windows are replaced when a window
    changes."""

    METHOD: ClassVar[str] = "postgres"
    ANSWERS: ClassVar[bool] = True

    host: str = option("the server's host", nonempty=True, example="db.example")
    port: int = option("the server's port", 5432, minimum=1, maximum=65_535)
    database: str = option("the database", nonempty=True, example="plant")
    username: str | None = option("the user", None)
    password: str | None = option("the user's password", None, secret=True)
    schema: str = option("where the tables are, in the database", "public", nonempty=True)
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = option(
        "whether the connection is encrypted, and the server's certificate judged", "prefer"
    )
    parameters: dict[str, str | float | bool] = option(
        "further parameters of the connection, as libpq names them",
        {},
        example={"sslrootcert": "ca.pem", "target_session_attrs": "read-write"},
        secret=True,  # one of them may be
    )
    hypertable: bool = option("TimescaleDB: new tables of windows become hypertables", False)
    batch_size: int = option("how many rows are sent at once", 10_000, minimum=1, maximum=1_000_000)
    connections: int = option("how many connections a task has", 1, minimum=1, maximum=64)
    timeout: str = option(
        "how long an answer may take before it is asked for again",
        "60 seconds",
        format="duration",
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of rows that the server refuses: they go to 'malformed', or the run stops",
        MALFORMED,
    )

    def check(self, say: Say) -> None:
        if find_spec("psycopg") is None:
            told = "the output 'postgres' needs the Python package psycopg"
            say("", told, "install it: pip install 'ts-engine[postgres]'")

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        for name, columns in streams.items():
            for each in (name, *(column.name for column in columns)):
                if len(each.encode()) > _LONGEST:
                    told = f"the name '{each}' in '{name}' is too long for the output 'postgres'"
                    say("", told, f"it may have {_LONGEST} bytes")
            for column in columns:
                if column.name in _SYSTEM:
                    told = f"the output 'postgres' cannot write the column '{column.name}'"
                    say("", f"{told} of '{name}'", "PostgreSQL has one of its own; rename it")

    def open(self, job: Job) -> OpenPostgres:
        from engine.outputs._postgres import OpenPostgres

        return OpenPostgres(self, job)

    def probe(self, job: Job) -> str:
        from engine.outputs._postgres import probe

        return probe(self, job)

    def described(self) -> dict[str, Any]:
        return {"server": self.server, "database": self.database, "schema": self.schema}

    def place(self) -> str | None:
        return f"{self.server}, database {self.database}, schema {self.schema}"

    @property
    def server(self) -> str:
        """As a person knows it."""
        return f"PostgreSQL at {self.host}:{self.port}"
