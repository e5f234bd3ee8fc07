"""Requests become what an InfluxDB answers, or an error that says what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from engine.outputs._influx_answers import Refusal, cut, refusal, words
from engine.outputs._influx_place import Place, name
from engine.outputs._patience import PassingError, Patience

if TYPE_CHECKING:
    import urllib3


@contextmanager
def server(at: Place, seconds: float | None = None) -> Iterator[Server]:
    """A server whose connections are closed in the end; without ``seconds`` it is waited for as
    long as it takes."""
    made = Server(at, Patience(at.output, at.server, at.notices, seconds))
    try:
        yield made
    finally:
        made.close()


class Server:
    """An InfluxDB, by HTTP.

    By ``urllib3``, on which ``influxdb-client`` stands: that one knows neither 1.6 nor 3.x's own
    endpoint, and packs requests with gzip at its slowest. It serves where 2.x alone is asked.

    Raises:
        OutputError: by all, for what waiting does not cure.
    """

    def __init__(self, at: Place, patience: Patience) -> None:
        import urllib3

        self.at, self.patience = at, patience
        self.pool = urllib3.PoolManager(
            maxsize=at.connections,
            block=True,
            timeout=urllib3.Timeout(connect=min(at.seconds, 10.0), read=at.seconds),
            retries=False,
            ca_certs=at.ca_file,
        )
        self.headers = {"User-Agent": "ts-engine", **at.authorization}

    def write(self, payload: bytes | memoryview) -> Refusal | None:
        """Writes lines; gives why any of them were refused."""
        return self.write_packed(self.at.packed(payload))

    def write_packed(self, body: bytes) -> Refusal | None:
        """Writes lines that are packed as the place says."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self.at.gzip:
            headers["Content-Encoding"] = "gzip"
        answer = self._asked("POST", self.at.write_path, body, headers)
        return refusal(answer) if answer.status in (400, 413, 422) else None

    def query(self, statements: str) -> list[dict[str, Any]]:
        """What InfluxQL statements give, one result for each; times are epoch milliseconds."""
        asked = {"db": self.at.store, "epoch": "ms"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"q": statements}).encode()
        answer = self._asked("POST", f"/query?{urlencode(asked)}", body, headers)
        if answer.status >= 400:
            raise self.at.error(words(answer))
        found = json.loads(answer.data)
        results: list[dict[str, Any]] = found.get("results", [])
        errors = [each["error"] for each in (found, *results) if "error" in each]
        if errors:
            raise self.at.error(cut(errors[0]))
        return results

    def version(self) -> str:
        """As the server tells it."""
        answer = self._asked("GET", "/ping", b"", {})
        told = answer.headers.get("X-Influxdb-Version", f"{self.at.version}.x")
        return str(told).removeprefix("v")

    def check(self) -> None:
        """Finds out whether points may be written, and writes none: without lines, 1.x and 2.x
        answer as they would with some."""
        if self.at.version == 3:
            self.version()
        elif (wrong := self.write(b"")) is not None:
            raise self.at.error(wrong.reason)

    def has_store(self) -> bool:
        """Whether the database or the bucket exists, as far as a write without lines tells."""
        answer = self._sent("POST", self.at.write_path, b"", {})
        return answer.status != 404

    def create_store(self) -> None:
        """Makes the database or the bucket."""
        if self.at.version == 1:
            self.query(f"CREATE DATABASE {name(self.at.store)}")
        elif self.at.version == 2:
            self.patience.call(self._create_bucket)

    def _create_bucket(self) -> None:
        import urllib3
        from influxdb_client import InfluxDBClient
        from influxdb_client.rest import ApiException

        at = self.at
        try:
            with InfluxDBClient(
                at.url,
                at.token or "",
                org=at.org or "",
                ssl_ca_cert=at.ca_file,
                timeout=int(at.seconds * 1e3),
            ) as client:
                client.buckets_api().create_bucket(bucket_name=at.store, org=at.org)
        except ApiException as error:
            told = cut(str(error.message or error.reason))
            raise at.error(f"cannot make the bucket '{at.store}': {told}") from None
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        self.pool.clear()

    def _asked(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self.patience.call(lambda: self._judged(self._sent(method, path, body, headers)))

    def _sent(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        try:
            return self.pool.request(
                method,
                self.at.url + path,
                body=body,
                headers={**self.headers, **headers},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(error) from None

    def _judged(self, answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        """The answer, if it is about the request's content."""
        status, at, said = answer.status, self.at, words(answer)
        # Nothing of a request that was cut off is written; 1.x says 400, 2.x 499 or 500.
        if status == 499 or (status == 400 and said == "unexpected EOF"):
            raise PassingError("the connection broke (the server has half of a request)")
        if status < 300 or status in (400, 413, 422):
            return answer
        if status == 500 and "retention policy not found" in said:
            cure = "create it, or leave 'retention_policy' out"
            raise at.error(f"there is no retention policy '{at.retention_policy}'", cure)
        if status in (408, 429) or status >= 500:
            after = answer.headers.get("Retry-After", "")
            told = f"answers {status}" + (f" ({said})" if said else "")
            raise PassingError(told, float(after) if after.isdigit() else None)
        if status == 401:
            whom = f"the user '{at.username}'" if at.username else "the token"
            if at.username is None and at.token is None:
                whom = "requests without a user"
            told, cure = f"refuses {whom}", "check " + _CREDENTIALS[at.version]
        elif status == 403:
            told, cure = f"does not allow it: {said}", "grant the right, or use another account"
        elif status == 404:
            known = f"there is no {at.kind} '{at.store}'"
            told = f"{known} ({said})" if at.version == 2 else known
            cure = "make it first" + (', or write "create": true' if at.version != 3 else "")
        else:
            told, cure = f"answers {status}: {said}", "is that its address, and its version?"
        raise at.error(told, cure)

    def _failure(self, error: urllib3.exceptions.HTTPError) -> Exception:
        """A failure below HTTP, which may pass; a certificate that nobody vouches for will not."""
        from urllib3 import exceptions

        host = self.at.url.partition("://")[2]
        match error:
            case exceptions.SSLError() if "EOF" not in str(error):
                return self.at.error(cut(str(error)), "check 'tls' and 'ca_file'")
            case exceptions.LocationValueError():
                return self.at.error(f"'{host}' is no address", "check 'host'")
            case exceptions.NameResolutionError():
                return PassingError("its name is not known")
            case exceptions.ConnectTimeoutError():
                return PassingError("cannot be reached (timed out)")
            case exceptions.ReadTimeoutError():
                return PassingError(f"no answer within {self.at.seconds:g} s")
            case exceptions.NewConnectionError():
                return PassingError(f"cannot be reached ({_cause(error)})")
        return PassingError(f"the connection broke ({_cause(error)})")


_CREDENTIALS = {1: "'username' and 'password'", 2: "'token'", 3: "'token'"}


def _cause(error: Exception) -> str:
    """The system's words alone: those around it name objects and addresses of ours."""
    told: Any = error
    while told.__cause__ is not None:
        told = told.__cause__
    inner = next((each for each in reversed(told.args) if isinstance(each, OSError)), told)
    said = str(getattr(inner, "strerror", None) or inner)
    return cut(said.rpartition("] ")[2].lower())
