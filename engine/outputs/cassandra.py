"""The output ``cassandra``: a table for each stream of windows, its rows by series and time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import MALFORMED, Job, Say, Target
from engine.outputs._authorities import ca_file_option, check_ca_file
from engine.plan import Column

if TYPE_CHECKING:
    from engine.outputs._cassandra import OpenCassandra

#: 20 years, the most that Cassandra takes.
_LONGEST_MS = 20 * 365 * 86_400_000
#: What a table or a keyspace may be called, quoted or not.
_NAME = re.compile(r"\w{1,48}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Cassandra(Target):
    """Cassandra: a partition for each series, in it a row for each window."""

    METHOD: ClassVar[str] = "cassandra"
    ANSWERS: ClassVar[bool] = True
    #: A row without a key could not be told from one that is written again.
    TAKES_ROWS: ClassVar[bool] = False

    hosts: tuple[str, ...] = option("the contact points", nonempty=True, example=["db1", "db2"])
    port: int = option("the servers' port", 9042, minimum=1, maximum=65_535)
    keyspace: str = option("the keyspace", nonempty=True, example="plant")
    username: str | None = option("the user", None)
    password: str | None = option("the user's password", None, secret=True)
    tls: bool = option("whether the connection is encrypted", False)
    ca_file: str | None = ca_file_option()
    datacenter: str | None = option("the nearest one: only its nodes are asked", None)
    consistency: Literal[
        "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "EACH_QUORUM", "LOCAL_ONE"
    ] = option("how many replicas must have a row before it counts as written", "LOCAL_QUORUM")
    create: bool = option(
        "makes the keyspace, the tables, and the columns that they lack, where they are absent",
        False,
    )
    replication: dict[str, str | float] = option(
        "create: of the keyspace",
        {"class": "SimpleStrategy", "replication_factor": 1},
        nonempty=True,
    )
    ttl: str | None = option(
        "how long a window is kept, from when it was written last; for ever when absent",
        None,
        format="duration",
        example="400 days",
    )
    batch_size: int = option("how many rows are taken at once", 1_000, minimum=1, maximum=100_000)
    concurrency: int = option(
        "how many statements a task has under way", 64, minimum=1, maximum=2_000
    )
    timeout: str = option(
        "how long an answer may take before it is asked for again",
        "30 seconds",
        format="duration",
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of rows that the server refuses: they go to 'malformed', or the run stops",
        MALFORMED,
    )

    def check(self, say: Say) -> None:
        if find_spec("cassandra") is None:
            told = "the output 'cassandra' needs the Python package cassandra-driver"
            say("", told, "install it: pip install 'ts-engine[cassandra]'")
        if _NAME.fullmatch(self.keyspace) is None:
            say("keyspace", _no_name(self.keyspace), "it has letters, digits and _, 48 at most")
        if self.ttl is not None and not 1_000 <= milliseconds(self.ttl) <= _LONGEST_MS:
            say("ttl", f"'{self.ttl}' is no time to live", "it is a second to 20 years")
        check_ca_file(self.ca_file, self.tls, say, 'write "tls": true')

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        for name in streams:
            if _NAME.fullmatch(name) is None:
                say("", _no_name(name), "give the aggregation one of letters, digits and _, to 48")

    def open(self, job: Job) -> OpenCassandra:
        from engine.outputs._cassandra import OpenCassandra

        return OpenCassandra(self, job)

    def probe(self, job: Job) -> str:
        from engine.outputs._cassandra import probe

        return probe(self, job)

    def described(self) -> dict[str, Any]:
        return {"hosts": list(self.hosts), "keyspace": self.keyspace}

    def place(self) -> str | None:
        return f"{self.server}, keyspace {self.keyspace}"

    @property
    def server(self) -> str:
        """As a person knows it."""
        return f"Cassandra at {', '.join(self.hosts)}:{self.port}"


def _no_name(name: str) -> str:
    return f"'{name}' is no name of a table or keyspace of Cassandra"
