"""A server's address becomes a client; its errors become sentences, or what may pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.outputs import OutputError
from engine.outputs._patience import PassingError

if TYPE_CHECKING:
    from engine.outputs._redis_series import Samples

#: How answers begin that another time will be others.
_PASSING = {
    "LOADING": "the server is loading its data",
    "BUSY": "the server is busy with a script",
    "OOM": "the server's memory is full",
    "READONLY": "the server is a replica that cannot be written to",
    "MISCONF": "the server cannot write to its disk",
    "NOREPLICAS": "the server has too few replicas",
    "MASTERDOWN": "the server has lost its master",
    "CLUSTERDOWN": "the cluster is down",
    "TRYAGAIN": "the cluster is moving the key",
    "MOVED": "the cluster has moved the key",
    "ASK": "the cluster is moving the key",
}

Words = Sequence[Any]


@dataclass(frozen=True)
class RedisServer:
    """How a server, or a cluster by one of its nodes, is reached. It is pickled."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    cluster: bool = False
    tls: bool = False
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    timeout_ms: int = 10_000

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def client(self, connections: int = 1) -> RedisClient:
        return RedisClient(self, connections)

    def options(self) -> dict[str, Any]:
        """What redis-py takes."""
        seconds = self.timeout_ms / 1000
        found: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
        }
        if self.tls:
            found |= {
                "ssl": True,
                "ssl_ca_certs": self.tls_ca,
                "ssl_certfile": self.tls_certificate,
                "ssl_keyfile": self.tls_key,
            }
        return found


class RedisClient:
    """A client whose errors are ``OutputError`` and ``PassingError``; it connects when asked.

    Args:
        connections: how many threads may ask at once.
    """

    def __init__(self, server: RedisServer, connections: int = 1) -> None:
        self.server = server
        self.connections = connections
        self._client: Any = None

    def ask(self, *words: Any) -> Any:
        """The answer to a command; the error itself where it is about this command alone."""
        from redis.exceptions import ResponseError

        to = {"target_nodes": "random"} if self.server.cluster and words[0] in _ANYWHERE else {}
        with self._judged():
            try:
                return self._connected().execute_command(*words, **to)
            except ResponseError as error:
                return self._about_this(error)

    def ask_all(self, commands: Sequence[Words], as_one: bool = False) -> list[Any]:
        """The answers to commands that are sent together, in their order, errors among them.

        Args:
            as_one: all of them or none; in a cluster, whose nodes know nothing of each other, a cut
                connection may part them.
        """
        with self._judged():
            about = {} if self.server.cluster else {"transaction": as_one}
            pipeline = self._connected().pipeline(**about)
            for words in commands:
                pipeline.execute_command(*words)
            answers = pipeline.execute(raise_on_error=False)
            return [
                self._about_this(each) if isinstance(each, Exception) else each for each in answers
            ]

    def add(self, samples: Samples) -> list[Any]:
        """Adds samples to series that exist; gives an answer for each, errors among them."""
        if not self.server.cluster:
            return self._items(self._send(samples.command()), len(samples))
        from redis.crc import key_slot

        words = list(zip(*(column.to_pylist() for column in samples.columns), strict=True))
        slots: dict[int, list[int]] = {}
        for index, (key, *_) in enumerate(words):
            slots.setdefault(key_slot(key.encode()), []).append(index)
        answers = self.ask_all(
            [["TS.MADD", *(word for i in held for word in words[i])] for held in slots.values()]
        )
        found: list[Any] = [None] * len(samples)
        for held, answer in zip(slots.values(), answers, strict=True):
            for index, item in zip(held, self._items(answer, len(held)), strict=True):
                found[index] = item
        return found

    def _send(self, command: bytes) -> Any:
        """The answer to a command that is bytes already."""
        from redis.exceptions import ResponseError

        with self._judged():
            pool = self._connected().connection_pool
            connection = pool.get_connection()
            try:
                connection.send_packed_command([command])
                return connection.read_response()
            except ResponseError as error:
                return self._about_this(error)
            except BaseException:
                # Its answer may come yet, and is none to the next command.
                connection.disconnect()
                raise
            finally:
                pool.release(connection)

    def _items(self, answer: Any, count: int) -> list[Any]:
        """An answer for each sample, where the command itself may have failed."""
        if not isinstance(answer, list):
            return [answer] * count
        if set(map(type, answer)) == {int}:
            return answer
        return [self._about_this(each) if isinstance(each, Exception) else each for each in answer]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            options = self.server.options()
            if self.server.cluster:
                self._client = redis.RedisCluster(**options)
            else:
                # Whoever asks knows better how long to try again.
                once = Retry(NoBackoff(), 0)
                self._client = redis.Redis(**options, db=self.server.db, retry=once)
        return self._client

    @contextmanager
    def _judged(self) -> Iterator[None]:
        from redis import exceptions

        try:
            yield
        except exceptions.RedisClusterException as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise self._judgement(cause) from None
        except exceptions.RedisError as error:
            raise self._judgement(error) from None
        except OSError as error:
            raise PassingError(_reason(error, self.server)) from None

    def _about_this(self, error: Exception) -> Exception:
        """The error, where it is about one command and no other would fail as well."""
        found = self._judgement(error)
        if found is not error:
            raise found from None
        return error

    def _judgement(self, error: Exception) -> Exception:
        """What may pass, what cannot, or the error itself."""
        from redis import exceptions

        text, names = str(error), _names(error)
        for of, told in _HOPELESS:
            if of in names or of in text:
                return OutputError(told)
        passing = _kind(error)
        if passing in _OF_CLUSTERS and not self.server.cluster:
            return OutputError('the server is a node of a cluster; write "cluster": true')
        if passing in _PASSING:
            return PassingError(_PASSING[passing])
        if isinstance(error, exceptions.ResponseError):
            if text.startswith("unknown command"):
                return OutputError("the server has no RedisTimeSeries; load its module")
            if "DB index" in text:
                return OutputError(f"there is no database {self.server.db}; 'db' is a number")
            return error
        return PassingError(_reason(error, self.server))


