"""A server's address becomes whether it speaks TLS there."""

from __future__ import annotations

import socket
import ssl


def speaks_tls(host: str, port: int | str, seconds: float) -> bool:
    """Whether the server answers with TLS, whoever it is; it is told nothing."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            # As text: a port that is no number is an address that nobody has.
            socket.create_connection((host, str(port)), seconds) as plain,  # type: ignore[arg-type]
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False
