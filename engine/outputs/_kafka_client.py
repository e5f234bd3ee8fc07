"""Kafka's options, by their Java names, become kafka-python's; its errors become sentences."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.config.durations import milliseconds
from engine.outputs import OutputError, Say
from engine.outputs._kafka_greeting import refusal
from engine.outputs._patience import PassingError
from engine.source import nearest

#: Options that the engine sets itself: on them rests that nothing is lost or doubled.
OWN = {
    f"kafka.{name}"
    for name in (
        *("bootstrap.servers", "acks", "enable.idempotence", "transactional.id", "retries"),
        *("delivery.timeout.ms", "key.serializer", "value.serializer", "compression.type"),
    )
}
_AS_THEY_ARE = (
    *("client.id", "security.protocol", "sasl.mechanism", "sasl.kerberos.service.name"),
    *("ssl.key.password",),
)
_CHOICES = {
    "security.protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    # OAUTHBEARER would want code of the user's.
    "sasl.mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"),
}
_NUMBERS = (
    *("linger.ms", "batch.size", "max.request.size", "request.timeout.ms", "retry.backoff.ms"),
    *("metadata.max.age.ms", "connections.max.idle.ms", "send.buffer.bytes"),
    *("receive.buffer.bytes", "reconnect.backoff.ms", "reconnect.backoff.max.ms"),
    *("max.in.flight.requests.per.connection",),
)
_PROTOCOL = "kafka.security.protocol"
_JAAS, _CHECKS = "kafka.sasl.jaas.config", "kafka.ssl.endpoint.identification.algorithm"
_STORES = {"kafka.ssl.truststore": ("ssl_cafile",), "kafka.ssl.keystore": ("ssl_certfile",)}
_RENAMED = {"ssl_key_password": "ssl_password"}
KNOWN = (
    *(f"kafka.{name}" for name in (*_AS_THEY_ARE, *_NUMBERS)),
    *(_JAAS, _CHECKS),
    *(f"{store}.{about}" for store in _STORES for about in ("location", "type")),
)
_CREDENTIALS = re.compile(r"""\b(username|password)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]+)""")


_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check_brokers(options: Any, who: str, say: Say) -> None:
    """Tells problems of the options that say how brokers are reached."""
    if (options.bootstrap_servers is None) == (options.server is None):
        which = "either 'server' or 'bootstrap_servers'"
        say("", f"{who} needs {which}", "both name a broker")
    if milliseconds(options.timeout) == 0:
        say("timeout", "'timeout' must be more than 0", "such as '10 seconds'")
    unknown = False
    for name in options.passed:
        if name in OWN:
            say(name, f"'{name}' is set by the engine and cannot be changed", "leave it out")
        elif name not in KNOWN:
            unknown = True
            hint = nearest(name, KNOWN) or "known: " + ", ".join(sorted(KNOWN))
            say(name, f"unknown option '{name}'", hint)
    if not unknown:
        try:
            settings({name: of for name, of in options.passed.items() if name in KNOWN})
        except ValueError as error:
            name, message = error.args
            say(name, message, "see the documentation of Kafka's clients")


def check_topic(topic: str, say: Say) -> None:
    """Tells what cannot be a topic's name."""
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        hint = "letters, digits, '.', '_' and '-', at most 249 of them"
        say("topic", f"'{topic}' cannot be the name of a topic", hint)


def settings(passed: Mapping[str, str]) -> dict[str, Any]:
    """What kafka-python takes, of options by their Java names.

    Raises:
        ValueError: the name of an option that cannot be used, and why, in two parts.
    """
    found: dict[str, Any] = {}
    for name, value in passed.items():
        plain = name.removeprefix("kafka.")
        python = _RENAMED.get(plain.replace(".", "_"), plain.replace(".", "_"))
        if value not in _CHOICES.get(plain, (value,)):
            raise ValueError(name, f"'{name}' must be {_or(_CHOICES[plain])}, is '{value}'")
        if plain in _AS_THEY_ARE:
            found[python] = value
        elif plain in _NUMBERS:
            if not value.isdigit():
                raise ValueError(name, f"'{name}' must be a whole number, is '{value}'")
            found[python] = int(value)
        elif name == _CHECKS:
            found["ssl_check_hostname"] = value != ""
        elif name == _JAAS:
            found |= _credentials(value)
        elif name.endswith(".location"):
            for of in _STORES[name.removesuffix(".location")]:
                found[of] = value
        elif value.upper() != "PEM":
            raise ValueError(name, f"'{name}' must be PEM; Python reads no keystores of Java")
    if "SASL" in found.get("security_protocol", ""):
        _check_login(found)
    return found


def _check_login(found: Mapping[str, Any]) -> None:
    """A user needs a mechanism, and one with a password needs that."""
    if "sasl_mechanism" not in found:
        raise ValueError(_PROTOCOL, f"'{_PROTOCOL}' with SASL needs 'kafka.sasl.mechanism'")
    if found["sasl_mechanism"] != "GSSAPI" and "sasl_plain_password" not in found:
        told = f"'kafka.sasl.mechanism' {found['sasl_mechanism']} needs '{_JAAS}'"
        raise ValueError("kafka.sasl.mechanism", told)


