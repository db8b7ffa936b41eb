"""What the admin API takes and answers about health, mailboxes and exclusions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sync.model import Cause
from sync.web.asked import Body
from sync.web.shapes import Shape

OWNER = "^(u[0-9a-f]{32})?$"
_Address = Annotated[str, Field(min_length=1, max_length=320, description="Its main address.")]
_Owner = Annotated[
    str,
    Field(pattern=OWNER, description="The key of its CRM user, who sees what it knows from a Bcc; empty for nobody."),
]
_Pattern = Annotated[
    str,
    Field(min_length=1, max_length=400, description="An address, a domain, or an address with up to three stars."),
]
_Mailbox = Annotated[
    str, Field(pattern="^([0-9a-f]{32})?$", description="The id of a mailbox; empty for the list of the whole firm.")
]


class DependencyShape(Shape):
    """Something Accord cannot do without."""

    name: Literal["tables", "queues", "blobs", "sign-in", "Microsoft Graph"]
    ok: bool
    milliseconds: int = Field(description="How long it took to answer.")
    sentence: str = Field(description="What is wrong and what to do about it; empty where nothing is.")


class HealthShape(Shape):
    """How everything stands that Accord depends on."""

    status: Literal["ok", "degraded"]
    dependencies: list[DependencyShape]
    last_tick: datetime | None = Field(description="When the timer last looked who is due; null where nobody knows.")
    sentence: str


class CauseCount(Shape):
    """How many mailboxes have one status."""

    cause: Cause
    title: str
    count: int


class QueueLength(Shape):
    """About how many jobs wait or are at work on a queue, and how many were given up on its poison queue."""

    name: str
    messages: int
    poison: int


class StatusShape(Shape):
    """The whole firm at a glance."""

    mailboxes: int = Field(description="How many are in scope.")
    causes: list[CauseCount] = Field(description="By how they stand, the most frequent first.")
    last_tick: datetime | None
    policy_version: int = Field(description="Which version of the policy is in force; 0 is the default.")
    queues: list[QueueLength]


class MailboxLine(Shape):
    """A mailbox and how it stands."""

    id: str
    address: str
    owner: str = Field(description="The key of its CRM user; empty for nobody.")
    off: bool = Field(description="Whether it is switched off.")
    backfill: Literal["", "running", "paused", "done"] = Field(description="How its old mail stands.")
    status: Literal["off", "new", "connected", "waiting", "blocked", "failing"]
    cause: Cause
    title: str
    sentence: str
    remedy: str = Field(description="What somebody must do; empty where nobody must.")
    until: datetime | None = Field(description="When it goes on by itself, where that is known.")


class MailboxPage(Shape):
    """Mailboxes in the order of their ids."""

    items: list[MailboxLine]
    next: str = Field(description="Pass it as `after` to go on; empty at the end.")


class ProgressShape(Shape):
    """What was seen of a mailbox so far, and how its old mail comes along."""

    seen: int
    kept: int
    bodies: int = Field(description="How many mails were read in full.")
    errors: int
    skipped: dict[str, int] = Field(description="Mails that were not kept, by the reason.")
    percent: int | None = Field(description="Of the time of the old mail; null where it has no beginning.")
    rate: float | None = Field(description="Messages a minute; null where nothing can be told yet.")
    left: float | None = Field(description="Seconds; null where nothing can be told yet.")


class MailboxWhole(MailboxLine):
    """A mailbox, how it stands, and how far it is."""

    progress: ProgressShape
    busy: bool = Field(description="Whether anything that was asked for waits or is under way.")


class MailboxAdded(Body):
    """A mailbox to take into scope."""

    address: _Address
    owner: _Owner = ""


class MailboxChanged(Body):
    """What is to be changed of a mailbox; null, or nothing said, leaves it as it is."""

    off: bool | None = Field(None, description="True switches it off, false on again.")
    owner: _Owner | None = None
    backfill: Literal["running", "paused"] | None = Field(
        None, description="Pauses or resumes its old mail; what is done stays done."
    )


class Queued(Shape):
    """It is done as soon as a worker takes it up."""

    status: Literal["queued"] = "queued"


class Explained(Body):
    """A message to be explained."""

    message: str = Field(min_length=1, max_length=2000, description="Graph's id, or the message id in angle brackets.")


class ExplainedAddress(Shape):
    """An address on a message, and what it is to the firm."""

    role: str
    address: str
    standing: str


class ExplanationShape(Shape):
    """Whether a message is kept by today's rules and contacts, and why."""

    keep: bool
    reason: str
    sentence: str
    lines: list[ExplainedAddress]
    record: str = Field(description="The key under which the CRM has it, or would have it; empty where there is none.")
    stored: bool = Field(description="Whether the CRM has it.")


class ExclusionShape(Shape):
    """A pattern of addresses that are left out."""

    pattern: str
    until: datetime | None = Field(description="Mail from before this moment stays out, later mail comes in.")


class ExclusionList(Shape):
    """One list of exclusions, with those that were taken back."""

    items: list[ExclusionShape]


class ExclusionNamed(Body):
    """A pattern of addresses on one list."""

    pattern: _Pattern
    mailbox: _Mailbox = ""
