"""The output ``redis``: its options are checked; it does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.option import option
from engine.outputs import Target


@dataclass(frozen=True, kw_only=True)
class Redis(Target):
    """RedisTimeSeries: a series for each measure."""

    METHOD: ClassVar[str] = "redis"
    RUNS: ClassVar[bool] = False
    ANSWERS: ClassVar[bool] = True

    host: str = option("the server's host", nonempty=True)
    port: int = option("the server's port", 6379, minimum=1, maximum=65_535)
    username: str | None = option("the ACL user", None)
    password: str | None = option("the user's password", None, secret=True)
    key: str = option("a series' key", "{stream}:{keys}:{measure}", nonempty=True)
    retention_ms: int | None = option("how long samples are kept", None, minimum=0)
