"""The options of an InfluxDB output become what its tasks must know."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from engine.outputs import OutputError
from engine.outputs._notices import Address

#: The fastest: lines become a fifth, by the best one as well, in an eighth of the time.
_GZIP_LEVEL = 1
_WRITE = {
    1: ("/write", "db", "ms"),
    2: ("/api/v2/write", "bucket", "ms"),
    3: ("/api/v3/write_lp", "db", "millisecond"),
}


@dataclass(frozen=True)
class Point:
    """What the points of a stream are like.

    Args:
        measurement: theirs.
        has_window_end: whether the window's end is a field.
        clears: whether a value that has become null is taken away.
    """

    measurement: str
    has_window_end: bool
    clears: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where points are written, and how. It is pickled with what goes to the executors.

    Args:
        store: the database, or the bucket.
        stops: whether a refused row ends the run.
        points: by stream.
    """

    output: str
    notices: Address | None
    version: int
    url: str
    store: str
    org: str | None
    retention_policy: str | None
    username: str | None
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)
    ca_file: str | None
    seconds: float
    gzip: bool
    batch_size: int
    connections: int
    stops: bool
    points: Mapping[str, Point]

    @property
    def server(self) -> str:
        return f"InfluxDB at {self.url.partition('://')[2]}"

    @property
    def kind(self) -> str:
        return "bucket" if self.version == 2 else "database"

    @property
    def write_path(self) -> str:
        """Where lines go, with all that is said beside them."""
        path, store, precision = _WRITE[self.version]
        asked = {store: self.store, "precision": precision}
        if self.org is not None:
            asked["org"] = self.org
        if self.retention_policy is not None:
            asked["rp"] = self.retention_policy
        return f"{path}?{urlencode(asked)}"

    def packed(self, payload: bytes | memoryview) -> bytes:
        """Lines as a request carries them."""
        if not self.gzip:
            return bytes(payload)
        packer = zlib.compressobj(_GZIP_LEVEL, wbits=31)
        return packer.compress(payload) + packer.flush()

    @property
    def authorization(self) -> dict[str, str]:
        """A header, and no part of the address, which servers and proxies log."""
        if self.username is not None:
            told = b64encode(f"{self.username}:{self.password or ''}".encode()).decode()
            return {"Authorization": f"Basic {told}"}
        if self.token is not None:
            kind = "Bearer" if self.version == 3 else "Token"
            return {"Authorization": f"{kind} {self.token}"}
        return {}

    def error(self, told: str, cure: str = "") -> OutputError:
        """What to say to a person of this output and server."""
        return OutputError(
            f"output '{self.output}': {self.server}: {told}" + (f"; {cure}" if cure else "")
        )


def name(text: str) -> str:
    """An identifier of InfluxQL, whatever characters it has."""
    return '"' + _in_quotes(text, '"') + '"'


def literal(text: str) -> str:
    """A string of InfluxQL, whatever characters it has."""
    return "'" + _in_quotes(text, "'") + "'"


def _in_quotes(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n")
