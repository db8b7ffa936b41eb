"""The nouns: frozen values that every other file passes around. No behaviour beyond reading and writing themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from sync.errors import BadJob

Kind = Literal["mail", "calendar", "contacts", "todo", "planner", "rooms"]
Stream = Literal["mail", "mail-backfill", "mail-history"]
Direction = Literal["in", "out"]
# Why a mailbox stands as it does; `status.TITLES` says each in a few words.
Cause = Literal[
    "off",
    "new",
    "connected",
    "catching up",
    "throttled",
    "unavailable",
    "storage",
    "malformed",
    "place lost",
    "sign-in",
    "access",
    "mailbox",
    "connection",
    "person",
    "error",
]

# Where an error came from (T6); empty where nothing went wrong, or inside of Accord.
Stage = Literal["", "Microsoft Graph", "CRM", "storage"]
# What became of an error item that was asked for again: it stands in the CRM now, failed once more, is not there any
# more, or is left out by today's rules.
RetryOutcome = Literal["", "queued", "mended", "failed", "gone", "left out"]

# The backfill of a mailbox whose old mail waits until somebody resumes it.
PAUSED = "paused"

JOB_VERSION = 1
MOST_SUBJECTS = 50
STREAMS: dict[str, Stream] = {
    "sync-mail": "mail",
    "backfill-mail": "mail-backfill",
    "history-mail": "mail-history",
}
QUEUES: dict[Stream, str] = {stream: queue for queue, stream in STREAMS.items()}
_SUBJECT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Job:
    """Bring these subjects of one kind into agreement. Names only: the truth is read again by whoever works it.

    A `ticket` says which in the row of its number of jobs this one is: an older one than the newest is dropped, so that
    a stream has one chain of jobs however often it is queued. 0 counts always.
    """

    connection: str
    kind: Kind
    subjects: tuple[str, ...]
    reason: str
    ticket: int = 0
    version: int = JOB_VERSION

    def to_json(self) -> str:
        """The queue message."""
        return json.dumps(
            {
                "version": self.version,
                "connection": self.connection,
                "kind": self.kind,
                "subjects": list(self.subjects),
                "reason": self.reason,
                "ticket": self.ticket,
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str) -> Job:
        """Read a queue message; raises BadJob with what is wrong with it."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raise BadJob("The queue message is not JSON.") from None
        if not isinstance(raw, dict):
            raise BadJob("The queue message is not a JSON object.")
        if raw.get("version") != JOB_VERSION:
            raise BadJob(
                f"The queue message has version {raw.get('version')!r:.40}; this release reads version {JOB_VERSION}. "
                "Deploy the release that wrote it, or retry the job from the log."
            )
        texts = [raw.get(name) for name in ("connection", "kind", "reason")]
        subjects, ticket = raw.get("subjects"), raw.get("ticket", 0)
        if not all(isinstance(text, str) and text for text in texts) or raw["kind"] not in get_args(Kind):
            raise BadJob("The queue message lacks connection, kind or reason, or names a kind that does not exist.")
        if not isinstance(subjects, list) or len(subjects) > MOST_SUBJECTS or not isinstance(ticket, int):
            raise BadJob("The queue message has no list of subjects, too many of them, or an odd ticket.")
        if not all(isinstance(one, str) and _SUBJECT.fullmatch(one) for one in subjects):
            raise BadJob("The queue message names a subject that is no id of ours.")
        return Job(raw["connection"], raw["kind"], tuple(subjects), raw["reason"], ticket)


