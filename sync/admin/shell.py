"""What a command line is started in: environment, folder, streams, time, and the way to the service."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from requests.adapters import BaseAdapter

from sync.errors import BadCommand

URL = "ACCORD_URL"
KEY = "ACCORD_API_KEY"
DEFAULT_URL = "http://localhost:7071"
SETTINGS = "local.settings.json"
COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Shell:
    """Everything around one call. `adapter` leads to the service by another way than the network; tests pass it."""

    environment: Mapping[str, str]
    folder: Path
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    adapter: BaseAdapter | None = None

    @staticmethod
    def here() -> Shell:
        """The one this process was started in."""
        for stream in (sys.stdout, sys.stderr):
            # Names are in every script; a narrow locale shows a question mark instead of stopping.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return Shell(os.environ, Path.cwd(), sys.stdin, sys.stdout, sys.stderr)

    def width(self) -> int:
        """Columns of the terminal."""
        told = self.environment.get("COLUMNS", "")
        if told.isdecimal() and int(told) > 0:
            return int(told)
        try:
            return os.get_terminal_size(self.stdout.fileno()).columns or COLUMNS
        except OSError:
            return COLUMNS

    def bold(self) -> bool:
        """Whether the terminal may be asked for more than plain letters (https://no-color.org)."""
        plain = self.environment.get("NO_COLOR") or self.environment.get("TERM") == "dumb"
        return self.stdout.isatty() and not plain

    def url(self) -> str:
        """Where the service is, where no option says it."""
        return self.environment.get(URL) or DEFAULT_URL

    def key(self) -> str:
        """The API key: of the environment, or of the local settings in this folder. Raises BadCommand without one."""
        found = self.environment.get(KEY) or self._settings().get(KEY, "")
        if not isinstance(found, str) or not found:
            raise BadCommand(
                "There is no API key.",
                f"Set {KEY} to the key of the app's settings, or call this in the folder of a {SETTINGS} that has it.",
            )
        if not found.isascii() or not found.isprintable():
            raise BadCommand("The API key holds what no header can carry.", f"Look at {KEY}: it is printable ASCII.")
        return found.strip()

    def _settings(self) -> Mapping[str, object]:
        try:
            raw = json.loads((self.folder / SETTINGS).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            raise BadCommand(f"{SETTINGS} cannot be read.", f"Mend it, or set {KEY} in the environment.") from None
        values = raw.get("Values") if isinstance(raw, dict) else None
        return values if isinstance(values, dict) else {}
