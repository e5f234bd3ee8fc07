"""The input ``socket``: lines that a server sends over TCP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.inputs import InputError, Records
from engine.option import option

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Socket(Records):
    """Lines from a TCP server. For trying things out: what a crash loses is not sent again."""

    METHOD: ClassVar[str] = "socket"
    has_end: ClassVar[bool] = False
    replays: ClassVar[bool] = False

    host: str = option("the server's host", nonempty=True)
    port: int = option("the server's port", minimum=1, maximum=65_535)

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        reader = spark.readStream.format("socket")
        return reader.option("host", self.host).option("port", self.port).load()

    def order(self) -> list[Column]:
        from pyspark.sql import functions as F

        return [F.monotonically_increasing_id()]

    def probe(self) -> str:
        import socket

        try:
            socket.create_connection((self.host, self.port), timeout=10).close()
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise InputError(f"{self.host}:{self.port}: {told}") from None
        return f"{self.host}:{self.port}: listens"

    def described(self) -> dict[str, Any]:
        return {"server": f"{self.host}:{self.port}"}
