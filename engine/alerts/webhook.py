"""Alerts become JSON, posted to a URL."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.alerts import Alert, Target
from engine.alerts._http import Client, Place, check_headers, check_url, server_of
from engine.alerts._sending import EachSender, values_of
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say
from engine.source import names_secret
from engine.template import filled_json, template_problem


@dataclass(frozen=True, kw_only=True)
class Webhook(Target):
    """Posts JSON to a URL, an alert a request, with its id as Idempotency-Key."""

    METHOD: ClassVar[str] = "webhook"

    url: str = option(
        "where to, by http or https; redirects are not followed",
        nonempty=True,
        secret=True,  # of many chats it is one
        example="https://example.org/hook",
    )
    headers: dict[str, str] = option(
        "sent with each request", {}, secret=True, example={"Authorization": "Bearer ${TOKEN}"}
    )
    template: dict[str, Any] | None = option(
        "what is sent in place of the alert: its strings may hold {names}, and one that is a name "
        "alone becomes the value itself, such as a number",
        None,
        example={"text": "{level}: {message}", "value": "{param.value}"},
    )
    secret: str | None = option(
        "signs each body: X-Signature-256 is 'sha256=' and its HMAC in hex",
        None,
        nonempty=True,
        secret=True,
    )
    timeout: str = option(
        "for an alert: requests that fail for a while are made again, with back-off",
        "5 seconds",
        format="duration",
    )
    ca_file: str | None = option(
        "who vouches for the server's certificate; the system's when absent", None, format="path"
    )

    def check(self, say: Say, known: Collection[str] | None) -> None:
        check_url("url", self.url, say)
        check_headers("headers", self.headers, say)
        check_timeout(self.timeout, say)
        _check_template("template", self.template, known, say)

    def open(self, name: str) -> WebhookSender:
        return WebhookSender(self, name)

    def described(self) -> dict[str, Any]:
        return {"server": server_of(self.url)}


def check_timeout(text: str, say: Say) -> None:
    if milliseconds(text) == 0:
        say("timeout", "'timeout' must be more than 0", "such as '5 seconds'")


def _check_template(path: str, value: Any, known: Collection[str] | None, say: Say) -> None:
    """Tells what is wrong with the strings of JSON, each where it stands."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_template(f"{path}/{name}", each, known, say)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            _check_template(f"{path}/{index}", each, known, say)
    elif isinstance(value, str) and (wrong := template_problem(value, known)):
        say(path, *wrong)


class WebhookSender(EachSender):
    """The side of a task."""

    def __init__(self, target: Webhook, name: str) -> None:
        secrets = [text for name, text in target.headers.items() if names_secret(name)]
        super().__init__(name, secrets=[target.secret or "", *secrets])
        self.target = target
        seconds = milliseconds(target.timeout) / 1000
        self.client = Client(Place(target.url, target.headers, seconds, target.ca_file))

    def deliver(self, alert: Alert) -> None:
        value: Any = alert
        if self.target.template is not None:
            value = filled_json(self.target.template, values_of(alert, self.name))
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Idempotency-Key": str(alert["id"])}
        if self.target.secret is not None:
            headers["X-Signature-256"] = signature(self.target.secret, body)
        self.client.post(body, headers)

    def close(self) -> None:
        self.client.close()


def signature(secret: str, body: bytes) -> str:
    """What a receiver who knows the secret computes of the body, too."""
    import hashlib
    import hmac

    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
