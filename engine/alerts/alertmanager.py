"""Alerts to an Alertmanager, by version 2 of its API."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from engine.alerts import Alert, Job, Sender, Target
from engine.alerts._http import Http, check_url, place
from engine.alerts._one_by_one import OneByOne
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say

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
    timeout: str = option(
        "how long a server that is away may hold up a micro-batch", "5 seconds", format="duration"
    )

    def check(self, say: Say) -> None:
        check_url("url", self.url, say)
        if (self.username is None) != (self.password is None):
            say("", "'username' and 'password' belong together", "")
        for name in self.labels:
            if _label(name) != name:
                say(f"labels/{name}", f"'{name}' is no name for a label", f"'{_label(name)}' is")

    def open(self, job: Job) -> Sender:
        seconds = milliseconds(self.timeout) / 1000
        http = Http(seconds)
        return OneByOne(partial(self._post, http, job.name), seconds, http.close)

    def _post(self, http: Http, name: str, alert: Alert) -> None:
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username is not None:
            login = b64encode(f"{self.username}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        body = json.dumps(self.told(name, alert), ensure_ascii=False).encode()
        http.post(f"{self.url.rstrip('/')}/api/v2/alerts", body, headers)

    def told(self, name: str, alert: Alert) -> list[dict[str, Any]]:
        """The alert as the API has it. An alert of another level is another one there, by its
        labels: so the one before ends with it."""
        found = []
        if alert["previous"] != "ok" and alert["previous"] != alert["level"]:
            found.append(
                {**self._one(name, alert, alert["previous"]), "endsAt": alert["window_end"]}
            )
        if alert["level"] != "ok":
            one = self._one(name, alert, alert["level"])
            one["startsAt"] = alert["since"] or alert["window_start"]
            found.append({**one, **({"endsAt": alert["until"]} if alert["until"] else {})})
        return found

    def _one(self, name: str, alert: Alert, level: str) -> dict[str, Any]:
        param = alert["param"]
        about = {"field": param["field"], "aggregation": alert["aggregation"], "job": name}
        labels = {
            **self.labels,
            **{_label(key): str(value) for key, value in alert["keys"].items()},
            **{key: value for key, value in about.items() if value is not None},
            "alertname": alert["AnalysisModule"],
            "severity": level,
        }
        numbers = ("value", "lower_bound", "upper_bound")
        annotations = {
            "summary": alert["message"],
            **{key: str(param[key]) for key in numbers if param[key] is not None},
        }
        return {"labels": labels, "annotations": annotations}

    def described(self) -> dict[str, Any]:
        return {"at": place(self.url)}


def _label(name: str) -> str:
    legal = _ILLEGAL.sub("_", name)
    return f"_{legal}" if legal[:1].isdigit() else legal
