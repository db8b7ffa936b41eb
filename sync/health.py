"""Whether everything that Accord depends on answers: all asked at the same time, and none waited for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.errors import AccordError, NeedsPerson, StorageUnavailable, Throttled
from sync.model import QUEUES
from sync.ports import Blobs, Clock
from sync.world import World

# All are asked at once, so nobody waits longer than this for the whole answer.
SECONDS = 10.0
# `tick` runs every minute.
LATE = timedelta(minutes=10)
TABLES = "tables"
_BLOB = "crm/addresses"


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency, and how it is asked: `ask` raises what is wrong. That of the tables gives the last tick."""

    name: str
    ask: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Dependency:
    """How a dependency answered. `sentence` is empty where all is well."""

    name: str
    ok: bool
    milliseconds: int
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How everything stands; `sentence` sums it up."""

    dependencies: tuple[Dependency, ...]
    last_tick: datetime | None
    sentence: str
    ok: bool


_Answer = tuple[Dependency, object]


def checks_of(
    world: World, blobs: Blobs, connection: str, token: Callable[[], object], reach: Callable[[], object]
) -> tuple[Check, ...]:
    """The dependencies of one connection: storage, sign-in (`token` gives one), Microsoft Graph (`reach` asks it)."""

    def graph() -> None:
        until = None
        with suppress(StorageUnavailable):  # that is the trouble of the tables, and said there
            until = world.state.waits(connection)
        if until is not None and until > world.clock():
            left = (until - world.clock()).total_seconds()
            raise Throttled("Microsoft asked us to wait; nothing is asked before that time is over.", left)
        reach()

    return (
        Check(TABLES, world.state.last_tick),
        Check("queues", lambda: world.queue.length(QUEUES["mail"])),
        Check("blobs", lambda: blobs.version(_BLOB)),
        Check("sign-in", token),
        Check("Microsoft Graph", graph),
    )


class Checks:
    """Asks the dependencies. A thread for each, however often it is asked: what hangs is not piled up."""

    def __init__(self, checks: Sequence[Check], clock: Clock, seconds: float = SECONDS) -> None:
        self._clock = clock
        self._checks = checks
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(len(checks), "health")
        self._asked: dict[str, Future[_Answer]] = {}
        self._lock = threading.Lock()

    def look(self) -> Health:
        """Ask everything now; no dependency is waited for longer than `seconds`."""
        asked = [self._ask(check) for check in self._checks]
        wait(asked, self._seconds)
        found = [
            future.result() if future.done() else _silent(check, self._seconds)
            for check, future in zip(self._checks, asked, strict=True)
        ]
        last = next((told for one, told in found if one.name == TABLES and isinstance(told, datetime)), None)
        return _summed(tuple(one for one, _ in found), last, self._clock())

    def close(self) -> None:
        """Ask nothing more; what is under way ends by its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, check: Check) -> Future[_Answer]:
        # A question that is still open is everybody's: whoever asks meanwhile waits for the same answer.
        with self._lock:
            before = self._asked.get(check.name)
            if before is None or before.done():
                before = self._asked[check.name] = self._pool.submit(_asked, check)
            return before


def _asked(check: Check) -> _Answer:
    started = time.monotonic()
    sentence, told = "", None
    try:
        told = check.ask()
    except NeedsPerson as refused:
        sentence = f"{refused.sentence} {refused.remedy}"
    except AccordError as wrong:
        sentence = wrong.sentence
    except Exception as wrong:  # noqa: BLE001 - of a foreign error the class alone: its text may hold anything
        sentence = f"It answered with an error nobody expected ({type(wrong).__name__})."
    return Dependency(check.name, not sentence, round((time.monotonic() - started) * 1000), sentence), told


def _silent(check: Check, seconds: float) -> _Answer:
    return Dependency(check.name, False, round(seconds * 1000), f"It did not answer within {seconds:g} seconds."), None


def _summed(found: tuple[Dependency, ...], last: datetime | None, now: datetime) -> Health:
    wrong = [one.name for one in found if not one.ok]
    sentences = [f"Not well: {', '.join(wrong)}."] if wrong else []
    if TABLES not in wrong:
        if last is None:
            sentences.append("The timer has not run yet, so nothing is queued.")
        elif now - last > LATE:
            sentences.append(f"The timer last ran at {last:%Y-%m-%d %H:%M} UTC, so nothing is queued since.")
    return Health(found, last, " ".join(sentences) or "Everything answers.", not sentences)
