"""Alerts by HTTP: a POST with JSON for each."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from engine.alerts import Alert, Job, Sender, Target
from engine.alerts._http import Http, check_headers, check_url, place
from engine.alerts._one_by_one import OneByOne, RefusedError
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._authorities import ca_file_option, check_ca_file
from engine.template import filled_in, problems


@dataclass(frozen=True, kw_only=True)
class Webhook(Target):
    """Posts alerts as JSON."""

    METHOD: ClassVar[str] = "webhook"

    url: str = option("where to", nonempty=True, secret=True, example="https://plant.example/hook")
    headers: dict[str, str] = option("further headers", {}, secret=True)
    template: dict[str, Any] = option(
        "the body, with {fields} of the alert in its strings; the whole alert when absent",
        {},
        example={"text": "{level}: {message}"},
    )
    secret: str | None = option(
        "signs the body: the header X-Signature-256 is sha256=, and its HMAC in hexadecimal",
        None,
        nonempty=True,
        secret=True,
    )
    ca_file: str | None = ca_file_option()
    timeout: str = option(
        "how long a server that is away may hold up a micro-batch", "5 seconds", format="duration"
    )

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        check_url("url", self.url, say)
        check_headers(self.headers, say)
        check_ca_file(self.ca_file, self.url.startswith("https:"), say, "write https")
        for name, text in _strings("template", self.template):
            for message, hint in problems(text, known):
                say(name, message, hint)

    def open(self, job: Job) -> Sender:
        seconds = milliseconds(self.timeout) / 1000
        http = Http(seconds, self.ca_file)
        return OneByOne(partial(self._post, http), seconds, http.close)

    def _post(self, http: Http, alert: Alert) -> None:
        told = filled_in(self.template, alert) if self.template else alert
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        headers["Idempotency-Key"] = alert["id"]
        if self.secret is not None:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Signature-256"] = f"sha256={digest}"
        http.post(self.url, body, headers)

    def probe(self) -> str:
        with closing(Http(milliseconds(self.timeout) / 1000, self.ca_file)) as http:
            try:
                http.reach(self.url)
            except RefusedError as error:
                raise OutputError(str(error)) from None
        return f"{place(self.url)}: takes connections; nothing was posted"

    def described(self) -> dict[str, Any]:
        return {"to": place(self.url)}


def _strings(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The strings in a value, each with where it stands."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for member, each in value.items():
            yield from _strings(f"{name}/{member}", each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _strings(f"{name}/{index}", each)