#: Commands of no key: any node of a cluster answers.
_ANYWHERE = {"INFO", "MODULE LIST", "ACL WHOAMI", "ACL DRYRUN", "PING"}
_NEEDED = (
    "ts.madd, ts.add, ts.create, ts.del, ts.get and ts.range on the keys of the series, for "
    "compactions ts.createrule, multi and exec"
)
_HOPELESS = (
    ("AuthenticationError", "wrong user or password, or none where the server wants one"),
    ("AuthenticationWrongNumberOfArgsError", "the server knows no password; leave it out"),
    ("NoPermissionError", f"the user has no permission; it needs {_NEEDED}"),
    ("AuthorizationError", "the user has no permission"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name its authority in 'tls_ca'"),
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS; leave out 'tls'"),
    ("Cluster mode is not enabled", "the server is no cluster; leave out 'cluster'"),
)


#: The answers whose first word redis-py takes away.
_KINDS = {
    "BusyLoadingError": "LOADING",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "ClusterDownError": "CLUSTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
}
_OF_CLUSTERS = {"MOVED", "ASK", "CROSSSLOT"}


def _names(error: Exception) -> set[str]:
    """What kinds of error this is."""
    return {each.__name__ for each in type(error).__mro__}


def _kind(error: Exception) -> str:
    """The first word of an answer."""
    known = [_KINDS[name] for name in _names(error) if name in _KINDS]
    return known[0] if known else str(error).partition(" ")[0]


def _reason(error: Exception, server: RedisServer) -> str:
    """Why nothing came, in a few words."""
    text = str(error).lower()
    table = {
        "connection refused": "connection refused",
        "timeout": f"no answer within {server.timeout_ms / 1000:g} s",
        "timed out": f"no answer within {server.timeout_ms / 1000:g} s",
        "not known": f"there is no host '{server.host}'",
        "name resolution": f"the name '{server.host}' cannot be resolved",
        "reset": "the connection was reset",
        "closed": "the connection was closed",
    }
    return next((told for part, told in table.items() if part in text), str(error).split("\n")[0])
