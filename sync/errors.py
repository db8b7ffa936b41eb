"""Every error Accord raises on purpose, and what each one means for the queue.

    AccordError
    |- Retry                come back later, costs no attempt
    |  |- Throttled         Microsoft asked us to wait
    |  |- Unavailable       no answer, or a passing server error
    |  |  |- SlotTimeout    this process's own calls left no slot free in time
    |  |  `- StorageUnavailable   the storage did not answer, or is busy
    |  `- MalformedAnswer   an answer that is not what Graph documents
    |- NeedsPerson          an administrator must act: a sentence and a remedy
    |  |- SignInRefused     Microsoft refused to sign the app in
    |  |- AccessDenied      signed in, but not allowed to read this
    |  |- MailboxMissing    no such mailbox, or none behind this licence
    |  |- BadCommand        a command line that cannot be followed as it stands
    |  |- Refused           the service refused what the command line asked for
    |  `- NotReached        the service did not answer, or not to this key
    |- Reset                forget a place and start again from a safer one
    |  `- CursorGone        Microsoft no longer knows this delta link
    |- Conflict             somebody else was quicker: read again and decide again
    |  |- Exists            a row that must be new is there already
    |  |- Stale             a row changed since it was read
    |  `- LeaseLost         this run lost its lease and must write nothing more
    |- Gone                 what was asked for is not there any more
    |- BadItem              one message, row or file is unusable, all beside it go on
    |- BadJob               a queue message this release cannot read
    |- ForeignLink          a link that leaves Microsoft Graph: never followed
    |- TooLarge             a value, a group of rows or an answer above a limit
    |- BadPolicy            a policy with all its problems, at once
    `- BadSettings          all settings that are missing, unknown or wrong, at once

Anything else is a bug: it rises, the host counts it and parks the job on the poison queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

# Whom a wait of Microsoft's concerns: the whole app, one connection (sign-in, directory), or one mailbox.
Scope = Literal["app", "connection", "mailbox"]


class AccordError(Exception):
    """The root. `sentence` is what an administrator reads: no content, no secret, no address."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Retry(AccordError):
    """Come back in `after` seconds; the job is put back with that delay."""

    def __init__(self, sentence: str, after: float) -> None:
        super().__init__(sentence)
        self.after = after


class Throttled(Retry):
    """Microsoft answered 429, or 503 or 504 with a Retry-After: nothing is asked within `scope` before `after`."""

    def __init__(self, sentence: str, after: float, *, scope: Scope = "mailbox") -> None:
        super().__init__(sentence, after)
        self.scope = scope


class Unavailable(Retry):
    """Microsoft Graph did not answer, or answered with a passing server error."""


class SlotTimeout(Unavailable):
    """Calls under way in this process left no slot free in time; nothing was asked."""


class StorageUnavailable(Unavailable):
    """The storage did not answer, or answered that it is busy, after all tries of its client."""


class MalformedAnswer(Retry):
    """Microsoft Graph answered with something that cannot be read as documented."""


class NeedsPerson(AccordError):
    """Somebody must act; `remedy` says what to do next."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.remedy = remedy


class SignInRefused(NeedsPerson):
    """Microsoft Entra refused to give the app a token."""


class AccessDenied(NeedsPerson):
    """The app has a token but no right to this mailbox or this kind of data."""


class MailboxMissing(NeedsPerson):
    """The address has no mailbox that Microsoft Graph can reach."""


class ConnectionGone(NeedsPerson):
    """The mailbox belongs to a connection that does not exist any more."""


class BadCommand(NeedsPerson):
    """A command cannot be followed as it stands: nothing was asked of the service."""


class Refused(NeedsPerson):
    """The service understood what the command line asked for and refused it."""


class NotReached(NeedsPerson):
    """The service did not answer the command line, or not to this key, or it is not Accord that answers."""


class Reset(AccordError):
    """A remembered place is no longer valid."""


class CursorGone(Reset):
    """A delta link expired (410, syncStateNotFound, resyncRequired): a full round is due."""


class Conflict(AccordError):
    """Somebody else wrote first."""


class Exists(Conflict):
    """A row that had to be new exists. `key` is its row key, where the storage names it."""

    def __init__(self, sentence: str, key: str = "") -> None:
        super().__init__(sentence)
        self.key = key


class Stale(Conflict):
    """A row changed since it was read. `key` is its row key, where the storage names it."""

    def __init__(self, sentence: str, key: str = "") -> None:
        super().__init__(sentence)
        self.key = key


class LeaseLost(Conflict):
    """The lease of this run ended or was taken over."""


class Gone(AccordError):
    """A folder or item that Microsoft Graph named before does not exist any more."""


class BadItem(AccordError):
    """One item is unusable. `name` says which: an id, a file, a line."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class BadJob(AccordError):
    """A queue message is not a job of a version this release knows."""


class ForeignLink(AccordError):
    """A link does not point to Microsoft Graph v1.0 over https (S13)."""


class TooLarge(AccordError):
    """A value or a group of rows is larger than the storage takes, or an answer than a worker may hold."""


class BadPolicy(AccordError):
    """A policy is incomplete or wrong; `problems` has one sentence for each, which begins with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("Policy: " + " ".join(problems))
        self.problems = tuple(problems)


class BadSettings(AccordError):
    """The settings are incomplete or wrong; `problems` has one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("Settings: " + " ".join(problems))
        self.problems = tuple(problems)
