"""Timer triggers: one thread each, so that a timer never overlaps itself and never waits for another."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from azure.functions.timer import TimerRequest

from dev.host_app import Function, TimerTrigger
from dev.host_invoke import Cancelled, Failed, Invoker

log = logging.getLogger("dev.host")

# A long sleep drifts when the machine sleeps; the clock is looked at again at least this often.
LONGEST_SLEEP = 60.0


class Timer:
    """Fires one function by its schedule. A time that passes while the function runs is left out, as on Azure."""

    def __init__(self, function: Function, trigger: TimerTrigger, invoker: Invoker) -> None:
        self._function = function
        self._trigger = trigger
        self._invoker = invoker
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._last: datetime | None = None
        self._thread = threading.Thread(target=self._run, name=f"timer {function.name}", daemon=True)

    def start(self) -> None:
        """Begin to follow the schedule."""
        self._thread.start()

    def stop(self) -> None:
        """Fire no more; a run that goes on is not waited for."""
        self._stopping.set()

    def fire(self) -> None:
        """Run now, after a run that goes on has ended; raises Failed."""
        with self._one_at_a_time:
            now = datetime.now(UTC)
            previous, self._last = self._last, now
            self._invoker.invoke(self._function, self._argument(previous, now))

    def _run(self) -> None:
        if self._trigger.on_start:
            self._fire_quietly()
        while not self._stopping.is_set():
            due = self._trigger.schedule.next_after(datetime.now(UTC))
            while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
                if self._stopping.wait(min(left, LONGEST_SLEEP)):
                    return
            self._fire_quietly()

    def _fire_quietly(self) -> None:
        try:
            self.fire()
        except (Failed, Cancelled):
            # Already logged and counted; a failing timer keeps its schedule and is never tried again.
            log.debug("The timer %s waits for its next time.", self._function.name)

    def _argument(self, last: datetime | None, now: datetime) -> Any:
        following = self._trigger.schedule.next_after(now)
        status = {
            "Last": (last or datetime.min.replace(tzinfo=UTC)).isoformat(),
            "LastUpdated": now.isoformat(),
            "Next": following.isoformat(),
        }
        return TimerRequest(past_due=False, schedule_status=status, schedule={"AdjustForDST": True})
