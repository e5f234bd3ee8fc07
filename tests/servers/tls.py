"""Turns a folder into one with a certificate for 127.0.0.1 that signs itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.servers.process import ServerUnavailableError


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate, which clients trust as their authority, and its key; both PEM.

    Raises:
        ServerUnavailableError: There is no `openssl`, or it is too old.
    """
    public, private = folder / "certificate.pem", folder / "key.pem"
    words = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
        *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        *("-out", str(public), "-keyout", str(private)),
    ]
    try:
        subprocess.run(words, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise ServerUnavailableError(
            "a certificate for TLS needs the command 'openssl' on the path"
        ) from None
    except subprocess.CalledProcessError as error:
        raise ServerUnavailableError(f"openssl makes no certificate:\n{error.stderr}") from None
    return public, private
