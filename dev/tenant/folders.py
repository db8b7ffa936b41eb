"""Folders with their messages in order of receipt and their log of changes, and those every mailbox starts with."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dev.tenant.mail import Message

# Well-known name, English display name, well-known parent, hidden. Parents come first.
DEFAULT_FOLDERS: tuple[tuple[str, str, str, bool], ...] = (
    ("msgfolderroot", "Top of Information Store", "", False),
    ("inbox", "Inbox", "msgfolderroot", False),
    ("drafts", "Drafts", "msgfolderroot", False),
    ("sentitems", "Sent Items", "msgfolderroot", False),
    ("deleteditems", "Deleted Items", "msgfolderroot", False),
    ("junkemail", "Junk Email", "msgfolderroot", False),
    ("outbox", "Outbox", "msgfolderroot", False),
    ("archive", "Archive", "msgfolderroot", False),
    ("conversationhistory", "Conversation History", "msgfolderroot", False),
    ("syncissues", "Sync Issues", "msgfolderroot", False),
    ("conflicts", "Conflicts", "syncissues", False),
    ("localfailures", "Local Failures", "syncissues", False),
    ("serverfailures", "Server Failures", "syncissues", False),
    ("clutter", "Clutter", "msgfolderroot", True),
    ("scheduled", "Scheduled", "msgfolderroot", True),
    ("searchfolders", "Finder", "", True),
    ("recoverableitemsdeletions", "Deletions", "", True),
)

Thing = TypeVar("Thing")


@dataclass(eq=False, slots=True)
class Entry(Generic[Thing]):
    """One thing as one log tells of it: the positions of its arrival and of its newest change, and whether it left."""

    id: str
    thing: Thing
    created: int = 0
    last: int = 0
    removed: bool = False


class Log(Generic[Thing]):
    """Changes in order. Position n means "after n changes", and mark(n) is a digest of the history up to there, so
    that a delta token is believed by a later process exactly if that process has the same history."""

    def __init__(self, digest: Callable[..., str], name: str) -> None:
        self.entries: list[Entry[Thing]] = []
        self._digest = digest
        self._forgotten = 0
        self._marks = [digest(8, "log", name)]

    def __len__(self) -> int:
        return len(self.entries)

    def mark(self, position: int) -> str:
        """The digest of the first `position` changes, empty where there are not that many."""
        if not 0 <= position < len(self._marks):
            return ""
        return self._marks[position] + (f".{self._forgotten}" if self._forgotten else "")

    def forget(self) -> None:
        """Drop the states that delta tokens stand for: from now on none given out so far is believed."""
        self._forgotten += 1

    def created(self, id: str, thing: Thing) -> Entry[Thing]:
        """Something arrives."""
        entry = Entry(id, thing, created=len(self.entries) + 1)
        self._add(entry, "created")
        return entry

    def updated(self, entry: Entry[Thing]) -> None:
        """Something changes."""
        self._add(entry, "updated")

    def removed(self, entry: Entry[Thing]) -> None:
        """Something leaves."""
        entry.removed = True
        self._add(entry, "removed")

    def _add(self, entry: Entry[Thing], what: str) -> None:
        self.entries.append(entry)
        entry.last = len(self.entries)
        self._marks.append(self._digest(8, self._marks[-1], entry.id, what))


class Timeline:
    """Messages in order of receipt, then of id; the lists of Graph are slices of it."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, Message]] = []
        self._sorted = True

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[tuple[int, str, Message]]:
        """(seconds since 1970, id, message), oldest first."""
        if not self._sorted:
            self._rows.sort(key=_place)
            self._sorted = True
        return self._rows

    def add(self, message: Message) -> None:
        """Take a message in; the order is restored at the next look."""
        self._rows.append((message.stamp, message.id, message))
        self._sorted = False

    def discard(self, message: Message) -> None:
        """Let a message go."""
        rows = self.rows
        at = bisect_left(rows, (message.stamp, message.id), key=_place)
        if at < len(rows) and rows[at][1] == message.id:
            del rows[at]

    def between(self, low: float | None, high: float | None) -> tuple[int, int]:
        """The slice of rows received at `low` or later and at `high` or earlier, in seconds since 1970."""
        rows = self.rows
        start = 0 if low is None else bisect_left(rows, low, key=lambda row: row[0])
        end = len(rows) if high is None else bisect_left(rows, True, key=lambda row: row[0] > high)
        return start, max(start, end)


def _place(row: tuple[int, str, Message]) -> tuple[int, str]:
    return row[:2]


@dataclass(eq=False, slots=True)
class Folder:
    """A mail folder; `parent` is an id."""

    id: str
    name: str
    parent: str
    hidden: bool
    known: str
    log: Log[Message]
    messages: Timeline = field(default_factory=Timeline)

    @property
    def unread(self) -> int:
        """How many of its messages are unread."""
        return sum(not message.read for _, _, message in self.messages.rows)
