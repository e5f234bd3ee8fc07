"""Alerts to an Alertmanager, by version 2 of its API."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, ClassVar

from engine.alerts import Alert, Job, Sender, Target
from engine.alerts._http import Http, check_url, place
from engine.alerts._one_by_one import OneByOne, RefusedError
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._authorities import ca_file_option, check_ca_file

#: What a label's name may not hold.
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, kw_only=True)
class Alertmanager(Target):
    """Tells an Alertmanager: an alert ends there when it recovers."""

    METHOD: ClassVar[str] = "alertmanager"

    url: str = option("the server", nonempty=True, secret=True, example="http://alerts:9093")
    username: str | None = option("for basic authentication", None)
    password: str | None = option("for basic authentication", None, secret=True)
    token: str | None = option("for a bearer", None, secret=True)
    labels: dict[str, str] = option("further labels", {}, example={"plant": "north"})
    stands: str = option(
        "how long an alert stands there after it was told last, by the clock: without a word it "
        "would end in minutes",
        "7 days",
        format="duration",
    )
    ca_file: str | None = ca_file_option()
    timeout: str = option(
        "how long a server that is away may hold up a micro-batch", "5 seconds", format="duration"
    )

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        check_url("url", self.url, say)
        check_ca_file(self.ca_file, self.url.startswith("https:"), say, "write https")
        if (self.username is None) != (self.password is None):
            say("", "'username' and 'password' belong together", "")
        if milliseconds(self.stands) == 0:
            say("stands", "'stands' must be more than 0", "such as '7 days'")
        for name in self.labels:
            if _label(name) != name:
                say(f"labels/{name}", f"'{name}' is no name for a label", f"'{_label(name)}' is")

    def open(self, job: Job) -> Sender:
        seconds = milliseconds(self.timeout) / 1000
        http = Http(seconds, self.ca_file)
        return OneByOne(partial(self._post, http, job.name), seconds, http.close)

    def _post(self, http: Http, name: str, alert: Alert) -> None:
        told = self.told(name, alert, datetime.now(timezone.utc))
        if told:
            body = json.dumps(told, ensure_ascii=False).encode()
            http.post(self._at("alerts"), body, self._headers())

    def _at(self, what: str) -> str:
        return f"{self.url.rstrip('/')}/api/v2/{what}"

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username is not None:
            login = b64encode(f"{self.username}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        return headers

    def probe(self) -> str:
        with closing(Http(milliseconds(self.timeout) / 1000, self.ca_file)) as http:
            try:
                status = http.get(self._at("status"), self._headers())
            except RefusedError as error:
                raise OutputError(str(error)) from None
        version = status.get("versionInfo", {}).get("version", "of no version")
        return f"{place(self.url)}: Alertmanager {version}"

    def told(self, name: str, alert: Alert, now: datetime) -> list[dict[str, Any]]:
        """The alert as the API has it.

        An alert of another level is another one there, by its labels: so the one before ends with
        it. Of what is over already nothing is told: it would end what stands there now.
        """
        if alert["until"] is not None:
            return []
        found = []
        # It judges by the clock: what begins later is refused, what ends later stands on.
        clock = _moment(now)
        if alert["previous"] not in ("ok", alert["level"]):
            ends = {"endsAt": min(alert["window_start"], clock)}
            found.append({**self._one(name, alert, alert["previous"]), **ends})
        if alert["level"] != "ok":
            stands = now + timedelta(milliseconds=milliseconds(self.stands))
            since = min(alert["since"] or alert["window_start"], clock)
            one = self._one(name, alert, alert["level"])
            found.append({**one, "startsAt": since, "endsAt": _moment(stands)})
        return found

    def _one(self, name: str, alert: Alert, level: str) -> dict[str, Any]:
        param = alert["param"]
        about = {"field": param["field"], "aggregation": alert["aggregation"], "job": name}
        labels = {
            **self.labels,
            **{key: value for key, value in about.items() if value is not None},
            "alertname": alert["AnalysisModule"],
            "severity": level,
        }
        for key, value in alert["keys"].items():
            # A key that is called as another label stays a label of its own.
            free = _label(key)
            while free in labels:
                free = f"key_{free}"
            labels[free] = str(value)
        numbers = ("value", "lower_bound", "upper_bound")
        annotations = {
            "summary": alert["message"],
            **{key: str(param[key]) for key in numbers if param[key] is not None},
        }
        return {"labels": labels, "annotations": annotations}

    def described(self) -> dict[str, Any]:
        return {"at": place(self.url)}


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _label(name: str) -> str:
    legal = _ILLEGAL.sub("_", name)
    return f"_{legal}" if legal[:1].isdigit() else legal
