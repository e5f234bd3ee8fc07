"""Posts over HTTP, whose failures are what may pass and what will not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from engine.alerts._one_by_one import RefusedError
from engine.outputs import Say
from engine.outputs._patience import PassingError

#: What RFC 9110 calls so.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: Of a server that is busy, or not up yet.
_PASSING = (408, 425, 429, 500, 502, 503, 504)


def check_url(name: str, url: str, say: Say) -> None:
    """Tells what is no address of a server."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        say(name, f"'{name}' is no http or https address", "such as https://host/path")


def check_headers(headers: Mapping[str, str], say: Say) -> None:
    """Tells headers that cannot be sent; their values may be secret."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            say(f"headers/{name}", f"'{name}' cannot be the name of a header", "")
        elif not value.isascii() or not value.isprintable():
            say(f"headers/{name}", f"the header '{name}' has signs that cannot be sent", "")


def place(url: str) -> str:
    """The server of an address: what is behind it, or before, may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class Http:
    """A client for few requests.

    Args:
        seconds: how long an answer may take.
        ca_file: certificates of authorities; the system's when absent.
    """

    def __init__(self, seconds: float, ca_file: str | None = None) -> None:
        import urllib3

        self._seconds, self._ca_file = max(seconds, 0.1), ca_file
        timeout = urllib3.Timeout(total=self._seconds)
        self.pool = urllib3.PoolManager(timeout=timeout, retries=False, ca_certs=ca_file)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Posts, once.

        Raises:
            PassingError: the server is away or busy.
            RefusedError: it does not take this.
        """
        self._asked("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> Any:
        """The JSON that is there.

        Raises:
            PassingError, RefusedError: as by ``post``; there is none.
        """
        try:
            return json.loads(self._asked("GET", url, None, headers))
        except ValueError:
            raise RefusedError(f"{place(url)}: what it answers is no JSON") from None

    def reach(self, url: str) -> None:
        """Opens a connection, by TLS where the address says so, and asks for nothing.

        Raises:
            PassingError, RefusedError: as by ``post``.
        """
        import socket
        import ssl

        parts = urlsplit(url)
        host, is_tls = parts.hostname or "", parts.scheme == "https"
        address = host, parts.port or (443 if is_tls else 80)
        try:
            with socket.create_connection(address, self._seconds) as bare:
                if is_tls:
                    context = ssl.create_default_context(cafile=self._ca_file)
                    context.wrap_socket(bare, server_hostname=host).close()
        except TimeoutError:
            raise PassingError(f"{place(url)} does not answer in time") from None
        except ssl.SSLError as error:
            raise RefusedError(f"{place(url)}: no trust: {_reason(error)}") from None
        except OSError as error:
            raise PassingError(f"{place(url)} cannot be reached: {_reason(error)}") from None

    def _asked(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        import urllib3

        try:
            # Headers may hold secrets: no server sends them elsewhere.
            answer = self.pool.request(
                method, url, body=body, headers=dict(headers), redirect=False
            )
        except urllib3.exceptions.NewConnectionError as error:  # a kind of timeout, to them
            raise PassingError(f"{place(url)} cannot be reached: {_reason(error)}") from None
        except urllib3.exceptions.TimeoutError:
            raise PassingError(f"{place(url)} does not answer in time") from None
        except urllib3.exceptions.SSLError as error:
            raise RefusedError(f"{place(url)}: no trust: {_reason(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PassingError(f"{place(url)} cannot be reached: {_reason(error)}") from None
        except ValueError:
            raise RefusedError(f"{place(url)}: the headers cannot be sent") from None
        if answer.status in _PASSING:
            after = answer.headers.get("Retry-After", "")
            told = f"{place(url)} answers {answer.status}"
            raise PassingError(told, float(after) if after.isdigit() else None)
        if not 200 <= answer.status < 300:
            raise RefusedError(f"{place(url)} answers {answer.status}")
        return answer.data

    def close(self) -> None:
        self.pool.clear()


def _reason(error: BaseException) -> str:
    """The innermost reason, which names no path and no header."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    told = getattr(error, "strerror", None) or type(error).__name__
    return str(told).lower()
