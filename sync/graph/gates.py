"""The gates of one process: how many requests go to Microsoft Graph at once, and nothing while it told us to wait.

1. A mailbox has four slots. A batch takes all of them, calls on their own take one each and three at most (`pace`).
2. The app has a ceiling over all mailboxes that falls when Microsoft refuses and grows again (`pace`).
3. Slots are taken in one order, mailbox before app, and given back by whoever took them: nobody waits in a circle.
4. Each gate is passed in the order of arrival, so that a batch is not kept out for ever by calls that need less.
5. A refusal is noted before its slots are given back, and looked for behind the last gate: what has not been sent by
   then is not sent before the wait is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sync.errors import Scope, SlotTimeout, Throttled
from sync.pace import BATCH_SLOTS, MAILBOX_SLOTS, SINGLE_SLOTS, Pace
from sync.ports import Clock

# Waiting here is not the sleeping that functions must not do: what is waited for are calls of this very process, which
# end in a second as a rule, while a job that is put back reads its page once more. With the 50 seconds that an answer
# may take it stays within the minute that a single effect may take.
PATIENCE = 10.0
AGAIN = 2.0
_APP = ""


@dataclass(slots=True)
class _Line:
    used: int = 0
    waiting: deque[object] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Turn:
    """One request on its way: `halved` and `under_way` are how things stood when it got its slots."""

    gates: Gates
    mailbox: str | None
    halved: int
    under_way: int

    def check(self) -> None:
        """Raises Throttled where Microsoft told us to wait since the gates were passed."""
        self.gates.check(self.mailbox)

    def heard(self, refused: Sequence[Throttled]) -> None:
        """Tell what the answer asks to wait; nothing is a good answer."""
        self.gates.heard(self, refused)


class Gates:
    """All gates of one connection, shared by all threads. `patience` is in seconds of real time."""

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._pace = Pace()
        self._lines: dict[str, _Line] = {}
        self._until: dict[tuple[Scope, str], datetime] = {}

    @contextmanager
    def turn(self, mailbox: str | None, batch: bool) -> Iterator[Turn]:
        """Slots for one request until the end of the block; without a `mailbox` it passes the app's gate only.

        Raises Throttled while Microsoft told us to wait, and SlotTimeout where no slot became free in time.
        """
        slots = BATCH_SLOTS if batch else 1
        most = MAILBOX_SLOTS if batch else SINGLE_SLOTS
        deadline = time.monotonic() + self._patience
        own = self._slots(mailbox, mailbox, slots, lambda: most, deadline) if mailbox else nullcontext()
        with own, self._slots(_APP, mailbox, slots, lambda: self._pace.slots, deadline):
            with self._changed:
                turn = Turn(self, mailbox, self._pace.halved, self._lines[_APP].used)
            yield turn

    def check(self, mailbox: str | None) -> None:
        """Raises Throttled while Microsoft told this mailbox, the connection or the app to wait."""
        with self._changed:
            wait = self._wait(mailbox)
        if wait is not None:
            raise wait

    def heard(self, turn: Turn, refused: Sequence[Throttled]) -> None:
        """Note what an answer asks to wait. A wait of no known mailbox is for whoever knows whose it is."""
        with self._changed:
            now = self._clock()
            self._until = {key: until for key, until in self._until.items() if until > now}
            for one in refused:
                key = (one.scope, turn.mailbox or "" if one.scope == "mailbox" else "")
                if key != ("mailbox", ""):
                    self._until[key] = max(self._until.get(key, now), now + timedelta(seconds=one.after))
            if not refused:
                self._pace = self._pace.answered()
            elif any(one.scope == "mailbox" for one in refused):
                under_way = max(turn.under_way, self._lines[_APP].used)
                self._pace = self._pace.refused(turn.halved, under_way)
            self._changed.notify_all()

    @contextmanager
    def _slots(
        self, name: str, mailbox: str | None, slots: int, most: Callable[[], int], deadline: float
    ) -> Iterator[None]:
        """Slots of one gate, in the order of arrival."""
        with self._changed:
            line = self._lines.setdefault(name, _Line())
            try:
                self._queue(line, mailbox, slots, most, deadline)
            except BaseException:
                self._leave(name, line, 0)
                raise
        try:
            yield
        finally:
            with self._changed:
                self._leave(name, line, slots)

    def _queue(self, line: _Line, mailbox: str | None, slots: int, most: Callable[[], int], deadline: float) -> None:
        place = object()
        line.waiting.append(place)

        def fits() -> bool:
            return line.waiting[0] is place and line.used + slots <= most()

        def ready() -> bool:
            return fits() or self._wait(mailbox) is not None

        try:
            free = self._changed.wait_for(ready, max(0.0, deadline - time.monotonic()))
            wait = self._wait(mailbox)
            if wait is not None:
                raise wait
            if not free:
                raise SlotTimeout("Too many other requests of this process are under way.", AGAIN)
            line.used += slots
        finally:
            line.waiting.remove(place)
            self._changed.notify_all()

    def _leave(self, name: str, line: _Line, slots: int) -> None:
        line.used -= slots
        if not line.used and not line.waiting:
            del self._lines[name]
        self._changed.notify_all()

    def _wait(self, mailbox: str | None) -> Throttled | None:
        """The longest wait that concerns a request, with what is left of it."""
        now = self._clock()
        keys: list[tuple[Scope, str]] = [("app", ""), ("connection", ""), ("mailbox", mailbox or "")]
        until, scope = max((self._until.get(key, now), key[0]) for key in keys)
        if until <= now:
            return None
        sentence = "Microsoft Graph asked us to wait; nothing is sent before that time is over."
        return Throttled(sentence, (until - now).total_seconds(), scope=scope)
