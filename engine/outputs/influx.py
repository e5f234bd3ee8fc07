"""The output ``influx``: windows become points of an InfluxDB 1, 2 or 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar, Literal

from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import (
    MALFORMED,
    Batch,
    Factory,
    Job,
    Open,
    OutputError,
    Reader,
    Say,
    Target,
)
from engine.outputs._authorities import ca_file_option, check_ca_file
from engine.outputs._influx_place import Place, Point
from engine.outputs._influx_server import server
from engine.outputs._patience import START_SECONDS
from engine.plan import Column

_STREAM = "{stream}"
#: To compress costs more than to send there.
_LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True)
class InfluxOptions:
    """An InfluxDB server, and where in it points are written."""

    host: str | None = option("the server's host", None, nonempty=True)
    port: int = option("the server's port", 8086, minimum=1, maximum=65_535)
    version: int | None = option(
        "the server's; when absent 2 with 'bucket', 3 with 'database' and 'token', else 1",
        None,
        minimum=1,
        maximum=3,
    )
    username: str | None = option("1.x: the user", None, nonempty=True)
    password: str | None = option("1.x: the user's password", None, secret=True)
    database: str | None = option("1.x, 3.x: the database", None, nonempty=True)
    retention_policy: str | None = option(
        "1.x: the retention policy; the database's default when absent", None, nonempty=True
    )
    measurement: str = option(
        "the measurement; {stream} stands for the aggregation's name", _STREAM, nonempty=True
    )
    org: str | None = option("2.x: the organisation", None, nonempty=True)
    bucket: str | None = option("2.x: the bucket", None, nonempty=True)
    token: str | None = option("2.x, 3.x: the token", None, secret=True, nonempty=True)
    create: bool = option("1.x, 2.x: make the database or the bucket when it is absent", False)
    tls: bool = option("speak https", False)
    ca_file: str | None = ca_file_option()
    window_end: bool | None = option(
        "write the window's end as a field, in milliseconds; yes when absent, unless aggregations "
        "share the measurement",
        None,
    )
    nulls: Literal["clear", "keep"] = option(
        "1.x, 2.x: what becomes of a value that a correction makes null: 'clear' takes it away, "
        "'keep' leaves the old one, and needs no right to read",
        "clear",
    )
    batch_size: int = option("points in a request", 5_000, minimum=1, maximum=100_000)
    connections: int = option("requests under way at once, of each task", 1, minimum=1, maximum=64)
    timeout: str = option("how long a request may take", "30 seconds", format="duration")
    gzip: bool | None = option(
        "compress requests; when absent, unless the server is on this machine", None
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of a window that cannot be written: it goes to the stream 'malformed', or "
        "the run stops",
        MALFORMED,
    )

    @property
    def told_version(self) -> int:
        """The version, as it is told or as the other options tell it."""
        if self.version is not None:
            return self.version
        if self.bucket is not None:
            return 2
        return 3 if self.token is not None else 1


@dataclass(frozen=True, kw_only=True)
class Influx(InfluxOptions, Target):
    """InfluxDB: keys are tags, measures are fields, the window's start is the time."""

    METHOD: ClassVar[str] = "influx"
    TAKES_ROWS: ClassVar[bool] = False
    ANSWERS: ClassVar[bool] = True

    influx: InfluxOptions | None = option("the options, in an object of their own", None)

    @property
    def options(self) -> InfluxOptions:
        """Those that hold, wherever they stand."""
        return self.influx if self.influx is not None else self

    def check(self, say: Say) -> None:
        within = "influx" if self.influx is not None else ""
        if self.influx is not None:
            for each in fields(InfluxOptions):
                if getattr(self, each.name) != each.default:
                    told = f"'{each.name}' stands beside 'influx'"
                    say(each.name, told, "move it into 'influx'")
        _check(self.options, lambda *told: say(_under(within, told[0]), *told[1:]))

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        place = _under("influx" if self.influx is not None else "", "measurement")
        before: dict[str, tuple[str, Sequence[Column]]] = {}
        for stream, columns in streams.items():
            measurement = self.measurement_of(stream)
            for told, hint in _unwritable(measurement, columns):
                say(place, f"the output 'influx' cannot write '{stream}': {told}", hint)
            first, others = before.setdefault(measurement, (stream, columns))
            if first != stream and (both := _overwritten(columns, others)):
                told = f"'{first}' and '{stream}' overwrite each other's '{both}'"
                say(place, f"{told} in the measurement '{measurement}'", f"write {_STREAM} into it")
        if self.options.window_end and len(before) < len(streams):
            told = "aggregations of one measurement overwrite each other's 'window_end'"
            say(_under(place.rpartition("/")[0], "window_end"), told, "leave it out")

    def removes(self, stream: str, streams: Sequence[str]) -> bool:
        # 3.x deletes no points; and to delete one takes the other aggregation's fields, too.
        return self.options.told_version != 3 and not self._shares(stream, streams)

    def measurement_of(self, stream: str) -> str:
        return self.options.measurement.replace(_STREAM, stream)

    def _shares(self, stream: str, streams: Sequence[str]) -> bool:
        mine = self.measurement_of(stream)
        return any(each != stream and self.measurement_of(each) == mine for each in streams)

    def open(self, job: Job) -> OpenInflux:
        return OpenInflux(self, job)

    def probe(self, job: Job) -> str:
        with server(self.at(job), 0.0) as asked:
            found = asked.version()
            asked.check()
        return f"InfluxDB {found} at {self._address}: may write to {self._store}"

    def at(self, job: Job) -> Place:
        """What a task must know to write and read there."""
        options = self.options
        streams = [stream.name for stream in job.streams]
        points = {}
        for stream in streams:
            shares = self._shares(stream, streams)
            with_end = not shares if options.window_end is None else options.window_end
            clears = options.nulls == "clear" and self.removes(stream, streams)
            points[stream] = Point(self.measurement_of(stream), with_end, clears)
        return Place(
            output=job.output,
            notices=job.notices,
            version=options.told_version,
            url=f"{'https' if options.tls else 'http'}://{self._address}",
            store=options.bucket or options.database or "",
            org=options.org,
            retention_policy=options.retention_policy,
            username=options.username,
            password=options.password,
            token=options.token,
            ca_file=options.ca_file,
            seconds=milliseconds(options.timeout) / 1000,
            gzip=options.host not in _LOCAL if options.gzip is None else options.gzip,
            batch_size=options.batch_size,
            connections=options.connections,
            stops=options.on_reject != MALFORMED,
            points=points,
        )

    @property
    def _address(self) -> str:
        host = self.options.host or ""
        return f"{f'[{host}]' if ':' in host else host}:{self.options.port}"

    @property
    def _store(self) -> str:
        kind = "bucket" if self.options.told_version == 2 else "database"
        return f"the {kind} '{self.options.bucket or self.options.database}'"

    def described(self) -> dict[str, object]:
        options = self.options
        store = {"bucket": options.bucket} if options.bucket else {"database": options.database}
        told = {"host": options.host, "port": options.port, "version": options.told_version}
        return {**told, **store, "measurement": options.measurement}

    def place(self) -> str:
        return f"{self._store} of InfluxDB at {self._address}"


