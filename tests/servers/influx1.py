"""Turns Debian's package `influxdb` into a running InfluxDB 1 with authentication."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any
from urllib.parse import urlencode

import urllib3

from tests.servers.process import ServerUnavailableError
from tests.servers.server import Server

_SETTINGS = """
reporting-enabled = false
bind-address = "{host}:{inner}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "{host}:{port}"
  auth-enabled = true
  log-enabled = false
"""


class InfluxOne(Server):
    """A server with an administrator, and no database.

    Raises:
        ServerUnavailableError: There is no `influxd` of version 1 on the path.
    """

    name = "influx1"
    username = "keeper"
    password = "swordfish one"

    def __init__(self) -> None:
        self._binary = _influxd()
        super().__init__(ports=2)
        self.url = f"http://{self.host}:{self.port}"

    def query(self, text: str, database: str = "", **options: str) -> list[dict[str, Any]]:
        """The series that InfluxQL gives, of all statements; times are epoch nanoseconds.

        Returns:
            As the server puts them: `name`, `tags` (where grouped by them), `columns`, `values`.
        """
        sent = {"q": text, "db": database, "epoch": "ns", **options}
        answer = self.request("POST", f"/query?{urlencode(sent)}")
        results = json.loads(answer.data)["results"]
        for result in results:
            if "error" in result:
                raise ValueError(f"{text}: {result['error']}")
        return [series for result in results for series in result.get("series", ())]

    def write(self, database: str, lines: str | bytes, **options: str) -> None:
        """Stores lines of line protocol; all of them or it raises."""
        self.request("POST", f"/write?{urlencode({'db': database, **options})}", body=lines)

    def request(self, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
        """What the server answers the administrator, unless that is an error."""
        headers = urllib3.make_headers(basic_auth=f"{self.username}:{self.password}")
        # Its own limit is 3 s, which a busy machine may take.
        answer = urllib3.request(method, self.url + path, headers=headers, timeout=120, **more)
        if answer.status >= 400:
            raise ValueError(f"{answer.status}: {answer.data.decode()}")
        return answer

    def create_database(self, name: str) -> None:
        """Makes a database; one that is there stays as it is."""
        self.query(f'CREATE DATABASE "{name}"')

    def create_user(self, name: str, password: str, **rights: str) -> None:
        """Makes a user who may do in each database what is said: `plant="READ"`."""
        self.query(f"CREATE USER \"{name}\" WITH PASSWORD '{password}'")
        for database, right in rights.items():
            self.query(f'GRANT {right} ON "{database}" TO "{name}"')

    def _prepare(self) -> None:
        (self.folder / "influxdb.conf").write_text(
            _SETTINGS.format(
                host=self.host, port=self.port, inner=self.ports[1], folder=self.folder
            )
        )

    def _command(self) -> list[str]:
        return [self._binary, "run", "-config", str(self.folder / "influxdb.conf")]

    def _answers(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/ping", retries=False).status == 204
        except urllib3.exceptions.HTTPError:
            return False

    def _set_up(self) -> None:
        # The one thing that the server lets everybody do, while it has no administrator.
        text = f"CREATE USER {self.username} WITH PASSWORD '{self.password}' WITH ALL PRIVILEGES"
        self.query(text)


def _influxd() -> str:
    binary = shutil.which("influxd")
    if binary is not None:
        words = [binary, "version"]
        told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        if told.startswith("InfluxDB v1."):
            return binary
    raise ServerUnavailableError(
        "there is no 'influxd' of version 1 on the path; "
        "on Debian and Ubuntu: make servers, or sudo apt-get install influxdb"
    )
