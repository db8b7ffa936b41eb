"""The settings `python -m dev.host` starts with, and what is wrong with them before anything runs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dev.host_app import HostError
from dev.host_queues import open_queue

STORAGE = "AzureWebJobsStorage"
OWN_TREE = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def read_local_settings(path: Path) -> dict[str, str]:
    """The Values of a local.settings.json; raises HostError naming the file and what is wrong."""
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise HostError(
            f"{path.name} is missing in {path.parent}: copy local.settings.example.json to it and fill it in."
        ) from None
    except ValueError as wrong:
        raise HostError(f"{path.name} is not JSON: {wrong}") from None
    values = raw.get("Values") if isinstance(raw, dict) else None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise HostError(f"{path.name} needs an object Values whose values are all texts.")
    if raw.get("IsEncrypted"):
        raise HostError(f"{path.name} is encrypted, which the local host cannot read.")
    if not values.get(STORAGE):
        raise HostError(f"{path.name} does not set {STORAGE}.")
    return values


def problems(root: Path, settings: Mapping[str, str]) -> list[str]:
    """A line for each: settings of Accord that are missing or wrong, a storage of this machine that does not answer."""
    return [*_refused(root, settings), *_silent(settings[STORAGE])]


def _refused(root: Path, settings: Mapping[str, str]) -> list[str]:
    if root.resolve() != OWN_TREE:
        return []  # somebody else's app, whose settings are its own matter
    from sync.errors import BadSettings
    from sync.settings import load

    try:
        load({**os.environ, **settings})
    except BadSettings as wrong:
        return list(wrong.problems)
    return []


def _silent(connection: str) -> list[str]:
    try:
        with open_queue(connection, "any") as client:
            address = urlsplit(client.url)
    except ValueError as wrong:
        return [f"{STORAGE} cannot be used: {wrong}"]
    if address.hostname not in LOOPBACK:
        return []
    try:
        socket.create_connection((address.hostname, address.port or 80), 2).close()
    except OSError:
        return [f"No storage answers on {address.netloc}: start `make azurite` first, in a terminal of its own."]
    return []
