"""Turns a pom into a real Cassandra node that tests write rows to and read them from."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.policies import RoundRobinPolicy

from tests.servers.maven import jars_of, java_command
from tests.servers.process import listens
from tests.servers.server import Server
from tests.servers.tls import certificate

_NODE = Path(__file__).parent / "cassandra_node"
_PROTOCOL = 5

_JVM_OPTIONS = [
    *("-Xms512m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m", "-Xss512k"),
    *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"),
    *("-XX:-UsePerfData", "-Djdk.attach.allowAttachSelf=true", "-Djava.net.preferIPv4Stack=true"),
    "-Dcassandra-foreground=yes",
    # It waits neither for neighbours nor for a cluster to agree on its first user.
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
]
# What Cassandra uses of Java's inner parts, which Java 17 keeps to itself otherwise.
_INNER_PARTS = {
    "--add-exports": [
        *(f"java.base/{name}" for name in ("jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch")),
        "java.management.rmi/com.sun.jmx.remote.internal.rmi",
        "java.rmi/sun.rmi.registry",
        "java.rmi/sun.rmi.server",
        "java.sql/java.sql",
        "jdk.unsupported/sun.misc",
    ],
    "--add-opens": [
        *(f"java.base/java.{name}" for name in ("io", "lang", "lang.module", "lang.reflect")),
        *(f"java.base/java.{name}" for name in ("nio", "util", "util.concurrent")),
        "java.base/java.util.concurrent.atomic",
        *(f"java.base/jdk.internal.{name}" for name in ("loader", "math", "module", "ref")),
        *("java.base/jdk.internal.reflect", "java.base/jdk.internal.util.jar"),
        "java.base/sun.nio.ch",
        "jdk.management/com.sun.management.internal",
    ],
}


class CassandraNode(Server):
    """A node without a keyspace.

    Args:
        guarded: Asks for a password and checks rights; else everybody may do anything.
        tls: Takes connections over TLS only; `certificate` is the authority that clients trust.

    Raises:
        ServerUnavailableError: There is no Java or no Maven.
    """

    name = "cassandra"
    #: The administrator, as every new cluster has it.
    username = password = "cassandra"

    def __init__(self, *, guarded: bool = False, tls: bool = False) -> None:
        jars = jars_of(_NODE / "pom.xml")
        opened = [
            f"{option}={part}=ALL-UNNAMED"
            for option, parts in _INNER_PARTS.items()
            for part in parts
        ]
        self._java = java_command("a Cassandra node", jars, *_JVM_OPTIONS, *opened)
        self.guarded, self.tls = guarded, tls
        super().__init__(ports=2)
        self.certificate = self.folder / "certificate.pem"
        self._settings = self.folder / "cassandra.yaml"

    @contextmanager
    def session(self, username: str = username, password: str = password) -> Iterator[Session]:
        """A session of the administrator, or of another user, while the block lasts."""
        login = PlainTextAuthProvider(username, password) if self.guarded else None
        # What the driver finds out by itself, or is to choose itself, it warns about.
        profile = ExecutionProfile(RoundRobinPolicy(), request_timeout=60)
        profiles = {EXEC_PROFILE_DEFAULT: profile}
        trust = ssl.create_default_context(cafile=str(self.certificate)) if self.tls else None
        with Cluster(
            [self.host],
            self.port,
            auth_provider=login,
            ssl_context=trust,
            execution_profiles=profiles,
            protocol_version=_PROTOCOL,
        ) as cluster:
            yield cluster.connect()

    def create_keyspace(self, name: str) -> None:
        """Makes a keyspace; one that is there stays as it is."""
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        with self.session() as session:
            session.execute(
                f'CREATE KEYSPACE IF NOT EXISTS "{name}" WITH replication = {replication}'
            )

    def create_user(self, name: str, password: str, *rights: str) -> None:
        """Makes a user of a guarded node who may do what is said: `SELECT ON KEYSPACE plant`."""
        with self.session() as session:
            session.execute(f"CREATE ROLE \"{name}\" WITH PASSWORD = '{password}' AND LOGIN = true")
            for right in rights:
                session.execute(f'GRANT {right} TO "{name}"')

    def _prepare(self) -> None:
        (self.folder / "scratch").mkdir()
        pair = self.folder / "pair.pem"
        if self.tls:
            public, private = certificate(self.folder)
            pair.write_text(private.read_text() + public.read_text())
        text = (_NODE / "cassandra.yaml").read_text()
        for mark, value in {
            "@CLIENTS@": str(self.port),
            "@STORAGE@": str(self.ports[1]),
            "@DATA@": str(self.folder),
            "@TLS@": str(self.tls).lower(),
            "@PAIR@": str(pair),
            "@AUTHENTICATOR@": f"{'Password' if self.guarded else 'AllowAll'}Authenticator",
            "@AUTHORIZER@": f"{'Cassandra' if self.guarded else 'AllowAll'}Authorizer",
        }.items():
            text = text.replace(mark, value)
        self._settings.write_text(text)

    def _command(self) -> list[str]:
        return [
            *self._java,
            f"-Djava.io.tmpdir={self.folder / 'scratch'}",
            f"-Dcassandra.config={self._settings.as_uri()}",
            f"-Dcassandra.storagedir={self.folder}",
            f"-Dlogback.configurationFile={_NODE / 'logback.xml'}",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        try:
            with self.session():
                return True
        except NoHostAvailable:
            # A guarded node takes connections before it has its first user.
            return False
