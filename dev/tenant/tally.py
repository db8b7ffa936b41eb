"""Exact counts of what clients asked for, the exchanges as recorded, and how many requests ran at once."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

import orjson

from dev.tenant.exchange import Json, Request, Response

_USER = re.compile(r"/users(?:/|\(')([^/'?\"]+)", re.IGNORECASE)
_AT_ONCE = 4


class Tally:
    """Counters. `units` are requests as throttling counts them: each part of a batch, the batch itself not."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.bodies_read: set[tuple[str, str]] = set()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self._counts[name] += amount

    def read(self, address: str, id: str) -> None:
        """Somebody was shown what a message says; `id` is its immutable id."""
        self._counts["body_reads"] += 1
        self.bodies_read.add((address, id))

    def counts(self) -> dict[str, int]:
        """A copy of all counters."""
        return dict(self._counts)


class Traffic:
    """Who is being served right now, per mailbox; counted beside the tenant's lock, so that waiting requests count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.high_water: dict[str, int] = {}

    @contextmanager
    def during(self, users: Mapping[str, int]) -> Iterator[None]:
        """Count these mailboxes, with how many requests each, as being served until the end of the block."""
        with self._lock:
            for user, amount in users.items():
                self._now[user] += amount
                self.high_water[user] = max(self.high_water.get(user, 0), self._now[user])
        try:
            yield
        finally:
            with self._lock:
                self._now.subtract(users)


def users_of(request: Request) -> dict[str, int]:
    """The mailboxes a request asks, as it names them. Graph works on at most four parts of a batch at once."""
    text = request.body.decode("utf-8", "replace") if request.url.lower().endswith("/$batch") else request.url
    found = Counter(unquote(user).lower() for user in _USER.findall(text))
    return {user: min(amount, _AT_ONCE) for user, amount in found.items()}


def exchange_of(request: Request, response: Response, exempt: str) -> Json:
    """A request with its answer in the form the contract check reads; `exempt` names what was injected, if anything."""
    kept = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return {
        "method": request.method,
        "url": request.url,
        "requestHeaders": kept,
        "requestBody": _read(request.body),
        "status": response.status,
        "responseHeaders": dict(response.headers),
        "responseBody": _read(response.body),
        "exempt": exempt,
    }


def _read(body: bytes) -> object:
    try:
        return orjson.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
