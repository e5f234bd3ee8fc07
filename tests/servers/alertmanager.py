"""Turns Debian's package `prometheus-alertmanager` into a running Alertmanager of its own."""

from __future__ import annotations

import json
import shutil
from typing import Any

import urllib3

from tests.servers.process import ServerUnavailableError
from tests.servers.server import Server

_CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"


class AlertmanagerServer(Server):
    """An Alertmanager that tells nobody.

    Raises:
        ServerUnavailableError: There is no `prometheus-alertmanager` on the path.
    """

    name = "alertmanager"

    def __init__(self) -> None:
        found = shutil.which("prometheus-alertmanager")
        if found is None:
            raise ServerUnavailableError(
                "there is no 'prometheus-alertmanager' on the path; "
                "on Debian and Ubuntu: make servers, or "
                "sudo apt-get install prometheus-alertmanager"
            )
        self._binary = found
        super().__init__(ports=1)
        self.url = f"http://{self.host}:{self.port}"

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """The alerts with these labels that stand there now."""
        fields = [("filter", f'{name}="{text}"') for name, text in labels.items()]
        answer = urllib3.request("GET", f"{self.url}/api/v2/alerts", fields=fields)
        found: list[dict[str, Any]] = json.loads(answer.data)
        return sorted(found, key=lambda each: sorted(each["labels"].items()))

    def _prepare(self) -> None:
        (self.folder / "alertmanager.yml").write_text(_CONFIG)

    def _command(self) -> list[str]:
        return [
            self._binary,
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.host}:{self.port}",
            "--cluster.listen-address=",
        ]

    def _answers(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/-/ready", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False
