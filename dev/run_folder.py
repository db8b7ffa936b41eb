"""The demo's data folders, one for the sample and one for each path of mail: a lock, and what was settled once."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

DATA = Path(__file__).parent.parent / ".data"
USUAL_PORT = 7071
SECONDS_TO_LET_GO = 10


class InUse(Exception):
    """Another start works on this data folder; the text says so to a person."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What the first start settles for all later ones: ids, delta tokens and row keys hang on it.

    `contacts` is a digest of the contacts that were imported, `owner` whose mail a DATA path turned out to be, `mail`
    the inventory of its files when they were loaded.
    """

    day: str
    storage_key: str
    digest_key: str
    api_key: str
    port: int
    owner: str = ""
    contacts: str = ""
    mail: str = ""


class DataFolder:
    """An open data folder; nobody else opens it before close(), not even after this process is killed hard."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = _locked(path / "lock")
        file = path / "settled.json"
        self.first = not file.exists()
        self.settled = _new() if self.first else Settled(**json.loads(file.read_text("utf-8")))
        if self.first:
            self._write()

    def settle(self, owner: str | None = None, contacts: str | None = None, mail: str | None = None) -> None:
        """Remember whose mail it is, which contacts are in the CRM, or which files the mail was in."""
        kept = self.settled
        self.settled = replace(
            kept,
            owner=kept.owner if owner is None else owner,
            contacts=kept.contacts if contacts is None else contacts,
            mail=kept.mail if mail is None else mail,
        )
        self._write()

    def wait_for_storage(self) -> None:
        """Let the storage of a start that was killed finish writing; it ends by itself soon after."""
        end = time.monotonic() + SECONDS_TO_LET_GO
        file = self.path / "storage.pid"
        while file.exists() and time.monotonic() < end and _alive(int(file.read_text("ascii") or 0)):
            time.sleep(0.1)

    def note_storage(self, pid: int | None) -> None:
        """Note the process id of the storage while it runs."""
        file = self.path / "storage.pid"
        if pid is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(str(pid), "ascii")

    @property
    def day(self) -> date:
        """The day of the first start."""
        return date.fromisoformat(self.settled.day)

    def port(self) -> int:
        """The settled port, or a free one where somebody else has it now."""
        return self.settled.port if _free(self.settled.port) else 0

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()

    def _write(self) -> None:
        # Written beside and moved over: a start that dies here leaves the old file whole.
        beside = self.path / "settled.json.new"
        beside.touch(0o600)
        beside.write_text(json.dumps(asdict(self.settled), indent=1), "utf-8")
        beside.replace(self.path / "settled.json")


def folder_for(data: Path | None, owner: str, base: Path) -> Path:
    """Where the sample's data lives, or that of a path (and of the owner somebody named for it)."""
    if data is None:
        return base / "sample"
    named = "\0".join([str(data.resolve()), owner.strip().lower()]).encode("utf-8", "surrogateescape")
    return base / hashlib.blake2b(named, digest_size=8).hexdigest()


def inventory(data: Path) -> str:
    """The number of files of a path of mail and a digest of their names and sizes: cheap, whatever they hold."""
    found = [data] if data.is_file() else sorted(file for file in data.rglob("*") if file.is_file())
    digest = hashlib.blake2b(digest_size=8)
    for file in found:
        named = f"{file.relative_to(data)}\0{_size(file)}\0"
        digest.update(named.encode("utf-8", "surrogateescape"))
    return f"{len(found)} {digest.hexdigest()}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1  # it went while we looked


def _new() -> Settled:
    return Settled(
        day=datetime.now(UTC).date().isoformat(),
        storage_key=base64.b64encode(secrets.token_bytes(64)).decode(),
        digest_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        api_key=secrets.token_urlsafe(24),
        port=USUAL_PORT if _free(USUAL_PORT) else _any_port(),
    )


def _locked(path: Path) -> IO[str]:
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise InUse(
            f"Accord already runs on {path.parent}" + (f" (process {holder})" if holder else "") + ": stop it first."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's process has the number now
    return pid > 0


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