def _or(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def _credentials(jaas: str) -> dict[str, str]:
    """User and password of what Java calls a JAAS config."""
    known = dict(_CREDENTIALS.findall(jaas))
    if set(known) != {"username", "password"}:
        raise ValueError(_JAAS, f'\'{_JAAS}\' lacks username="…" or password="…"')
    return {
        f"sasl_plain_{name}": re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
        for name, text in known.items()
    }


@dataclass(frozen=True)
class Brokers:
    """How brokers are reached. It is pickled.

    Args:
        options: kafka-python's; secrets among them.
    """

    addresses: str
    timeout_ms: int
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.addresses

    def producer(self, compression: str | None) -> Any:
        """A producer that sends each record once and until it is acknowledged."""
        from kafka import KafkaProducer

        from engine.outputs._kafka_partition import ByKey

        own = {
            "acks": "all",
            "enable_idempotence": True,
            "allow_auto_create_topics": False,
            # Nobody reads them, and they cost a third of the time of a record.
            "metrics_enabled": False,
            "compression_type": compression,
            # What is not acknowledged is sent again by the producer, which tells copies by their
            # numbers: whoever sent it once more would double it.
            "delivery_timeout_ms": 2**31 - 1,
            "max_block_ms": self.timeout_ms,
        }
        return self._made(
            KafkaProducer,
            {"linger_ms": 5, "batch_size": 131_072, "partitioner": ByKey(), **self.options, **own},
        )

    def admin(self) -> Any:
        from kafka.admin import KafkaAdminClient

        from_user = {"security_protocol", "sasl_mechanism", "client_id", "request_timeout_ms"}
        shared = {
            name: value
            for name, value in self.options.items()
            if name in from_user or name.startswith(("ssl_", "sasl_"))
        }
        # The client itself would take its whole time to find out nothing.
        self._greet()
        return self._made(KafkaAdminClient, shared)

    def _made(self, kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
        from kafka.errors import KafkaConnectionError, KafkaTimeoutError

        # What goes wrong is told by the engine, once and in a sentence.
        logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
        with told(self):
            try:
                return kind(
                    bootstrap_servers=self.addresses.split(","),
                    bootstrap_timeout_ms=self.timeout_ms,
                    **options,
                )
            except (KafkaConnectionError, KafkaTimeoutError):
                self._greet()
                raise

    def _greet(self) -> None:
        why = refusal(self.addresses, self.options, self.timeout_ms)
        if why is not None:
            raise OutputError(why)


def partitions(
    brokers: Brokers, topics: Sequence[str], operation: str = "WRITE"
) -> dict[str, int | None]:
    """How many partitions the topics have; None of one that there is not.

    Raises:
        OutputError: the user may not do that operation, ``READ`` or ``WRITE``, on one of them.
    """
    with told(brokers):
        admin = brokers.admin()
        try:
            present = set(admin.list_topics())
            known = [name for name in topics if name in present]
            about = admin.describe_topics(known) if known else []
        finally:
            admin.close()
    for each in about:
        # Brokers that check no rights say that everything is allowed.
        if operation not in (each.get("authorized_operations") or [operation]):
            to = "write to" if operation == "WRITE" else "read from"
            raise OutputError(f"the user may not {to} the topic '{each['name']}'")
    counts = {each["name"]: len(each["partitions"]) for each in about}
    return {name: counts.get(name) for name in topics}


@contextmanager
def told(brokers: Brokers) -> Iterator[None]:
    """Errors of Kafka as what may pass, or an ``OutputError``."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise judged(error, brokers) from None
    except OSError as error:
        raise PassingError(str(error).lower()) from None


def judged(error: Exception, brokers: Brokers) -> Exception:
    """What may pass, or an ``OutputError``."""
    from kafka import errors

    hopeless = {
        "SaslAuthenticationFailedError": "wrong user or password",
        "UnsupportedSaslMechanismError": "the brokers do not know this 'kafka.sasl.mechanism'",
        "TopicAuthorizationFailedError": "the user may not write to the topic",
        "ClusterAuthorizationFailedError": "the user may not write with acknowledged numbers; it "
        "needs IdempotentWrite on the cluster",
        "KafkaConfigurationError": "the options do not fit each other",
        "InvalidTopicError": "the topic's name is not allowed",
        "UnsupportedVersionError": "the brokers are too old",
        "PolicyViolationError": "the brokers' rules forbid the topic",
        "InvalidReplicationFactorError": "there are fewer brokers than 'replicas'",
    }
    name = type(error).__name__
    if name in hopeless:
        return OutputError(hopeless[name])
    if isinstance(error, errors.KafkaTimeoutError):
        return PassingError(f"no answer within {brokers.timeout_ms / 1000:g} s")
    if isinstance(error, errors.KafkaConnectionError):
        return PassingError("no broker can be reached")
    if isinstance(error, errors.RetriableError):
        return PassingError(f"the brokers answer {name.removesuffix('Error')}")
    return OutputError(f"the brokers answer {name.removesuffix('Error')}")
