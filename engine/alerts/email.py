"""Alerts by electronic mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import localtime
from typing import Any, ClassVar, Literal

from engine.alerts import Alert, Job, Sender, Target
from engine.alerts._one_by_one import OneByOne, PartlyError, RefusedError
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._authorities import ca_file_option, check_ca_file
from engine.outputs._patience import PassingError
from engine.template import filled, problems

_PORTS = {"none": 25, "starttls": 587, "tls": 465}


@dataclass(frozen=True, kw_only=True)
class Email(Target):
    """Sends a message for each alert by SMTP."""

    METHOD: ClassVar[str] = "email"

    host: str = option("the SMTP server", nonempty=True)
    port: int | None = option(
        "its port; 25, 587 or 465 by 'tls' when absent", None, minimum=1, maximum=65_535
    )
    tls: Literal["none", "starttls", "tls"] = option(
        "how the connection is kept secret", "starttls"
    )
    username: str | None = option("for the server", None)
    password: str | None = option("for the server", None, secret=True)
    sender: str = option("who it is from", nonempty=True, name="from")
    to: tuple[str, ...] = option("who gets it", nonempty=True, example=["shift@plant.example"])
    subject: str = option("with {fields} of the alert", "[{level}] {rule}: {series}")
    body: str = option(
        "with {fields} of the alert", "{message}\n\n{window_start} to {window_end}\n"
    )
    ca_file: str | None = ca_file_option()
    timeout: str = option(
        "how long a server that is away may hold up a micro-batch", "5 seconds", format="duration"
    )

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        for name in ("subject", "body"):
            for message, hint in problems(getattr(self, name), known):
                say(name, message, hint)
        for name, address in (
            ("from", self.sender),
            *((f"to/{i}", a) for i, a in enumerate(self.to)),
        ):
            if "@" not in address or any(c.isspace() or c == "," for c in address):
                say(name, f"'{address}' is no address", "such as shift@plant.example")
        check_ca_file(self.ca_file, self.tls != "none", say, 'write "tls": "starttls"')
        if (self.username is None) != (self.password is None):
            say("", "'username' and 'password' belong together", "")

    def open(self, job: Job) -> Sender:
        return OneByOne(self._mail, milliseconds(self.timeout) / 1000)

    def message(self, alert: Alert) -> EmailMessage:
        """The message about an alert, known by its id: a reader shows a copy once."""
        found = EmailMessage()
        # A header is one line, whatever a key holds.
        found["Subject"] = " ".join(filled(self.subject, alert).split())
        found["From"], found["To"] = self.sender, ", ".join(self.to)
        found["Message-ID"] = f"<{alert['id']}@ts-engine>"
        found["Date"] = localtime()
        found["X-Alert-Level"] = alert["level"]
        found.set_content(filled(self.body, alert))
        return found

    def _mail(self, alert: Alert) -> None:
        with self._server() as server:
            refused = server.send_message(self.message(alert))
        if refused:
            raise PartlyError(f"{self.host}: {', '.join(refused)} cannot be told")

    def probe(self) -> str:
        try:
            with self._server() as server:
                self._offer(server)
        except RefusedError as error:
            raise OutputError(str(error)) from None
        return f"{self.host}: takes mail of {self.sender} for {', '.join(self.to)}"

    def _offer(self, server: smtplib.SMTP) -> None:
        """Names who a message would be from and who would get it, and sends none."""
        server.ehlo_or_helo_if_needed()
        code, _ = server.mail(self.sender)
        if code != 250:
            raise RefusedError(f"{self.host} answers {code}: '{self.sender}' may not send there")
        unknown = [each for each in self.to if server.rcpt(each)[0] not in (250, 251)]
        server.rset()
        if unknown:
            raise RefusedError(f"{self.host}: {', '.join(unknown)} cannot be told")

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """The server, which knows who we are.

        Raises:
            PassingError: it is away or busy, now or in the block.
            RefusedError: it takes no message of ours, or not this one.
        """
        try:
            with self._connection() as server:
                if self.tls == "starttls":
                    server.starttls(context=ssl.create_default_context(cafile=self.ca_file))
                if self.username is not None and self.password is not None:
                    server.login(self.username, self.password)
                yield server
        except smtplib.SMTPAuthenticationError:
            raise RefusedError(f"{self.host}: wrong user or password") from None
        except smtplib.SMTPRecipientsRefused:
            raise RefusedError(f"{self.host}: nobody of 'to' is known") from None
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(f"{self.host}: {error}") from None
        except smtplib.SMTPResponseException as error:
            kind = PassingError if error.smtp_code < 500 else RefusedError
            raise kind(f"{self.host} answers {error.smtp_code}") from None
        except ssl.SSLError as error:
            raise RefusedError(f"{self.host}: no trust: {error.reason}") from None
        except (smtplib.SMTPException, OSError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise PassingError(f"{self.host} cannot be reached: {why}".lower()) from None

    def _connection(self) -> smtplib.SMTP:
        seconds = max(milliseconds(self.timeout) / 1000, 0.1)
        port = self.port or _PORTS[self.tls]
        if self.tls == "tls":
            context = ssl.create_default_context(cafile=self.ca_file)
            return smtplib.SMTP_SSL(self.host, port, timeout=seconds, context=context)
        return smtplib.SMTP(self.host, port, timeout=seconds)

    def described(self) -> dict[str, Any]:
        return {"host": self.host, "to": ", ".join(self.to)}
