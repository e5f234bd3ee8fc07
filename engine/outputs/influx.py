"""The output ``influx``: its options are checked; it does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.option import option
from engine.outputs import Say, Target


@dataclass(frozen=True, kw_only=True)
class InfluxOptions:
    """An InfluxDB server, and where in it points are written."""

    host: str | None = option("the server's host", None, nonempty=True)
    port: int = option("the server's port", 8086, minimum=1, maximum=65_535)
    username: str | None = option("1.x: the user", None)
    password: str | None = option("1.x: the user's password", None, secret=True)
    database: str | None = option("1.x: the database", None, nonempty=True)
    measurement: str | None = option(
        "the measurement; the aggregation's name when absent", None, nonempty=True
    )
    org: str | None = option("2.x: the organisation", None, nonempty=True)
    bucket: str | None = option("2.x: the bucket", None, nonempty=True)
    token: str | None = option("2.x: the token", None, secret=True)


@dataclass(frozen=True, kw_only=True)
class Influx(InfluxOptions, Target):
    """InfluxDB: keys are tags, measures are fields, the window's start is the time."""

    METHOD: ClassVar[str] = "influx"
    RUNS: ClassVar[bool] = False
    ANSWERS: ClassVar[bool] = True

    influx: InfluxOptions | None = option("the options, in an object of their own", None)

    def check(self, say: Say) -> None:
        options = self.influx if self.influx is not None else self
        place = "influx" if self.influx is not None else ""
        if options.host is None:
            say(place, "the output 'influx' needs the option 'host'", "the server's host")
        if options.database is None and options.bucket is None:
            hint = "1.x has databases, 2.x buckets"
            say(place, "the output 'influx' needs 'database' or 'bucket'", hint)
