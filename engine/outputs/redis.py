"""The output ``redis``: a series in RedisTimeSeries for each measure of each key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import (
    Batch,
    Factory,
    Job,
    Open,
    OutputError,
    Reader,
    Say,
    Stream,
    Target,
)
from engine.outputs._patience import START_SECONDS, Patience
from engine.outputs._redis_key import KeyTemplate
from engine.outputs._redis_series import Rule, Series
from engine.outputs._redis_server import RedisClient, RedisServer
from engine.plan import Column
from engine.types import NUMBERS, Type

if TYPE_CHECKING:
    from engine.outputs._redis_read import Reading
    from engine.outputs._redis_write import Sending

Aggregator = Literal[
    "avg", "sum", "min", "max", "range", "count", "first", "last",
    "std.p", "std.s", "var.p", "var.s", "twa",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """A series that the server derives from each series that the output makes."""

    aggregation: Aggregator = option("what becomes of the samples of a bucket")
    bucket: str = option("how long a bucket is", format="duration", example="1 hour")
    retention_ms: int = option(
        "how long its samples are kept, behind its latest; 0 for ever", 0, minimum=0
    )

    @property
    def rule(self) -> Rule:
        return Rule(self.aggregation, milliseconds(self.bucket), self.retention_ms)


@dataclass(frozen=True, kw_only=True)
class Redis(Target):
    """RedisTimeSeries: a series for each measure, labelled by keys, stream and measure."""

    METHOD: ClassVar[str] = "redis"
    ANSWERS: ClassVar[bool] = True
    TAKES_ROWS: ClassVar[bool] = False

    host: str = option("the server's host; of a cluster, any node's", nonempty=True)
    port: int = option("the server's port", 6379, minimum=1, maximum=65_535)
    username: str | None = option("the ACL user", None)
    password: str | None = option("the user's password", None, secret=True)
    db: int = option("the database's number", 0, minimum=0)
    cluster: bool = option("the server is a node of a cluster", False)
    tls: bool = option("connections are encrypted, and the server's certificate is checked", False)
    tls_ca: str | None = option(
        "the authority's certificate, relative to the config; the system's when absent",
        None,
        format="path",
    )
    tls_certificate: str | None = option("the client's certificate", None, format="path")
    tls_key: str | None = option("the key of the client's certificate", None, format="path")
    key: str = option(
        "a series' key; a key's name in braces stands for its value",
        "{stream}:{keys}:{measure}",
        nonempty=True,
        example="plant:{sensor}:{measure}",
    )
    retention_ms: int = option(
        "how long samples are kept, behind a series' latest; 0 for ever", 0, minimum=0
    )
    chunk_size: int = option(
        "bytes of a chunk of a new series, a multiple of 8", 4096, minimum=48, maximum=1_048_576
    )
    compactions: tuple[Compaction, ...] = option("what the server derives from each series", ())
    batch_size: int = option("samples a command", 1000, minimum=1, maximum=100_000)
    connections: int = option("connections of each task", 1, minimum=1, maximum=64)
    timeout: str = option(
        "how long an answer may take before it is asked for again", "10 seconds", format="duration"
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of samples that the server refuses", "malformed"
    )

    def check(self, say: Say) -> None:
        try:
            template = KeyTemplate.of(self.key)
        except ValueError:
            hint = "for a brace write {{ or }}"
            say("key", f"'{self.key}' is no template: a brace is not closed, or not opened", hint)
            return
        if self.chunk_size % 8:
            hint = f"such as {self.chunk_size // 8 * 8}"
            say("chunk_size", f"'chunk_size' must be a multiple of 8, is {self.chunk_size}", hint)
        self._check_server(say)
        self._check_compactions(template, say)

    def _check_server(self, say: Say) -> None:
        if self.cluster and self.db:
            say("db", "a cluster has the database 0 alone", "leave out 'db'")
        if milliseconds(self.timeout) == 0:
            say("timeout", "'timeout' must be more than 0", "such as '10 seconds'")
        files = {"tls_ca": self.tls_ca, "tls_certificate": self.tls_certificate}
        for name, path in {**files, "tls_key": self.tls_key}.items():
            if path is not None and not self.tls:
                say(name, f"'{name}' is for connections with 'tls'", 'write "tls": true')
            elif path is not None and not os.path.isfile(path):
                say(name, f"there is no file '{path}'", "a file in PEM")

    def _check_compactions(self, template: KeyTemplate, say: Say) -> None:
        if self.db and self.compactions:
            # RedisTimeSeries 1.12.2: a bucket that is done keeps its first value there.
            told = "the server corrects compactions in the database 0 alone"
            say("compactions", told, "leave out 'db', or compact by an aggregation of the engine")
        seen = set()
        for number, each in enumerate(self.compactions):
            rule, place = each.rule, f"compactions/{number}"
            if rule.bucket_ms == 0:
                say(f"{place}/bucket", "'bucket' must be more than 0", "such as '1 hour'")
            elif rule.suffix in seen:
                say(place, "this compaction is in the list already", "leave it out")
            seen.add(rule.suffix)
        text = "".join(part.text for part in template.parts if not part.is_name)
        if self.cluster and self.compactions and not ("{" in text and "}" in text):
            hint = "with braces around it, such as '{{{keys}}}:{measure}'"
            told = "in a cluster a series and its compaction must be on one node"
            say("key", f"{told}: 'key' says by what", hint)

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        found = [Stream(name, tuple(columns)) for name, columns in streams.items()]
        windowed = [stream for stream in found if stream.is_windowed]
        for problem in self._template.problems(windowed):
            say("key", problem.message, problem.hint)
        for stream in windowed:
            for column in stream.columns:
                if column.role == "measure" and column.type not in {*NUMBERS, Type.BOOLEAN}:
                    told = f"the measure '{column.name}' of '{stream.name}' is {column.type}"
                    hint = "redis stores numbers and booleans; leave the stream to another output"
                    say("", told, hint)
                if column.role == "key" and column.name == "measure":
                    told = f"the key 'measure' of '{stream.name}' is called like a label"
                    say("", told, "'measure' is the label that tells the measure; rename the key")

    @cached_property
    def _template(self) -> KeyTemplate:
        return KeyTemplate.of(self.key, [each.rule.suffix for each in self.compactions])

    @cached_property
    def server(self) -> RedisServer:
        return RedisServer(
            self.host,
            self.port,
            self.username,
            self.password,
            self.db,
            self.cluster,
            self.tls,
            self.tls_ca,
            self.tls_certificate,
            self.tls_key,
            milliseconds(self.timeout),
        )

    def open(self, job: Job) -> OpenRedis:
        return OpenRedis(self, job)

    def sending(self, patience: Patience) -> Sending:
        from engine.outputs._redis_write import Sending

        rules = tuple(each.rule for each in self.compactions)
        series = Series(self._template, self.retention_ms, self.chunk_size, rules)
        return Sending(
            self.server, series, patience, self.batch_size, self.connections, self.on_reject
        )

    def reading(self, patience: Patience) -> Reading:
        from engine.outputs._redis_read import Reading

        return Reading(self.server, self._template, patience)

    def probe(self, job: Job) -> str:
        patience = Patience(job.output, str(self.server))
        client = self.server.client()
        try:
            told: str = patience.named(partial(_who, client))
            patience.named(partial(_may_write, client, self._examples(job.streams)))
        finally:
            client.close()
        return f"{patience.server}: {told}"

    def _examples(self, streams: Sequence[Stream]) -> Iterator[str]:
        """A key of each family of series, for asking what a user may do with it."""
        for stream in streams:
            for measure in stream.measures:
                parts = self._template.series(stream, measure)
                yield "".join("0" if part.is_name else part.text for part in parts)

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = {"server": str(self.server), "key": self.key}
        return found | ({"db": self.db} if self.db else {})

    def place(self) -> str:
        return str(self.server)


class OpenRedis(Open):
    """The driver's side: a server that answers, and has the module."""

    def __init__(self, target: Redis, job: Job) -> None:
        self.target = target
        self.patience = Patience(job.output, str(target.server), job.notices)
        first = Patience(job.output, str(target.server), job.notices, START_SECONDS)
        client = target.server.client()
        try:
            first.call(partial(_has_module, client))
        finally:
            client.close()

    def begin(self, batch: Batch) -> Factory:
        from engine.outputs._redis_write import RedisWriter

        return partial(RedisWriter, self.target.sending(self.patience))

    def reader(self) -> Callable[[], Reader]:
        return self.target.reading(self.patience)


