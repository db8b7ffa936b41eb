"""What stands beside a mailbox: a status in a few words, why, what to do, and until when. Pure.

The statuses of section U in our own words; `docs/features.md` maps them. A wait of the connection or of the app is one
row, and the status of all their mailboxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.errors import (
    AccessDenied,
    AccordError,
    ConnectionGone,
    MailboxMissing,
    MalformedAnswer,
    NeedsPerson,
    Reset,
    Retry,
    SignInRefused,
    StorageUnavailable,
    Throttled,
)
from sync.model import PAUSED, Cause, MailboxRow, Trouble, Want

TITLES: Mapping[Cause, str] = {
    "off": "Switched off",
    "new": "Not looked at yet",
    "connected": "In agreement",
    "catching up": "Taking in old mail",
    "throttled": "Asked to wait",
    "unavailable": "Microsoft does not answer",
    "storage": "Storage does not answer",
    "malformed": "Answer not understood",
    "place lost": "Reading again",
    "sign-in": "Sign-in refused",
    "access": "Access denied",
    "mailbox": "No such mailbox",
    "connection": "Connection gone",
    "person": "Somebody must act",
    "error": "Error",
}
# Most special first: the first class that fits names the cause.
_CAUSES: tuple[tuple[type[AccordError], Cause], ...] = (
    (SignInRefused, "sign-in"),
    (AccessDenied, "access"),
    (MailboxMissing, "mailbox"),
    (ConnectionGone, "connection"),
    (NeedsPerson, "person"),
    (Throttled, "throttled"),
    (StorageUnavailable, "storage"),
    (MalformedAnswer, "malformed"),
    (Retry, "unavailable"),
    (Reset, "place lost"),
)
_RANK = {"waiting": 1, "failing": 2, "blocked": 3}
_CALM: Mapping[Cause, str] = {
    "off": "Nothing of this mailbox is read until it is switched on again.",
    "new": "It is looked at within a minute or two.",
    "connected": "",
    "catching up": "New mail is captured at once; old mail follows.",
}
# A stored sentence is no longer than this.
SHOWN = 4000


@dataclass(frozen=True, slots=True)
class Shown:
    """The status of a mailbox as a person reads it. `until` is when it goes on by itself, where that is known."""

    status: str
    cause: Cause
    title: str
    sentence: str = ""
    remedy: str = ""
    until: datetime | None = None


def trouble(error: Exception) -> Trouble:
    """What an error that stopped a run means for its stream.

    Of a bug the class only: the text of a foreign exception may hold what a mail says.
    """
    if not isinstance(error, AccordError):
        return Trouble("failing", "error", f"An unexpected error stopped the run ({type(error).__name__}).")
    cause: Cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "error")
    sentence = error.sentence[:SHOWN]
    if isinstance(error, NeedsPerson):
        return Trouble("blocked", cause, sentence, error.remedy)
    return Trouble("waiting" if isinstance(error, Retry | Reset) else "failing", cause, sentence)


def shown(row: MailboxRow, wants: Iterable[Want], shared: datetime | None, now: datetime) -> Shown:
    """The status of a mailbox by its row, its streams, and until when its connection or the app waits."""
    if row.off:
        return _calm("off", "off")
    troubles = [one for one in (row.trouble, *(want.trouble for want in wants)) if one is not None]
    worst = max(troubles, key=lambda one: _RANK[one.status], default=None)
    ends = [end for end in (row.not_before, shared) if end is not None and end > now]
    until = max(ends, default=None)
    if worst is not None and (worst.status != "waiting" or until is None):
        return Shown(worst.status, worst.cause, TITLES[worst.cause], worst.sentence, worst.remedy, until)
    if until is not None:
        sentence = f"Microsoft asked us to wait until {until:%H:%M:%S} UTC; it goes on by itself then."
        return Shown("waiting", "throttled", TITLES["throttled"], sentence, until=until)
    if not row.met:
        return _calm("new", "new")
    return _calm("connected", "catching up" if row.backfill in ("running", PAUSED) else "connected")


def _calm(status: str, cause: Cause) -> Shown:
    return Shown(status, cause, TITLES[cause], _CALM[cause])
