"""Alerts become those of an Alertmanager, by version 2 of its API."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.alerts import Alert, Target
from engine.alerts._http import Client, Place, check_url, server_of
from engine.alerts._sending import EachSender
from engine.alerts.webhook import check_timeout
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say
from engine.template import shown

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Alertmanager(Target):
    """Posts to an Alertmanager: the rule is alertname, the level severity; keys are labels too."""

    METHOD: ClassVar[str] = "alertmanager"

    url: str = option(
        "the server, with its route prefix where it has one",
        nonempty=True,
        example="http://alertmanager:9093",
    )
    username: str | None = option("for basic authentication", None, nonempty=True)
    password: str | None = option("the user's password", None, secret=True)
    token: str | None = option("for a bearer token", None, secret=True, nonempty=True)
    labels: dict[str, str] = option("more labels of each alert", {}, example={"team": "plant"})
    stands: str = option(
        "for how long an alarm stands there after it was told last, by the wall clock: it ends "
        "when it recovers, or then",
        "7 days",
        format="duration",
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
        check_timeout(self.timeout, say)
        if milliseconds(self.stands) == 0:
            say("stands", "'stands' must be more than 0", "such as '7 days'")
        if (self.username is None) != (self.password is None):
            absent = "password" if self.password is None else "username"
            say("", f"'{absent}' is missing", "a user has both")
        elif self.username is not None and self.token is not None:
            say("token", "the config has 'token' and 'username'", "one of them is enough")
        for name in self.labels:
            if label(name) != name:
                hint = "letters, digits and '_', and no digit first"
                say(f"labels/{name}", f"'{name}' cannot be the name of a label", hint)
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            say("token", "'token' has signs that cannot be sent", "")

    def place(self) -> Place:
        import base64

        headers = {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username is not None:
            pair = f"{self.username}:{self.password}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        url = f"{self.url.rstrip('/')}/api/v2"
        return Place(f"{url}/alerts", headers, milliseconds(self.timeout) / 1000, self.ca_file)

    def open(self, name: str) -> AlertmanagerSender:
        return AlertmanagerSender(self, name)

    def probe(self, name: str) -> str:
        client = Client(self.place())
        try:
            status = client.get(f"{self.url.rstrip('/')}/api/v2/status")
        finally:
            client.close()
        version = status.get("versionInfo", {}).get("version", "?")
        return f"{server_of(self.url)}: Alertmanager {version}"

    def described(self) -> dict[str, Any]:
        return {"server": server_of(self.url)}


class AlertmanagerSender(EachSender):
    """The side of a task."""

    def __init__(self, target: Alertmanager, name: str) -> None:
        super().__init__(name, secrets=[target.password or "", target.token or ""])
        self.target = target
        self.client = Client(target.place())

    def deliver(self, alert: Alert) -> None:
        from datetime import datetime, timezone

        found = posted(alert, self.name, self.target, datetime.now(timezone.utc))
        if found:
            self.client.post(json.dumps(found).encode())

    def close(self) -> None:
        self.client.close()


def posted(alert: Alert, name: str, target: Alertmanager, now: datetime) -> list[dict[str, Any]]:
    """What is posted of an alert.

    An Alertmanager knows an alert by its labels, the severity among them: with another level the
    one before ends. What is over already (``until``) is nothing to be told: it would end what
    stands there now.
    """
    from datetime import timedelta

    if alert.get("until") is not None:
        return []
    level, previous = alert["level"], alert["previous"]
    annotations = _annotations(alert)
    found = []
    if previous not in ("ok", level):
        # A moment that is yet to come would let it stand on; ISO 8601 in UTC is in time's order.
        ended = min(alert["timestamp"], _moment(now))
        labels = _labels(alert, previous, name, target.labels)
        found.append({"labels": labels, "annotations": annotations, "endsAt": ended})
    if level != "ok":
        ends = now + timedelta(milliseconds=milliseconds(target.stands))
        labels = _labels(alert, level, name, target.labels)
        since = min(alert["since"] or alert["timestamp"], _moment(now))
        told = {"labels": labels, "annotations": annotations}
        found.append({**told, "startsAt": since, "endsAt": _moment(ends)})
    return found


def _labels(alert: Alert, level: str, name: str, more: Mapping[str, str]) -> dict[str, str]:
    """A key that is called as one of ours gives way: ``key_severity``."""
    own = {
        "alertname": alert["AnalysisModule"],
        "severity": level,
        "aggregation": alert["aggregation"],
        "field": alert["param"]["field"],
        "config": name,
        **more,
    }
    keys: dict[str, Any] = {}
    for key, value in alert["keys"].items():
        legal = label(key)
        while legal in own or legal in keys:
            legal = f"key_{legal}"
        keys[legal] = value
    labels = {each: shown(value) for each, value in {**own, **keys}.items()}
    # An empty label is the same as none.
    return {each: text for each, text in labels.items() if text}


def label(name: str) -> str:
    """The name as one of a label."""
    return re.sub(r"^(?=[0-9])", "_", re.sub(r"[^a-zA-Z0-9_]", "_", name)) or "_"


def _annotations(alert: Alert) -> dict[str, str]:
    param = alert["param"]
    texts = {
        "summary": alert["message"],
        **{name: shown(param[name]) for name in ("value", "lower_bound", "upper_bound")},
        "id": alert["id"],
    }
    return {name: text for name, text in texts.items() if text}


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
