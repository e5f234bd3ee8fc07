"""A session with Cassandra that is made again when it is lost; errors as what they mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cassandra
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    LoadBalancingPolicy,
    RoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ErrorMessage, SyntaxException

from engine.config.durations import milliseconds
from engine.outputs import OutputError
from engine.outputs._patience import PassingError, Patience, RowError
from engine.outputs._tls import speaks_tls

if TYPE_CHECKING:
    from engine.outputs.cassandra import Cassandra

T = TypeVar("T")

# What the driver warns of, Python would print where nobody listens.
logging.getLogger("cassandra").addHandler(logging.NullHandler())

#: Errors that stay; what else the driver raises may pass.
_LASTING = (
    cassandra.AuthenticationFailed,
    cassandra.RequestValidationException,
    cassandra.UnsupportedOperation,
    SyntaxException,
    TypeError,
    ValueError,
)
_CURES = (
    (cassandra.AuthenticationFailed, "; check 'username' and 'password'"),
    (cassandra.Unauthorized, "; grant it"),
)
#: What the driver says of TLS, which it takes for a network that fails.
_UNTRUSTED = re.compile(r"certificate verify failed: (.*?)\.? \(_ssl")
_NO_TLS = re.compile(r"wrong.version.number|record.layer.failure")
_CUT = re.compile(r"reset by peer|closed|eof")
#: Of errors about a request, those that are not about the values of its row.
_NOT_THE_ROW = r"unconfigured table|[Kk]eyspace .* does not exist|[Uu]ndefined column|Unknown ident"


@dataclass
class CassandraLine:
    """A session that is there when it is needed.

    Args:
        target: says where.
        patience: how the servers are waited for.
    """

    target: Cassandra
    patience: Patience
    cluster: Cluster | None = None
    session: Session | None = None
    prepared: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    was_connected: bool = False

    def call(self, act: Callable[[Session], T]) -> T:
        """What ``act`` gives; it is done again, whole, where it failed by what passes.

        Raises:
            OutputError: it cannot be done.
        """
        return self.patience.call(partial(self.attempt, act))

    def each(self, statement: str, values: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Executes the statement with each of the values, many at a time, and again those that
        failed by what passes.

        Returns:
            For each of the values the rows that it gave, or a ``RowError``.
        """
        found: list[Any] = [None] * len(values)
        waiting = list(range(len(values)))

        def act(session: Session) -> None:
            done = execute_concurrent_with_args(
                session,
                self._prepared(session, statement),
                [values[place] for place in waiting],
                concurrency=self.target.concurrency,
                raise_on_first_error=False,
            )
            failed: list[tuple[int, Exception]] = []
            for place, (is_done, result) in zip(tuple(waiting), done, strict=True):
                refused = None if is_done else _of_the_row(result)
                if is_done or refused is not None:
                    found[place] = list(result) if is_done else refused
                else:
                    failed.append((place, result))
            waiting[:] = [place for place, _ in failed]
            if failed:
                raise failed[0][1]

        if waiting:
            self.call(act)
        return found

    def attempt(self, act: Callable[[Session], T]) -> T:
        """As ``call``, once; what may pass is a ``PassingError``."""
        if self.stopped:
            raise OutputError(f"{self.patience.who}: the task has ended")
        try:
            if self.session is None:
                self.cluster = connection(self.target)
                self.session = self.cluster.connect()
                self.was_connected = True
            return act(self.session)
        except (
            cassandra.DriverException,
            ErrorMessage,
            NoHostAvailable,
            OSError,
            TypeError,
            ValueError,
        ) as error:
            cause = _cause(error)
            if isinstance(cause, NoHostAvailable | cassandra.UnresolvableContactPoints | OSError):
                self.close()
            if isinstance(cause, _LASTING):
                cure = next((cure for kind, cure in _CURES if isinstance(cause, kind)), "")
                told = f"{self.patience.who}: {_short(cause)}{cure}"
                self.close()
                raise OutputError(told) from error
            self._judge_tls(_short(cause))
            raise PassingError(_short(cause)) from error

    def _judge_tls(self, told: str) -> None:
        """Stops where one side speaks TLS and the other does not, or is not trusted."""
        target, why = self.target, None
        if (found := _UNTRUSTED.search(told)) is not None:
            why = f"its certificate is not trusted: {found[1]}; name its authority's in 'ca_file'"
        elif target.tls and _NO_TLS.search(told):
            why = "it speaks no TLS; check 'tls' and 'port'"
        elif not target.tls and not self.was_connected and _CUT.search(told):
            seconds = milliseconds(target.timeout) / 1000
            if any(speaks_tls(each, target.port, seconds) for each in target.hosts):
                why = 'it speaks TLS; write "tls": true'
        if why is not None:
            raise OutputError(f"{self.patience.who}: {why}") from None

    def _prepared(self, session: Session, statement: str) -> Any:
        if statement not in self.prepared:
            self.prepared[statement] = session.prepare(statement)
        return self.prepared[statement]

    def stop(self) -> None:
        """Whoever waits for the servers gives up."""
        self.stopped = True
        self.close()

    def close(self) -> None:
        if self.cluster is not None:
            self.cluster.shutdown()
        self.cluster = self.session = None
        self.prepared = {}


def connection(target: Cassandra) -> Cluster:
    """The cluster as the options say, not connected yet."""
    seconds = milliseconds(target.timeout) / 1000
    policy: LoadBalancingPolicy = RoundRobinPolicy()
    if target.datacenter is not None:
        policy = DCAwareRoundRobinPolicy(target.datacenter)
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(policy),
        consistency_level=cassandra.ConsistencyLevel.name_to_value[target.consistency],
        request_timeout=seconds,
    )
    login = None
    if target.username is not None:
        login = PlainTextAuthProvider(target.username, target.password or "")
    return Cluster(
        list(target.hosts),
        target.port,
        auth_provider=login,
        ssl_context=_tls(target) if target.tls else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=seconds,
        control_connection_timeout=seconds,
        # It would read every table of the cluster, for each task.
        schema_metadata_enabled=False,
    )


def _tls(target: Cassandra) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except OSError as error:
        is_read = isinstance(error, ssl.SSLError)
        told = "holds no certificates, as PEM" if is_read else str(error.strerror).lower()
        raise ValueError(f"'ca_file': '{target.ca_file}': {told}") from None


def _of_the_row(error: Exception) -> RowError | None:
    """What the server has against the values of a row; None where it is something else."""
    if not isinstance(error, cassandra.InvalidRequest):
        return None
    told = _short(error)
    return None if re.search(_NOT_THE_ROW, told) else RowError(told)


def _cause(error: Exception) -> Exception:
    """What the first of the hosts has said, where that tells more: one that refuses the user."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        for each in error.errors.values():
            if isinstance(each, _LASTING):
                return each
    return error


def _short(error: Exception) -> str:
    """What is wrong, in the server's words.

    Example:
        >>> _short(Exception('Error from server: code=2200 [Invalid query] message="Key may not '
        ...                  'be empty"'))
        'Key may not be empty'
    """
    if isinstance(error, NoHostAvailable):
        return _no_host(error)
    told = str(error)
    found = re.search(r'message="(.*)"', told, re.DOTALL)
    told = found.group(1) if found else told
    return (told.strip().splitlines() or [type(error).__name__])[0][:300]


def _no_host(error: NoHostAvailable) -> str:
    causes = error.errors.values() if isinstance(error.errors, dict) else ()
    for each in causes:
        if isinstance(each, OSError) and each.strerror:
            return re.sub(r".*Last error: ", "", each.strerror).lower()
        return _short(each)
    return "no node answers"
