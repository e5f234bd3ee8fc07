"""The output ``cassandra``: its options are checked; it does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.option import option
from engine.outputs import Target


@dataclass(frozen=True, kw_only=True)
class Cassandra(Target):
    """Cassandra: rows by series and time."""

    METHOD: ClassVar[str] = "cassandra"
    RUNS: ClassVar[bool] = False
    ANSWERS: ClassVar[bool] = True

    hosts: tuple[str, ...] = option("the contact points", nonempty=True)
    port: int = option("the servers' port", 9042, minimum=1, maximum=65_535)
    keyspace: str = option("the keyspace", nonempty=True)
    username: str | None = option("the user", None)
    password: str | None = option("the user's password", None, secret=True)
