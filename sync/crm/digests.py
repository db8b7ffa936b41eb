"""The list of address digests that all workers share: 8 bytes each, sorted, 8 MB for a million addresses.

1. The list stands in two files. The large one is never changed. `FILE` names it and holds the digests that came since:
   whoever looks for news asks for `FILE` alone, and whoever has news replaces `FILE`, over exactly the version read.
2. What came since moves into a new large file once it is more than a sixteenth of it. So adding an address writes no
   more than that, and adding a million of them in slices writes each a few times.
3. The list only grows: a digest too many costs one question to the rows. What is listed is listed before the call
   returns; other workers see it when they look again.
4. Both files bear seals. A file that is not there, as on the first day, or is not what was written, is made anew from
   the rows before anybody is taken for unknown. A worker killed between the two files leaves a large one behind that
   nobody names: it does no harm.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import uuid
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sync.errors import Retry, Stale
from sync.ports import Blob, Blobs, Clock

FILE = "crm/addresses"
ALONE = 4096  # digests that need no large file
PART = 16
TRIES = 10
_SEAL, _NAME = 16, 32  # bytes of a seal, and of what follows "crm/addresses-" in the name of the large file


@dataclass(frozen=True, slots=True)
class _Head:
    """What `FILE` says: the large file, its seal, and what came since. Without a large file the list is all here."""

    large: str = ""
    seal: bytes = bytes(_SEAL)
    recent: array[int] = field(default_factory=lambda: array("Q"))


class Digests:
    """The list as one worker has it. `rows` gives the digest of every row there is. Safe to share between threads."""

    def __init__(self, blobs: Blobs, rows: Callable[[], Iterable[int]], clock: Clock, refresh: timedelta) -> None:
        self._blobs = blobs
        self._rows = rows
        self._clock = clock
        self._refresh = refresh
        self._numbers: array[int] = array("Q")
        self._head = _Head()
        self._version = ""
        self._loaded: datetime | None = None
        self._loading = threading.Lock()

    def count(self) -> int:
        """How many digests the list had when it was last looked at."""
        return len(self._numbers)

    def fresh(self, now: datetime) -> array[int]:
        """The sorted list, no older than the refresh time: to be read, not changed."""
        loaded = self._loaded
        if loaded is not None and timedelta(0) <= now - loaded < self._refresh:
            return self._numbers
        # The first answer must wait for the list; later ones go on with the old list while one thread looks.
        if self._loading.acquire(blocking=loaded is None):
            try:
                if self._loaded is loaded:
                    self._look(now)
            finally:
                self._loading.release()
        return self._numbers

    def latest(self) -> array[int]:
        """The sorted list as it is now."""
        with self._loading:
            self._look(self._clock())
            return self._numbers

    def add(self, numbers: Collection[int]) -> None:
        """List these digests for all workers. Raises Retry where others keep changing the list."""
        for _ in range(TRIES):
            with self._loading:
                self._look(self._clock())
                missing = sorted({number for number in numbers if not holds(self._numbers, number)})
                # Written even where all are listed: whoever makes the list anew from rows that he read before these
                # were there finds another version of it, and reads again.
                if not numbers or self._publish(missing):
                    return
                if self._blobs.get(FILE) is None:  # lost while this worker was running; the rows are written already
                    self._make()
                    return
        raise Retry("Other workers are changing the list of addresses.", after=5)

    def rebuild(self) -> int:
        """Make the list anew from the rows, as a worker does that finds none; returns how many digests it has."""
        with self._loading:
            self._make()
            return len(self._numbers)

    # All below are called with `_loading` held.

    def _look(self, now: datetime) -> None:
        blob = self._blobs.get(FILE, unless=self._version)
        if blob is None and not self._version:
            self._make()
        elif blob is not None:
            self._take(blob)
        self._loaded = now

    def _take(self, blob: Blob) -> None:
        """Have the list that a new `FILE` describes."""
        for _ in range(TRIES):
            head = _opened(blob.data)
            if head is None:
                break
            numbers = self._numbers if head.large == self._head.large else self._large(head)
            if numbers is not None:
                self._numbers, self._head, self._version = merged(numbers, head.recent), head, blob.version
                return
            newer = self._blobs.get(FILE, unless=blob.version)
            if newer is None:
                break
            blob = newer  # the large file was replaced a moment ago
        self._make()

    def _large(self, head: _Head) -> array[int] | None:
        if not head.large:
            return array("Q")
        blob = self._blobs.get(f"{FILE}-{head.large}")
        return _from_bytes(blob.data) if blob and _seal(blob.data) == head.seal else None

    def _make(self) -> None:
        for _ in range(TRIES):
            blob = self._blobs.get(FILE)
            there = _opened(blob.data) if blob else None
            if self._replace(_sorted(self._rows()), blob.version if blob else "", there):
                return
        raise Retry("Other workers are changing the list of addresses.", after=5)

    def _publish(self, missing: Sequence[int]) -> bool:
        """Whether these were added; False where another worker was quicker."""
        head, numbers = self._head, merged(self._numbers, missing)
        recent = merged(head.recent, missing)
        if len(recent) > max(ALONE, (len(numbers) - len(recent)) // PART):
            return self._replace(numbers, self._version, head)
        return self._put(replace(head, recent=recent), numbers, self._version)

    def _replace(self, numbers: array[int], version: str, there: _Head | None) -> bool:
        """Whether the whole list was written anew over this version of `FILE`, which said `there`."""
        if len(numbers) <= ALONE:
            head = _Head(recent=numbers)
        else:
            data = _to_bytes(numbers)
            head = _Head(uuid.uuid4().hex, _seal(data))
            self._blobs.put(f"{FILE}-{head.large}", data)
        done = self._put(head, numbers, version)
        unused = (there.large if there else "") if done else head.large
        if unused:
            self._blobs.delete(f"{FILE}-{unused}")
        return done

    def _put(self, head: _Head, numbers: array[int], version: str) -> bool:
        try:
            written = self._blobs.put(FILE, _closed(head), version)
        except Stale:
            return False
        self._numbers, self._head, self._version = numbers, head, written
        return True


def merged(numbers: array[int], more: Sequence[int]) -> array[int]:
    """Sorted numbers with other sorted ones, each once."""
    if not more:
        return numbers
    found, start = array("Q"), 0
    for number in more:
        place = bisect_left(numbers, number, start)
        if place == len(numbers) or numbers[place] != number:
            found.extend(numbers[start:place])
            found.append(number)
            start = place
    found.extend(numbers[start:])
    return found


def holds(numbers: Sequence[int], number: int) -> bool:
    """Whether a sorted list has this number."""
    position = bisect_left(numbers, number)
    return position < len(numbers) and numbers[position] == number


def _sorted(numbers: Iterable[int]) -> array[int]:
    # A part at a time, for a million numbers as objects would take ten times their room.
    parts = [array("Q") for _ in range(256)]
    for number in numbers:
        parts[number >> 56].append(number)
    found = array("Q")
    for part in parts:
        found.extend(array("Q", sorted(set(part))))
    return found


def _closed(head: _Head) -> bytes:
    rest = head.large.encode().ljust(_NAME) + head.seal + _to_bytes(head.recent)
    return _seal(rest) + rest


def _opened(data: bytes) -> _Head | None:
    """What the bytes of `FILE` say, or None where they are not what was written."""
    seal, rest = data[:_SEAL], data[_SEAL:]
    if _seal(rest) != seal:
        return None
    start = _NAME + _SEAL
    return _Head(rest[:_NAME].decode().strip(), rest[_NAME:start], _from_bytes(rest[start:]))


def _seal(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_SEAL).digest()


def _to_bytes(numbers: array[int]) -> bytes:
    ordered = array("Q", numbers)
    if sys.byteorder == "little":
        ordered.byteswap()
    return ordered.tobytes()


def _from_bytes(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
