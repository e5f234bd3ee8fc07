"""Alerts become e-mails, handed to a server by SMTP."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.alerts import Alert, Target
from engine.alerts._sending import EachSender, key_text, values_of
from engine.alerts.webhook import check_timeout
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._patience import PassingError, RowError
from engine.template import filled, template_problem

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

_ADDRESS = re.compile(r"[!-~]+@[!-~]+")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, kw_only=True)
class Email(Target):
    """Hands an e-mail for each alert to a server, by SMTP."""

    METHOD: ClassVar[str] = "email"

    host: str = option("the server", nonempty=True)
    port: int | None = option(
        "its port; 587, 465 or 25 as 'tls' says", None, minimum=1, maximum=65_535
    )
    tls: Literal["starttls", "tls", "none"] = option(
        "how the connection is kept secret: from its second word on, from its first, or not at all",
        "starttls",
    )
    username: str | None = option("of the server's account", None, nonempty=True)
    password: str | None = option("the account's password", None, secret=True)
    sender: str = option("who writes", name="from", nonempty=True, example="plant@example.org")
    to: tuple[str, ...] = option("who is written to", nonempty=True, example=["ops@example.org"])
    subject: str = option("may hold {names}", "{level}: {rule} {param.key}", nonempty=True)
    body: str | None = option(
        "may hold {names}; the message and the numbers when absent", None, nonempty=True
    )
    timeout: str = option("for each answer of the server", "5 seconds", format="duration")
    ca_file: str | None = option(
        "who vouches for the server's certificate; the system's when absent", None, format="path"
    )

    def check(self, say: Say, known: Collection[str] | None) -> None:
        check_timeout(self.timeout, say)
        for place, each in [
            ("from", self.sender),
            *((f"to/{i}", a) for i, a in enumerate(self.to)),
        ]:
            if not _ADDRESS.fullmatch(each):
                say(place, f"'{each}' is no address", "write it such as 'plant@example.org'")
        if (self.username is None) != (self.password is None):
            absent = "password" if self.password is None else "username"
            say("", f"'{absent}' is missing", "an account has both")
        for name in ("subject", "body"):
            text = getattr(self, name)
            if text is not None and (wrong := template_problem(text, known)) is not None:
                say(name, *wrong)

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port or _PORTS[self.tls]}"

    def open(self, name: str) -> EmailSender:
        return EmailSender(self, name)

    def probe(self, name: str) -> str:
        sender = EmailSender(self, name)
        try:
            with sender.judging():
                sender.connected()
        finally:
            sender.close()
        return f"{self.server}: takes e-mails"

    def described(self) -> dict[str, Any]:
        return {"server": self.server, "to": ", ".join(self.to)}


class EmailSender(EachSender):
    """The side of a task: one connection, opened with the first e-mail."""

    def __init__(self, target: Email, name: str) -> None:
        super().__init__(name, secrets=[target.password or ""])
        self.target = target
        self.connection: smtplib.SMTP | None = None

    def deliver(self, alert: Alert) -> None:
        written = written_of(self.target, alert, self.name)
        with self.judging():
            self.connected().send_message(written)

    def connected(self) -> smtplib.SMTP:
        """The connection, logged in."""
        import smtplib
        import ssl

        if self.connection is not None:
            return self.connection
        target = self.target
        host, port = target.host, target.port or _PORTS[target.tls]
        seconds = milliseconds(target.timeout) / 1000
        context = ssl.create_default_context(cafile=target.ca_file)
        if target.tls == "tls":
            made: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=context)
        else:
            made = smtplib.SMTP(host, port, timeout=seconds)
        self.connection = made
        if target.tls == "starttls":
            made.starttls(context=context)
        if target.username is not None:
            made.login(target.username, target.password or "")
        return made

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Errors of SMTP as those of ``EachSender.deliver``; the connection is no more then."""
        import smtplib
        import ssl

        who = self.target.server
        try:
            yield
        except smtplib.SMTPAuthenticationError:
            self.close()
            raise OutputError(f"{who}: refuses the account '{self.target.username}'") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = {address: code for address, (code, _) in error.recipients.items()}
            refused = ", ".join(f"{address} ({code})" for address, code in codes.items())
            self.close()
            raise RowError(f"{who}: refuses {refused}") from None
        except smtplib.SMTPResponseException as error:
            self.close()
            code, said = error.smtp_code, error.smtp_error
            words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            told = f"{who}: answers {code} ({words})"
            raise (PassingError if code < 500 else RowError)(told) from None
        except smtplib.SMTPServerDisconnected:
            self.close()
            raise PassingError(f"{who}: the connection broke") from None
        except smtplib.SMTPException as error:  # it cannot do TLS, or knows no accounts
            self.close()
            raise OutputError(f"{who}: {error}") from None
        except ssl.SSLError as error:
            self.close()
            told = f"{who}: {error.reason or 'no TLS'}; check 'tls' and 'ca_file'"
            raise OutputError(told) from None
        except TimeoutError:
            self.close()
            raise PassingError(f"{who}: no answer within {self.target.timeout}") from None
        except OSError as error:
            self.close()
            why = (error.strerror or str(error)).lower()
            raise PassingError(f"{who}: cannot be reached ({why})") from None

    def close(self) -> None:
        made, self.connection = self.connection, None
        if made is not None:
            with suppress(Exception):
                made.quit()
            made.close()


def written_of(target: Email, alert: Alert, name: str) -> EmailMessage:
    """The e-mail. Its headers hold one line each, whatever a key's value is."""
    import hashlib
    from datetime import datetime, timezone
    from email.message import EmailMessage
    from email.utils import format_datetime

    values = values_of(alert, name)
    written = EmailMessage()
    written["From"] = target.sender
    written["To"] = ", ".join(target.to)
    subject = filled(target.subject, values)
    written["Subject"] = " ".join("".join(c if c.isprintable() else " " for c in subject).split())
    written["Date"] = format_datetime(datetime.now(timezone.utc))
    # The same when it is sent again: mail servers and readers drop what they have.
    unique = hashlib.sha256(str(alert["id"]).encode()).hexdigest()[:32]
    written["Message-ID"] = f"<{unique}@{target.sender.rpartition('@')[2]}>"
    written["Auto-Submitted"] = "auto-generated"
    text = _body(alert) if target.body is None else filled(target.body, values)
    written.set_content(text.encode("utf-8", "replace").decode())
    return written


def _body(alert: Alert) -> str:
    told = {
        "rule": alert["AnalysisModule"],
        "level": f"{alert['level']}, before {alert['previous']}",
        "key": key_text(alert),
        "window": f"{alert['window_start']} to {alert['window_end']}",
        **{f"{name}": f"{value}" for name, value in alert["measures"].items()},
    }
    lines = [f"{name}: {text}" for name, text in told.items() if text]
    return "\n".join([alert["message"], "", *lines, ""])
