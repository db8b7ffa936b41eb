"""Exact counts of what clients asked for, and the exchanges as recorded."""

from __future__ import annotations

from collections import Counter

import orjson

from dev.tenant.exchange import Json, Request, Response
from dev.tenant.lazy import Bytes


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


def _read(body: Bytes) -> object:
    if not isinstance(body, bytes):
        return f"{len(body)} bytes"
    try:
        return orjson.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
