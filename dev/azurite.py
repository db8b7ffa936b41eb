"""Azurite, Microsoft's storage emulator, as a program of ours: started on loopback, stopped by its own process id."""

from __future__ import annotations

import atexit
import base64
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

STOP_WITH_PARENT = Path(__file__).parent / "stop_with_parent.cjs"
SCRIPT = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
SECONDS_TO_START = 20
SECONDS_TO_STOP = 10
KINDS = ("Blob", "Queue", "Table")

_LISTENS = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://127\.0\.0\.1:\d+)")


class Azurite:
    """One running Azurite, from construction to `stop()`, also as a context manager.

    In memory without a `folder`; free ports unless `ports` (blob, queue, table) names some. `accounts` are pairs of
    name and base64 key; without them there is one account with a key made for this start. Raises RuntimeError with
    what to do where it cannot start.
    """

    def __init__(
        self,
        folder: Path | None = None,
        accounts: Sequence[tuple[str, str]] = (),
        ports: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        self._accounts = dict(accounts) or {"accord": new_key()}
        self._output: deque[str] = deque(maxlen=40)
        self._addresses: dict[str, str] = {}
        self._up = threading.Event()
        self._process = subprocess.Popen(
            _command(folder, ports),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in self._accounts.items())},
            process_group=0,  # Ctrl-C is for us; we stop Azurite when everything has been written
        )
        atexit.register(self.stop)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_up()

    def connection_string(self, account: str | None = None) -> str:
        """How the SDKs reach `account`, by default the first."""
        name = next(iter(self._accounts)) if account is None else account
        endpoints = "".join(f"{kind}Endpoint={self._addresses[kind]}/{name};" for kind in KINDS)
        return f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={self._accounts[name]};{endpoints}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> None:
        """Stop it with SIGTERM, which makes it write everything, and wait. Stopping twice is fine."""
        atexit.unregister(self.stop)
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Azurite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_up(self) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while not self._up.wait(0.1):
            if self._process.poll() is None and time.monotonic() < end:
                continue
            self.stop()
            raise RuntimeError("Azurite did not start. It said:\n" + "\n".join(self._output))

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._output.append(line.rstrip())
            if found := _LISTENS.search(line):
                self._addresses[found[1]] = found[2]
            if len(self._addresses) == len(KINDS):
                self._up.set()


def new_key() -> str:
    """A key for an account."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _command(folder: Path | None, ports: tuple[int, int, int]) -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("Azurite needs Node.js 18 or newer: no program 'node' is found on the PATH.")
    if not SCRIPT.is_file():
        raise RuntimeError('Azurite is not installed: "make run" and "make test" install it.')
    where = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder.absolute())]
    listen = [
        part
        for kind, port in zip(KINDS, ports, strict=True)
        for part in (f"--{kind.lower()}Host", "127.0.0.1", f"--{kind.lower()}Port", str(port))
    ]
    return [
        # Room for what is young: a fifth less of processor time.
        *(node, "--max-semi-space-size=32", "--require", str(STOP_WITH_PARENT), str(SCRIPT)),
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck", *where, *listen),
    ]
