"""Throttling: how many requests at once, and how many in ten minutes.

Concurrency is counted where requests come in, beside the tenant's lock, so that requests that wait count too.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from urllib.parse import unquote

from dev.tenant.exchange import Refusal, Request

AT_ONCE = 4
RETRY_AFTER = 10
WINDOW = 600
_USER = re.compile(r"/users(?:/|\(')([^/'?\"\\]+)(?:'\))?/", re.IGNORECASE)


def mailbox_in(url: str) -> str:
    """The mailbox a URL asks, as it names it; empty where it asks none."""
    found = _USER.search(url)
    return unquote(found[1]).lower() if found else ""


def mailboxes_in(request: Request) -> Counter[str]:
    """How many requests to each mailbox this one is: itself, or the parts of a batch."""
    if request.url.lower().partition("?")[0].endswith("/$batch"):
        return Counter(unquote(one).lower() for one in _USER.findall(request.body.decode("utf-8", "replace")))
    name = mailbox_in(request.url)
    return Counter([name] if name else [])


@dataclass(frozen=True, slots=True)
class Grant:
    """What of a request may run now: of every `wanted` in a row for one mailbox (or "" for all), the first `given`."""

    per_app: bool
    wanted: Mapping[str, int]
    given: Mapping[str, int]

    def takes(self, mailbox: str, number: int, number_in_all: int) -> bool:
        """Whether the part that is `number`-th of its mailbox, and `number_in_all`-th of its batch, may run."""
        key, at = ("", number_in_all) if self.per_app else (mailbox, number)
        wanted = self.wanted.get(key, 0)
        return not wanted or at % wanted < self.given.get(key, 0)


class Traffic:
    """Who is being served right now. `high_water` is the most that clients had under way at once, per mailbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self.high_water: dict[str, int] = {}

    @contextmanager
    def during(self, mailboxes: Mapping[str, int], reading: str | None) -> Iterator[Grant]:
        """Count these mailboxes, with how many requests each, as being served until the end of the block.

        Graph works on at most four parts of a batch at once, and a refused request takes up no place.
        """
        with self._lock:
            grant = self._granted(mailboxes, reading)
            self._now.update(grant.given)
        try:
            yield grant
        finally:
            with self._lock:
                self._now.subtract(grant.given)

    def _granted(self, mailboxes: Mapping[str, int], reading: str | None) -> Grant:
        wanted = {name: min(amount, AT_ONCE) for name, amount in mailboxes.items()}
        for name, amount in wanted.items():
            self.high_water[name] = max(self.high_water.get(name, 0), self._now[name] + amount)
        in_all = min(sum(mailboxes.values()), AT_ONCE)
        if in_all:
            wanted[""] = in_all
        per_app = reading == "app"
        given = dict(wanted)
        for name, amount in wanted.items():
            if reading and per_app == (name == ""):
                given[name] = max(0, min(amount, AT_ONCE - self._now[name]))
        return Grant(per_app, wanted if reading else {}, given)


def too_many_at_once() -> Refusal:
    """The answer to the fifth request at once."""
    sentence = "Application is over its MailboxConcurrency limit."
    return Refusal(429, "ApplicationThrottled", sentence, {"Retry-After": str(RETRY_AFTER)})


class Quota:
    """Requests of the last ten minutes per mailbox. One that is refused counts on, so hammering never helps."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def count(self, mailbox: str, now: datetime, most: int | None) -> None:
        """Count a request; Refusal 429 where it is one too many."""
        if most is None or not mailbox:
            return
        at = now.timestamp()
        seen = self._seen.setdefault(mailbox, deque())
        while seen and seen[0] <= at - WINDOW:
            seen.popleft()
        seen.append(at)
        if len(seen) > most:
            wait = max(1, ceil(seen[len(seen) - most] + WINDOW - at)) if most else WINDOW
            sentence = f"The app made more than {most} requests to this mailbox in ten minutes."
            raise Refusal(429, "ApplicationThrottled", sentence, {"Retry-After": str(wait)})
