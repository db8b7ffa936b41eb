"""Where the measured programs work: storage and tenant in processes of their own, ended by their own process id."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from dev.azurite import Azurite

ROOT = Path(__file__).parent.parent
SECONDS_TO_STOP = 10
SECONDS_TO_WORK = 900


@dataclass(frozen=True, slots=True)
class Stage:
    """A running tenant and an empty storage account."""

    storage: str
    port: int
    tenant_id: str
    client_id: str
    client_secret: str

    def arguments(self) -> list[str]:
        """How a measured program is told where to work."""
        return ["--storage", self.storage, *self.signing_in()]

    def signing_in(self) -> list[str]:
        """The same for a program that has no storage."""
        return [
            *("--port", str(self.port), "--tenant-id", self.tenant_id),
            *("--client-id", self.client_id, "--client-secret", self.client_secret),
        ]

    def counts(self) -> dict[str, int]:
        """What the tenant was asked so far, by its own count."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}/_tenant/counts", retries=False)
        return dict(answer.json())


@contextmanager
def stage(firm: Sequence[str]) -> Iterator[Stage]:
    """A fresh tenant with this firm (arguments of dev.tenant) and fresh storage, both in memory."""
    with Azurite() as azurite, _tenant(firm) as told:
        yield Stage(azurite.connection_string(), **told)


@contextmanager
def _tenant(firm: Sequence[str]) -> Iterator[dict[str, Any]]:
    process = _started("dev.tenant", [*firm, "--end-with-stdin"])
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("The tenant was started without pipes.")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"The tenant did not start (status {process.wait(SECONDS_TO_STOP)}).")
        yield json.loads(line)
    finally:
        # It ends with its standard input, so it never outlives us, however we die.
        if process.stdin is not None:
            process.stdin.close()
        _end(process, SECONDS_TO_STOP)


def printed(module: str, arguments: Sequence[str]) -> str:
    """What a program prints; RuntimeError where it fails. It is ended where we are interrupted."""
    process = _started(module, arguments)
    try:
        said, _ = process.communicate(timeout=SECONDS_TO_WORK)
    finally:
        _end(process, 0)
    if process.returncode:
        raise RuntimeError(f"python -m {module} failed with status {process.returncode}.")
    return said


def _started(module: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def _end(process: subprocess.Popen[str], patience: float) -> None:
    """Let it end by itself for so many seconds, then tell it to, then make it."""
    for wait, more in ((patience, process.terminate), (SECONDS_TO_STOP, process.kill), (None, process.kill)):
        try:
            process.wait(wait)
            break
        except subprocess.TimeoutExpired:
            more()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
