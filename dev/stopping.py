"""Signals that ask a program to end, as an event that the rest of it waits for."""

from __future__ import annotations

import queue
import signal
import threading


def stop_by(*numbers: signal.Signals) -> threading.Event:
    """An event that is set when one of these signals comes.

    A handler may be interrupted by the next signal at any place. Event.set() holds a lock that a second call in the
    same thread would wait for without end; SimpleQueue.put() is made to be called again inside itself.
    """
    stop = threading.Event()
    signals: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait() -> None:
        signals.get()
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda *_: signals.put(None))
    return stop
