"""The file of certificates by which a server is trusted, as several targets have it."""

from __future__ import annotations

from typing import Any

from engine.option import option
from engine.outputs import Say


def ca_file_option() -> Any:
    """The option ``ca_file``."""
    return option(
        "certificates of authorities that vouch for the server, as PEM; the system's when absent",
        None,
        nonempty=True,
        format="path",
    )


def check_ca_file(ca_file: str | None, is_used: bool, say: Say, hint: str) -> None:
    """Tells a file that is not asked, is not there, or has no certificates.

    Args:
        hint: what makes it be asked.
    """
    if ca_file is None:
        return
    if not is_used:
        say("ca_file", "'ca_file' is of no use without TLS", hint)
        return
    # OpenSSL, which a check has no other use for.
    import ssl

    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        say("ca_file", f"'{ca_file}' has no certificates", "certificates, as PEM")
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        say("ca_file", f"'{ca_file}' cannot be read: {told}", "certificates, as PEM")
