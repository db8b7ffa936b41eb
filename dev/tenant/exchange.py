"""What passes between a client and the tenant: requests, answers, refusals, connections that break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dev.tenant.lazy import Bytes

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. `url` is absolute; links in the answer name its host."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header's value whatever the letter case of its name, or an empty text."""
        return header_of(self.headers, name)


@dataclass(frozen=True, slots=True)
class Break:
    """A connection that fails: `reset` after so many bytes of the answer, `timeout` after so many silent seconds,
    `connect_timeout` before it came about."""

    kind: Literal["reset", "timeout", "connect_timeout"]
    after: float


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. With `breaks` the door fails the connection instead of delivering all of it."""

    status: int
    headers: Mapping[str, str]
    body: Bytes = b""
    breaks: Break | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route says before it is written out: JSON as a dict, a file as bytes."""

    payload: Json | Bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """The tenant says no, with Microsoft's status and code and a message in our words."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def header_of(headers: Mapping[str, str], name: str) -> str:
    """A header's value whatever the letter case of its name, or an empty text."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def bad_request(message: str) -> Refusal:
    """The gateway's 400 for a request it cannot read."""
    return Refusal(400, "BadRequest", message)


def not_built(what: str) -> Refusal:
    """The loud answer to what this tenant does not imitate; the real service may well do it."""
    return Refusal(501, "NotImplemented", f"The simulated tenant does not know {what}. Teach it in dev/tenant.")