class OpenInflux(Open):
    """The driver's side: the server is there, and takes what this output sends."""

    def __init__(self, target: Influx, job: Job) -> None:
        self.at = target.at(job)
        with server(self.at, START_SECONDS) as asked:
            try:
                asked.check()
            except OutputError:
                if not target.options.create or asked.has_store():
                    raise
                asked.create_store()
                asked.check()

    def begin(self, batch: Batch) -> Factory:
        # A point is replaced by one of the same series and time: a replay needs nothing.
        from engine.outputs._influx_writer import InfluxWriter

        return partial(InfluxWriter, self.at)

    def reader(self) -> Callable[[], Reader]:
        from engine.outputs._influx_reader import InfluxReader

        return partial(InfluxReader, self.at)


def _under(within: str, name: str) -> str:
    return "/".join(each for each in (within, name) if each)


def _check(options: InfluxOptions, say: Say) -> None:
    """Tells what is missing, and what does not fit the version."""
    version = options.told_version
    if options.host is None:
        say("", "the output 'influx' needs the option 'host'", "the server's host")
    elif "/" in options.host or "@" in options.host:
        say("host", f"'{options.host}' is no host", "a name or an address alone; 'port', 'tls'")
    if options.version is None and options.database is None and options.bucket is None:
        hint = "1.x has databases, 2.x buckets"
        say("", "the output 'influx' needs 'database' or 'bucket'", hint)
        return
    needed, foreign = _OPTIONS[version]
    for name in needed:
        if getattr(options, name) is None:
            say("", f"the output 'influx' needs the option '{name}'", f"InfluxDB {version}.x does")
    for name in foreign:
        if getattr(options, name) not in (None, False):
            hint = f"leave it out, or write another 'version' than {version}"
            say(name, f"InfluxDB {version}.x knows no '{name}'", hint)
    if options.password is not None and options.username is None:
        say("password", "there is a password and no user", "write 'username'")
    if options.username is not None and ":" in options.username:
        say("username", "a user's name cannot have a colon in it", "HTTP ends the name there")
    if options.token is not None and not (options.token.isascii() and options.token.isprintable()):
        say("token", "the token has a character that no token has", "a line break, perhaps")
    check_ca_file(options.ca_file, options.tls, say, 'write "tls": true')
    rest = options.measurement.replace(_STREAM, "")
    if "{" in rest or "}" in rest:
        say("measurement", "'measurement' has a place that is not known", f"known: {_STREAM}")


#: Options by version: those that it needs, those that it does not know.
_OPTIONS: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    1: (("database",), ("org", "bucket", "token")),
    2: (("bucket", "org", "token"), ("database", "retention_policy", "username", "password")),
    3: (("database",), ("org", "bucket", "retention_policy", "username", "password", "create")),
}


def _unwritable(measurement: str, columns: Sequence[Column]) -> list[tuple[str, str]]:
    """What line protocol has no way to say, each with a hint."""
    told = []
    if measurement.startswith("#"):
        hint = "choose another measurement"
        told.append((f"'{measurement}' would begin a comment, as it begins with '#'", hint))
    if "\n" in measurement or measurement.endswith("\\"):
        wrong = "has a line break" if "\n" in measurement else "ends with a backslash"
        told.append((f"the measurement {wrong}", "choose another measurement"))
    for column in columns:
        if column.name == "time" and column.role in ("key", "measure"):
            told.append(("'time' is the name of the point's own time", f"rename the {column.role}"))
    return told


def _overwritten(columns: Sequence[Column], others: Sequence[Column]) -> str | None:
    """A measure that two streams of one measurement have, where their series are the same."""
    keys = [{each.name for each in some if each.role == "key"} for some in (columns, others)]
    if keys[0] != keys[1]:
        return None
    taken = {each.name for each in others if each.role == "measure"}
    return next((e.name for e in columns if e.role == "measure" and e.name in taken), None)
