"""Brokers that do not let a client in become the reason.

kafka-python has none to give: it tries on until its time is over, with a wrong password too, and
overlooks an answer behind which the broker closes the connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from engine.outputs._tls import speaks_tls

_TRUST, _OWN = "kafka.ssl.truststore.location", "kafka.ssl.keystore.location"
_CHECK = "check 'kafka.security.protocol' and the port"
#: How a user is told with a password; what GSSAPI says is left to the client.
_BY_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class _RefusedError(Exception):
    """The reason, which stays."""


def refusal(addresses: str, options: Mapping[str, Any], timeout_ms: int) -> str | None:
    """Why a broker does not let the client in; None where they all do, or where it may pass.

    Args:
        options: kafka-python's.
    """
    try:
        context = _context(options) if "SSL" in options.get("security_protocol", "") else None
        for address in addresses.split(","):
            _greet(address.strip(), context, options, timeout_ms / 1000)
    except _RefusedError as error:
        return str(error)
    return None


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """What TLS trusts in, and shows."""
    trusted, own = options.get("ssl_cafile"), options.get("ssl_certfile")
    try:
        context = ssl.create_default_context(cafile=trusted)
    except OSError as error:
        raise _RefusedError(_unread(error, _TRUST, trusted, "certificates")) from None
    context.check_hostname = options.get("ssl_check_hostname", True)
    if own is not None:
        try:
            # Without a password a terminal would be asked for one.
            context.load_cert_chain(own, password=options.get("ssl_password", ""))
        except OSError as error:
            raise _RefusedError(_unread(error, _OWN, own, "a certificate and its key")) from None
    return context


def _unread(error: OSError, option: str, path: str | None, content: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"'{option}': '{path}' does not hold {content}, as PEM"
    return f"'{option}': '{path}': {(error.strerror or 'it cannot be read').lower()}"


def _greet(
    address: str, context: ssl.SSLContext | None, options: Mapping[str, Any], seconds: float
) -> None:
    """Says to a broker who the client is.

    Raises:
        _RefusedError: it does not let it in.
    """
    try:
        _Talk(address, None, seconds).socket.close()
    except OSError:  # away, which may pass
        return
    try:
        with _Talk(address, context, seconds) as talk:
            talk.log_in(options)
    except ssl.SSLCertVerificationError as error:
        told = f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
        raise _RefusedError(f"{told}; name its authority's in '{_TRUST}'") from None
    except OSError as error:
        if "ALERT" in str(getattr(error, "reason", "")):
            told = f"the broker does not trust the client's certificate, or wants one; see '{_OWN}'"
            raise _RefusedError(told) from None
        if (why := _other_way(address, context, options, seconds)) is not None:
            raise _RefusedError(f"the broker {why}; {_CHECK}") from None


def _other_way(
    address: str, context: ssl.SSLContext | None, options: Mapping[str, Any], seconds: float
) -> str | None:
    """What the broker would answer to; None where that is not known."""
    from kafka.errors import IllegalSaslStateError

    if context is None and speaks_tls(*_split(address), seconds):
        return "speaks TLS"
    if context is not None and _handshake(address, None, seconds) is not None:
        return "speaks no TLS"
    if "SASL" not in options.get("security_protocol", ""):
        code = _handshake(address, context, seconds)
        if code not in (None, IllegalSaslStateError.errno):
            return "asks for a user"
    return None


def _handshake(address: str, context: ssl.SSLContext | None, seconds: float) -> int | None:
    try:
        with _Talk(address, context, seconds) as talk:
            return talk.shake_hands("PLAIN")
    except OSError:
        return None


def _split(address: str) -> tuple[str, str]:
    host, _, port = (address if ":" in address else f"{address}:9092").rpartition(":")
    return host.strip("[]"), port


class _Talk:
    """A connection with a broker, on which questions are answered one by one."""

    def __init__(self, address: str, context: ssl.SSLContext | None, seconds: float) -> None:
        from kafka.protocol.parser import KafkaProtocol

        self.host, port = _split(address)
        # As text, so that a port that is none is an address that nobody has.
        self.socket = socket.create_connection((self.host, port), seconds)  # type: ignore[arg-type]
        try:
            if context is not None:
                self.socket = context.wrap_socket(self.socket, server_hostname=self.host)
        except BaseException:
            self.socket.close()
            raise
        self.protocol = KafkaProtocol()

    def __enter__(self) -> _Talk:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def log_in(self, options: Mapping[str, Any]) -> None:
        from kafka.errors import IllegalSaslStateError, UnsupportedSaslMechanismError
        from kafka.net.sasl import get_sasl_mechanism
        from kafka.protocol.metadata import MetadataRequest
        from kafka.protocol.sasl import SaslAuthenticateRequest

        if "SASL" not in options.get("security_protocol", ""):
            # A broker that asks for a user closes the connection now.
            self.ask(MetadataRequest(topics=[], version=1))
            return
        name = options["sasl_mechanism"]
        code = self.shake_hands(name)
        if code == IllegalSaslStateError.errno:
            raise _RefusedError(f"the broker asks for no user; {_CHECK}")
        if code == UnsupportedSaslMechanismError.errno:
            raise _RefusedError(f"the brokers do not know the 'kafka.sasl.mechanism' {name}")
        if name not in _BY_PASSWORD:
            return
        mechanism = get_sasl_mechanism(name)(host=self.host, **options)
        while not mechanism.is_done():
            answer = self.ask(SaslAuthenticateRequest(mechanism.auth_bytes(), version=1))
            if answer.error_code:
                raise _RefusedError("wrong user or password; check 'kafka.sasl.jaas.config'")
            mechanism.receive(answer.auth_bytes)

    def shake_hands(self, mechanism: str) -> int:
        """What the broker says to a mechanism of SASL: 0, or the number of an error."""
        from kafka.protocol.sasl import SaslHandshakeRequest

        code: int = self.ask(SaslHandshakeRequest(mechanism, version=1)).error_code
        return code

    def ask(self, question: Any) -> Any:
        from kafka.errors import KafkaError

        self.protocol.send_request(question)
        self.socket.sendall(self.protocol.send_bytes())
        try:
            while data := self.socket.recv(4096):
                if answers := self.protocol.receive_bytes(data):
                    return answers[0][1]
        except KafkaError as error:  # TLS answers in its own language
            raise ConnectionResetError(str(error)) from None
        raise ConnectionResetError("the broker closed the connection")
