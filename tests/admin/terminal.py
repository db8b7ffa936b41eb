"""A command line in process: typed words in, what a person reads out; behind it the real application, not a copy."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func
import requests
from requests.adapters import BaseAdapter
from starlette.types import ASGIApp

from sync.admin.main import main
from sync.admin.shell import Shell
from tests.stage import Stage
from tests.web.web_world import KEY, the_web


class AppAdapter(BaseAdapter):
    """Leads requests to an application the way the Functions host does."""

    def __init__(self, application: ASGIApp) -> None:
        super().__init__()
        self._middleware = func.AsgiMiddleware(application)
        self.asked: list[str] = []
        self.sizes: list[int] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """One request."""
        body: Any = request.body or b""
        body = b"".join(body) if hasattr(body, "read") else body
        self.asked.append(f"{request.method} {urlsplit(request.url or '').path}")
        self.sizes.append(len(body))
        asked = func.HttpRequest(
            method=request.method or "",
            url=request.url or "",
            headers=dict(request.headers),
            params={},
            route_params={},
            body=body,
        )
        given = asyncio.run(self._middleware.handle_async(asked, None))
        return answer(request, given.status_code, dict(given.headers), given.get_body())

    def close(self) -> None:
        """There is nothing to close."""


def answer(request: requests.PreparedRequest, status: int, headers: dict[str, str], body: bytes) -> requests.Response:
    """An answer as requests hands it on."""
    made = requests.Response()
    made.status_code = status
    made.headers.update(headers)
    made.raw = io.BytesIO(body)
    made.request = request
    made.url = request.url or ""
    return made


class Far(BaseAdapter):
    """Somebody who is not Accord, or not well: answers the same to everything, or not at all."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        super().__init__()
        self._answer = status, dict(headers or {}), body
        self.fails: Exception | None = None
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """The same answer, or the same failure."""
        self.requests.append(request)
        if self.fails is not None:
            raise self.fails
        return answer(request, *self._answer)

    def close(self) -> None:
        """There is nothing to close."""


class Stream(io.TextIOWrapper):
    """Standard output or error, kept; on a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether somebody looks at it."""
        return self._terminal

    def bytes(self) -> bytes:
        """What was put out."""
        kept: Any = self.buffer
        return bytes(kept.getvalue())


class Keyboard(io.StringIO):
    """Standard input: what somebody types after thinking about it, or what comes through a pipe."""

    def __init__(self, typed: str, terminal: bool, thinking: Callable[[], None]) -> None:
        super().__init__(typed)
        self._terminal = terminal
        self._thinking = thinking

    def readline(self, *given: Any) -> str:
        """A line, when the thinking is done."""
        self._thinking()
        return super().readline(*given)

    def isatty(self) -> bool:
        """Whether somebody types."""
        return self._terminal


@dataclass(frozen=True, slots=True)
class Seen:
    """How a call ended and what it put out."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output."""
        return self.raw.decode()

    @property
    def json(self) -> Any:
        """Standard output, read."""
        return json.loads(self.raw)


@dataclass(slots=True)
class Terminal:
    """Somebody's shell. `typed` answers questions after `thinking`; while a command waits, `meanwhile` happens."""

    adapter: BaseAdapter | None
    folder: Path
    terminal: bool = False
    typed: str | None = None
    piped: str = ""
    thinking: Callable[[], None] = lambda: None
    meanwhile: Callable[[float], None] = lambda _seconds: None
    clock: Callable[[], float] = lambda: 0.0
    environment: dict[str, str] = field(default_factory=lambda: {"ACCORD_API_KEY": KEY, "COLUMNS": "120"})

    def __call__(self, *words: str) -> Seen:
        """Type a command."""
        out, err = Stream(self.terminal), Stream(self.terminal)
        keyboard = Keyboard(self.typed or self.piped, self.typed is not None, self.thinking)
        shell = Shell(self.environment, self.folder, keyboard, out, err, self.meanwhile, self.clock, self.adapter)
        status = main(list(words), shell)
        return Seen(status, out.bytes(), err.bytes().decode())


def a_terminal(stage: Stage, folder: Path, terminal: bool = False) -> Terminal:
    """A shell that leads to the application on a stage. While a command waits, the stage's workers work."""

    def worked(seconds: float) -> None:
        stage.settle(ticks=1)
        stage.clock.advance(seconds)

    return Terminal(
        AppAdapter(the_web(stage)),
        folder,
        terminal,
        meanwhile=worked,
        clock=lambda: stage.clock().timestamp(),
    )
