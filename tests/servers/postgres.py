"""Turns Debian's package `postgresql` into a running server in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.process import ServerUnavailableError, identity
from tests.servers.server import Server

# Debian keeps the versions apart, and puts none of them on the path.
_DEBIAN = Path("/usr/lib/postgresql")


class PostgresServer(Server):
    """A server with one database, which asks everybody for a password.

    Raises:
        ServerUnavailableError: There is no PostgreSQL.
    """

    name = "postgres"
    username = "keeper"
    password = "swordfish four"
    database = "plant"
    # The default waits until all clients have gone.
    _stops_by = signal.SIGINT
    # Each client has a process of its own, which SIGKILL of the first one would leave behind for a
    # while. This ends them all at once, and the next start recovers as it does from a power cut.
    _killed_by = signal.SIGQUIT

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _unprivileged()
        super().__init__()
        self._data = self.folder / "data"

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection that commits each statement; the caller closes it."""
        known = {
            "host": self.host,
            "port": self.port,
            "user": self.username,
            "password": self.password,
            "dbname": self.database,
            "autocommit": True,
        }
        return psycopg.connect(**{**known, **options})

    def create_user(self, name: str, password: str, *rights: str) -> None:
        """Makes a user who may do what is said: `SELECT ON readings`."""
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'")
            for right in rights:
                connection.execute(f'GRANT {right} TO "{name}"')

    def _prepare(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self._user:
            shutil.chown(self.folder, self._user)
            shutil.chown(secret, self._user)
        words = [f"{self._programs}/initdb", f"--pgdata={self._data}", "--encoding=UTF8"]
        words += ["--locale=C", "--auth=scram-sha-256", f"--username={self.username}"]
        words += [f"--pwfile={secret}", "--no-sync"]
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **identity(self._user),
        )
        if done.returncode != 0:
            raise ServerUnavailableError(f"initdb fails:\n{done.stdout}{done.stderr}")

    def _command(self) -> list[str]:
        address = ("-h", self.host, "-p", str(self.port), "-c", "unix_socket_directories=")
        return [f"{self._programs}/postgres", "-D", str(self._data), *address]

    def _answers(self) -> bool:
        try:
            with self.connect(dbname="postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def _set_up(self) -> None:
        with self.connect(dbname="postgres") as connection:
            connection.execute(f'CREATE DATABASE "{self.database}"')


def _programs() -> Path:
    versions = [each for each in _DEBIAN.glob("*/bin") if (each / "initdb").exists()]
    if versions:
        return max(versions, key=lambda each: float(each.parent.name))
    on_path = shutil.which("initdb")
    if on_path is None:
        raise ServerUnavailableError(
            "there is no PostgreSQL server, neither on the path nor where Debian puts it; "
            "on Debian and Ubuntu: make servers, or sudo apt-get install postgresql"
        )
    return Path(on_path).resolve().parent


def _unprivileged() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
