"""Turns the binary that TS_ENGINE_INFLUXD2 names into a running InfluxDB 2."""

from __future__ import annotations

import os
import shutil
from typing import Any

import urllib3
from influxdb_client import InfluxDBClient, Permission, PermissionResource
from influxdb_client.client.write_api import SYNCHRONOUS

from tests.servers.process import ServerUnavailableError
from tests.servers.server import Server

BINARY = "TS_ENGINE_INFLUXD2"


class InfluxTwo(Server):
    """A server with one organisation, one bucket that keeps all, and a token that may do anything.

    Raises:
        ServerUnavailableError: The environment names no binary.
    """

    name = "influx2"
    org = "plant"
    bucket = "readings"
    username = "keeper"
    password = "swordfish two"
    token = "token-of-the-keeper"

    def __init__(self) -> None:
        binary = shutil.which(os.environ.get(BINARY, ""))
        if binary is None:
            raise ServerUnavailableError(f"{BINARY} names no influxd of version 2")
        self._binary = binary
        super().__init__()
        self.url = f"http://{self.host}:{self.port}"

    def client(self, token: str = token) -> InfluxDBClient:
        """A client of the organisation; the caller closes it."""
        return InfluxDBClient(url=self.url, token=token, org=self.org)

    def write(self, lines: str | bytes, bucket: str = bucket, **options: Any) -> None:
        """Stores lines of line protocol, nanoseconds unless `write_precision` says otherwise."""
        with self.client() as client:
            client.write_api(SYNCHRONOUS).write(bucket, self.org, lines, **options)

    def rows(self, bucket: str = bucket, measurement: str = "") -> list[dict[str, Any]]:
        """The points of a bucket, by series and time.

        Returns:
            One for each point: its tags and fields, `_time` (UTC) and `_measurement`.
        """
        only = f'|> filter(fn: (r) => r._measurement == "{measurement}")' if measurement else ""
        text = f"""
            from(bucket: "{bucket}")
            |> range(start: 1900-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z) {only}
            |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
            |> drop(columns: ["_start", "_stop"])
        """
        with self.client() as client:
            tables = client.query_api().query(text)
        records = [record.values for table in tables for record in table.records]
        return [
            {name: value for name, value in record.items() if name not in {"result", "table"}}
            for record in records
        ]

    def create_bucket(self, name: str, retention_seconds: int = 0) -> None:
        """Makes a bucket; one that is there is an error."""
        rules = [{"type": "expire", "everySeconds": retention_seconds}]
        with self.client() as client:
            client.buckets_api().create_bucket(
                bucket_name=name, retention_rules=rules if retention_seconds else None
            )

    def read_token(self, bucket: str = bucket) -> str:
        """A new token that may read a bucket and nothing else."""
        with self.client() as client:
            found = client.buckets_api().find_bucket_by_name(bucket)
            resource = PermissionResource(type="buckets", id=found.id, org_id=found.org_id)
            permissions = [Permission(action="read", resource=resource)]
            made = client.authorizations_api().create_authorization(
                org_id=found.org_id, permissions=permissions
            )
        token: str = made.token
        return token

    def _command(self) -> list[str]:
        # It writes a file of its own into the home folder.
        return [
            *("env", f"HOME={self.folder}", self._binary, "run"),
            *("--http-bind-address", f"{self.host}:{self.port}"),
            *("--bolt-path", f"{self.folder}/influxd.bolt"),
            *("--sqlite-path", f"{self.folder}/influxd.sqlite"),
            *("--engine-path", f"{self.folder}/engine"),
            "--reporting-disabled",
        ]

    def _answers(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.url}/health", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _set_up(self) -> None:
        wanted = {
            "username": self.username,
            "password": self.password,
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
            "retentionPeriodSeconds": 0,
        }
        answer = urllib3.request("POST", f"{self.url}/api/v2/setup", json=wanted)
        if answer.status != 201:
            raise ServerUnavailableError(f"InfluxDB 2 cannot be set up: {answer.data.decode()}")
