"""A MaxMind file as a test needs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write_mmdb(path: Path, networks: Mapping[str, Any]) -> Path:
    """A real file of networks, of both versions, and what is known of each; it takes the place of
    the one before at once."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    written = path.with_suffix(".new")
    writer.to_db_file(str(written))
    written.replace(path)
    return path
