"""A request becomes an answer that took it, or an error that says why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from engine.alerts._sending import short, within
from engine.outputs import OutputError, Say
from engine.outputs._patience import PassingError, RowError

if TYPE_CHECKING:
    import urllib3

#: Answers about what a request says; other requests may be taken.
_CONTENT = (400, 409, 413, 422)


@dataclass(frozen=True)
class Place:
    """Where requests go. It is pickled.

    Args:
        url: the whole of it may be a secret, as chats' are; messages name the server alone.
        headers: of each request.
        seconds: for a request and its repetitions.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float = 5.0
    ca_file: str | None = None

    def __str__(self) -> str:
        return server_of(self.url)


def server_of(url: str) -> str:
    """``https://host:port``, without what else a URL may hold."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def check_url(name: str, url: str, say: Say) -> None:
    """Tells what is no address of a server; the words do not repeat it."""
    from urllib.parse import urlsplit

    hint = "write it such as 'https://example.org/hook'"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, is_good = None, False
    if not is_good or not url.isascii() or any(sign.isspace() for sign in url):
        say(name, f"'{name}' is no address of a server by http or https", hint)
    elif parts is not None and parts.username is not None:
        say(name, f"'{name}' holds a user", "write user and password as options or headers")


def check_headers(name: str, headers: Mapping[str, str], say: Say) -> None:
    """Tells headers that cannot be sent."""
    import re

    for header, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
            say(f"{name}/{header}", f"'{header}' cannot be the name of a header", "")
        elif not value.isascii() or not value.isprintable():
            say(f"{name}/{header}", f"the header '{header}' has signs that cannot be sent", "")


class Client:
    """Sends JSON to a place, again while that may help.

    By ``urllib3``: it keeps connections, has one time for a whole request and follows no redirect,
    so no secret goes to another host.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @cached_property
    def pool(self) -> urllib3.PoolManager:
        import urllib3

        return urllib3.PoolManager(retries=False, ca_certs=self.place.ca_file)

    def post(self, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Sends a body of JSON.

        Raises:
            RowError, PassingError, OutputError: it was not taken; see ``EachSender.deliver``.
        """
        sent = {"Content-Type": "application/json", **self.place.headers, **(headers or {})}
        within(self.place.seconds, partial(self._attempt, "POST", self.place.url, value, sent))

    def get(self, url: str) -> Any:
        """What is at ``url``, of JSON; asked once.

        Raises:
            PassingError, OutputError: there is no good answer.
        """
        sent = {"Accept": "application/json", **self.place.headers}
        answer = self._attempt("GET", url, b"", sent, self.place.seconds)
        with suppress(ValueError):
            return json.loads(answer.data)
        raise OutputError(f"{self.place}: what it answers is no JSON")

    def close(self) -> None:
        self.pool.clear()

    def _attempt(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], left: float
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        try:
            answer = self.pool.request(
                method,
                url,
                body=body or None,
                headers={"User-Agent": "ts-engine", **headers},
                timeout=urllib3.Timeout(total=left),
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(error) from None
        self._judge(answer)
        return answer

    def _judge(self, answer: urllib3.BaseHTTPResponse) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        said = short(answer.data[:2000].decode("utf-8", "replace"))
        told = f"{self.place}: answers {status}" + (f" ({said})" if said else "")
        if status in (408, 425, 429) or status >= 500:
            after = answer.headers.get("Retry-After", "")
            raise PassingError(told, float(after) if after.isdigit() else None)
        if status in _CONTENT:
            raise RowError(told)
        if status < 400:
            raise OutputError(f"{self.place}: answers {status}, a redirect; they are not followed")
        raise OutputError(told)

    def _failure(self, error: urllib3.exceptions.HTTPError) -> Exception:
        """A failure below HTTP, which may pass; a certificate that nobody vouches for will not."""
        from urllib3 import exceptions

        match error:
            case exceptions.SSLError() if "EOF" not in str(error):
                return OutputError(f"{self.place}: {cause(error)}; check 'ca_file'")
            case exceptions.LocationValueError():
                return OutputError(f"{self.place}: is no address")
            case exceptions.NameResolutionError():
                return PassingError(f"{self.place}: its name is not known")
            case exceptions.TimeoutError():
                return PassingError(f"{self.place}: no answer within {self.place.seconds:g} s")
            case exceptions.NewConnectionError():
                return PassingError(f"{self.place}: cannot be reached ({cause(error)})")
        return PassingError(f"{self.place}: the connection broke ({cause(error)})")


def cause(error: Exception) -> str:
    """The system's words alone: those around it name objects and addresses of ours."""
    told: Any = error
    while told.__cause__ is not None:
        told = told.__cause__
    inner = next((each for each in reversed(told.args) if isinstance(each, OSError)), told)
    said = str(getattr(inner, "strerror", None) or inner)
    return short(said.rpartition("] ")[2].lower())