def _has_module(client: RedisClient) -> None:
    """Asks for a series that there is not: who may not ask has the module all the same."""
    try:
        client.ask("TS.GET", "ts-engine:no-series")
    except OutputError as error:
        if "permission" not in str(error):
            raise


def _who(client: RedisClient) -> str:
    """The server's version and its module's; a user may not be allowed to ask for them."""
    _has_module(client)
    told = "Redis"
    for question in (_version, _module):
        try:
            told += question(client)
        except OutputError:
            continue
    return told


def _version(client: RedisClient) -> str:
    return f" {client.ask('INFO', 'server')['redis_version']}"


def _module(client: RedisClient) -> str:
    for module in client.ask("MODULE LIST"):
        about = {_text(name): _text(value) for name, value in module.items()}
        if about["name"] == "timeseries":
            version = int(about["ver"])
            numbers = version // 10_000, version // 100 % 100, version % 100
            return " with RedisTimeSeries " + ".".join(map(str, numbers))
    return ""


def _may_write(client: RedisClient, keys: Iterator[str]) -> None:
    """Asks what the user may do, where it may ask that."""
    commands = ("TS.MADD", "TS.ADD", "TS.CREATE", "TS.DEL")
    try:
        user = _text(client.ask("ACL WHOAMI"))
        for key in keys:
            for command in commands:
                words = [command, key, "1", "1"] if command != "TS.CREATE" else [command, key]
                answer = _text(client.ask("ACL DRYRUN", user, *words))
                if "permission" in answer:
                    raise _NotAllowed(f"{answer}; give it {', '.join(commands).lower()}")
    except _NotAllowed:
        raise
    except OutputError:
        return


class _NotAllowed(OutputError):
    """The user may not do what the output does."""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
