"""Posts over HTTP, whose failures are what may pass and what will not."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from engine.alerts._one_by_one import RefusedError
from engine.outputs import Say
from engine.outputs._patience import PassingError

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


def place(url: str) -> str:
    """The server of an address: what is behind it, or before, may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class Http:
    """A client for few requests.

    Args:
        seconds: how long an answer may take.
    """

    def __init__(self, seconds: float) -> None:
        import urllib3

        timeout = urllib3.Timeout(total=max(seconds, 0.1))
        self.pool = urllib3.PoolManager(timeout=timeout, retries=False)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Posts, once.

        Raises:
            PassingError: the server is away or busy.
            RefusedError: it does not take this.
        """
        import urllib3

        try:
            # Headers may hold secrets: no server sends them elsewhere.
            answer = self.pool.request(
                "POST", url, body=body, headers=dict(headers), redirect=False
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
            raise PassingError(f"{place(url)} answers {answer.status}")
        if not 200 <= answer.status < 300:
            raise RefusedError(f"{place(url)} answers {answer.status}")

    def close(self) -> None:
        self.pool.clear()


def _reason(error: BaseException) -> str:
    """The innermost reason, which names no path and no header."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    told = getattr(error, "strerror", None) or type(error).__name__
    return str(told).lower()