@dataclass(frozen=True, slots=True)
class Address:
    """A name and a mail address as a message shows them; either may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message by its light fields: enough to decide who is concerned, without a word of what it says."""

    id: str
    message_id: str
    conversation: str
    subject: str
    sender: Address | None
    author: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sent: datetime | None
    received: datetime | None
    folder: str
    draft: bool
    attachments: bool
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """What a message says, as Graph sent it: `html` decides how `content` is to be read. Its headers and Graph's type
    of it tell a person's mail from a machine's."""

    content: str
    html: bool
    headers: tuple[tuple[str, str], ...] = ()
    type: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What hangs on a mail, without its bytes. Only a `file` or an `item` (a mail in the mail) has bytes to fetch."""

    id: str
    name: str
    content_type: str
    size: int
    inline: bool
    content_id: str
    kind: Literal["file", "item", "reference"]


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that could not be read; `name` finds it again, `sentence` says what is wrong."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A mail folder."""

    id: str
    name: str
    parent: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class FolderRound:
    """All folder changes since a cursor, and the cursor to go on from."""

    folders: tuple[Folder, ...]
    removed: tuple[str, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class MailPage:
    """One page of messages. `next` leads to the next page, `delta` to the next round; a list has neither at its end."""

    items: tuple[Envelope, ...]
    removed: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()
    next: str | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A contact or a user of the CRM, by record key."""

    key: str
    kind: Literal["contact", "user"]
    name: str


@dataclass(frozen=True, slots=True)
class Relation:
    """Why a person stands beside a mail: the role of the address that is his.

    `only` restricts who sees it: known from a Bcc alone, it is for the CRM user of this key (whose mailbox told) and
    admins. Empty is for everybody.
    """

    person: Person
    role: str
    address: str
    only: str = ""

    @property
    def who(self) -> str:
        """The person's key, and behind it `|` and `only` where that restricts: no two of a mail are alike."""
        return f"{self.person.key}|{self.only}" if self.only else self.person.key


@dataclass(frozen=True, slots=True)
class Filed:
    """An attachment as the CRM holds it: `file` leads to its bytes, or `why` says in a sentence that there are none."""

    attachment: Attachment
    file: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class MailRecord:
    """A captured mail on its way into the CRM. `key` is its identity across mailboxes.

    `html` and `text` are None where the body was not read, because another mailbox has brought it. `expires` is set
    for a mail that matches nobody and is kept for a time only (D13).
    """

    key: str
    mailbox: str
    envelope: Envelope
    direction: Direction
    relations: tuple[Relation, ...]
    html: str | None = None
    text: str | None = None
    attachments: tuple[Filed, ...] = ()
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the CRM knows of a mail key: whether there is a record, Graph's ids of this mailbox's copies of it, and who
    stands beside it (`Relation.who`)."""

    record: bool
    items: tuple[str, ...] = ()
    people: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the records handed to the CRM, by record key."""

    new: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    already: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a stream from going on: `waiting` passes by itself, `blocked` needs a person, `failing` is tried again
    and again. `sentence` and `remedy` are for that person."""

    status: Literal["waiting", "blocked", "failing"]
    cause: Cause
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Want:
    """How often a stream was wanted and served; the newest job queued for it: its ticket, up to which count it goes,
    and when it was queued; the moment before which nothing is to be asked of Microsoft; how often in a row it failed;
    and what keeps it from going on (of the stream `mail` the mailbox's own row says that). `version` is its row's."""

    mailbox: str
    stream: Stream
    count: int = 0
    served: int = 0
    asked: int = 0
    ticket: int = 0
    queued: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    trouble: Trouble | None = None
    version: str = field(default="", compare=False)

    @property
    def open(self) -> bool:
        """Whether somebody wants what no run has served yet."""
        return self.count > self.served

    @property
    def blocked(self) -> bool:
        """Whether it waits for a person."""
        return self.trouble is not None and self.trouble.status == "blocked"


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox in scope. `id` is an opaque digest for jobs and logs; `user` is Graph's id, pinned at first contact.

    `newest` is the last change seen of any of its messages (lastModifiedDateTime, ISO 8601), "" where none is known;
    nothing is asked of it before `not_before`, and nothing at all while it is `off`. Without `trouble` it is `met`, or
    new.
    """

    id: str
    connection: str
    address: str
    owner: str = ""
    user: str = ""
    own: tuple[str, ...] = ()
    met: bool = False
    trouble: Trouble | None = None
    backfill: str = ""
    newest: str = ""
    not_before: datetime | None = None
    off: bool = False

    @property
    def blocked(self) -> bool:
        """Whether it waits for a person."""
        return self.trouble is not None and self.trouble.status == "blocked"


@dataclass(frozen=True, slots=True)
class RunItem:
    """One line of a run: what happened to one item and why (T2, T6). `record` leads to the CRM where there is one.

    `number` names it in its run. Of an error `stage` says where it came from, `retried` when it was last asked for
    again, `retry` what became of that and `retry_reason` why.
    """

    name: str
    outcome: Literal["kept", "error"]
    reason: str
    record: str = ""
    number: int = 0
    stage: Stage = ""
    retried: datetime | None = None
    retry: RetryOutcome = ""
    retry_reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One row of Logs & Errors (T1). A run with a `sentence` failed as a whole; then `stage` says where it came from.

    `job` is the message of a job that was given up. `retried` is when somebody last had the run done again.
    """

    id: str
    connection: str
    mailbox: str
    stream: str
    reason: str
    started: datetime
    ended: datetime
    seen: int = 0
    kept: int = 0
    errors: int = 0
    bodies: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    sentence: str = ""
    job: str = ""
    stage: Stage = ""
    retried: datetime | None = None

    @property
    def failed(self) -> bool:
        """Whether it counts as an error: as a whole, or by one of its items."""
        return bool(self.errors or self.sentence)
