"""What the middle asks of the rim: five protocols, each with a contract suite, and functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from sync.errors import NeedsPerson, Retry
from sync.model import (
    Attachment,
    Body,
    Broken,
    Envelope,
    FolderRound,
    Kept,
    Known,
    MailboxRow,
    MailPage,
    MailRecord,
    Person,
)

Value = str | int | float | bool | bytes | datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One stored row. `version` changes with every write (the ETag)."""

    partition: str
    key: str
    values: Mapping[str, Value]
    version: str


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a row in a group.

    insert   the row must be absent, else Exists
    merge    set these values and leave the others; creates the row where absent (no version given)
    update   as merge, but the row must be there, in whatever version, else Stale
    replace  the row has these values and no others; creates the row where absent (no version given)
    delete   deleting what is gone is success
    With a `version`, merge, replace and delete raise Stale unless the row still has it.
    """

    action: Literal["insert", "merge", "update", "replace", "delete"]
    key: str
    values: Mapping[str, Value] = field(default_factory=dict)
    version: str | None = None


class Tables(Protocol):
    """Rows in partitions. Keys come from digests; values are at most 32 KB each, larger ones go to Blobs."""

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """One row, or None."""

    def rows(
        self,
        table: str,
        partition: str,
        first: str = "",
        last: str = "",
        select: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows of one partition with first <= key < last, in key order; an empty bound is open."""

    def scan(self, table: str, select: Sequence[str] = ()) -> Iterator[Row]:
        """All rows of a table in order of partition and key."""

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        """All of these writes or none; row key -> new version. At most 100 rows and 4 MB, else TooLarge.

        Raises Exists or Stale, both with the key of the row where the storage tells.
        """


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file."""

    data: bytes
    version: str


class Blobs(Protocol):
    """Files by name; names are made from digests and slashes."""

    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        """Write a file; returns its version. With `version`: only over that one ("" means absent), else Stale."""

    def stream(self, name: str, pieces: Iterable[bytes]) -> int:
        """Write a file piece by piece, never held whole; returns its size. What `pieces` raises rises, and the file is
        as it was before."""

    def get(self, name: str, unless: str = "") -> Blob | None:
        """A file, or None where it is absent or still has the version `unless`."""

    def version(self, name: str) -> str:
        """The version of a file without its bytes, "" where it is absent."""

    def delete(self, name: str, version: str | None = None) -> None:
        """Remove a file; removing what is gone is success. With `version`: only that one, else Stale."""


class Queue(Protocol):
    """Storage queues."""

    def put(self, queue: str, text: str, delay: float = 0) -> None:
        """Send `text` (base64 on the wire, as the Functions host expects), visible after `delay` seconds."""

    def length(self, queue: str) -> int:
        """About how many messages there are, those not visible yet and those being worked among them."""


class Mailbox(Protocol):
    """One Microsoft 365 mailbox, read side. Links that come out may be stored and handed back later."""

    def identity(self) -> tuple[str, tuple[str, ...]]:
        """Graph's id of the mailbox's user, and all addresses that are his own."""

    def folders(self, cursor: str = "") -> FolderRound:
        """Folder changes since `cursor` (all folders without one); raises CursorGone."""

    def well_known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Ids of the well-known folders that exist here, by name."""

    def open_folder(self, folder: str, since: datetime) -> MailPage:
        """First page of a folder's delta, limited to what was received at `since` or later."""

    def follow(self, link: str) -> MailPage:
        """The page behind a next or delta link; raises CursorGone."""

    def older(self, since: datetime | None, until: datetime, newest_first: bool) -> MailPage:
        """Messages of all folders received in [since, until], by time received."""

    def changed(self, since: datetime | None, until: datetime, newest_first: bool = False) -> MailPage:
        """Messages of all folders last changed in [since, until], by time of change."""

    def search(self, address: str) -> MailPage | None:
        """First page of the messages of all folders that somebody with this address takes part in, by the search index;
        None for an address that cannot be searched for."""

    def message(self, message: str) -> Envelope | None:
        """One message by its light fields, or None. `message` is Graph's id or the message id in angle brackets."""

    def bodies(self, ids: Sequence[str]) -> Iterator[tuple[str, Body | Broken | Retry | NeedsPerson | None]]:
        """What these messages say, in any order: the body, Broken where it cannot be read, None where the message is
        gone, or the refusal to give it now."""

    def attachments(
        self, ids: Sequence[str]
    ) -> Iterator[tuple[str, tuple[Attachment, ...] | Broken | Retry | NeedsPerson | None]]:
        """What hangs on these messages, without the bytes; otherwise as `bodies`."""

    def attachment(self, message: str, attachment: str) -> Iterator[bytes]:
        """The bytes of one attachment, piece by piece."""


class Crm(Protocol):
    """The CRM as mail capture sees it."""

    def people(self, addresses: Collection[str]) -> Mapping[str, tuple[Person, ...]]:
        """Whose these addresses are, by folded address; unknown ones are absent."""

    def add_addresses(self, user: str, addresses: Sequence[str]) -> None:
        """Have these addresses be a user's too; unknown users and addresses that are his already change nothing."""

    def known(self, mailbox: str, keys: Collection[str]) -> Mapping[str, Known]:
        """What is known of these mail keys; unknown ones are absent."""

    def file(self, key: str, number: int, attachment: Attachment, pieces: Iterable[bytes]) -> str:
        """Store the bytes of a mail's attachment, the `number`-th; returns what leads to them. Twice is once."""

    def keep(self, records: Sequence[MailRecord]) -> Kept:
        """Store mails with relations, timeline and feed; storing the same again changes nothing. A mail that is there
        gets the people who are missing."""

    def complete(self, record: MailRecord) -> bool:
        """Give a mail that stands the files that were missing when it was stored, where this copy of it has them; says
        whether there were any. A mail that does not stand, or lacks nothing this copy has, stays as it is."""

    def purge(self, now: datetime, limit: int, going: Callable[[], bool] = lambda: True) -> int:
        """Remove up to `limit` mails that expired until `now`, with all that was stored of them, as long as it is
        `going`; returns how many. What was in the way of one of them rises when all others are done."""

    def arrivals(self, cursor: str, limit: int) -> tuple[Sequence[str], int, str]:
        """Folded addresses that became contacts' since `cursor` ("" is the beginning), among the next `limit` changes;
        how many changes were read (0: nothing is new); the cursor behind them."""

    def newest(self) -> str:
        """The cursor of now: what `arrivals` gives after it became a contact's later."""


Clock = Callable[[], datetime]
Connect = Callable[[MailboxRow], Mailbox]
# Whether anything changed in these mailboxes since their `newest`, by id, or the refusal to tell it now.
Poll = Callable[[Sequence[MailboxRow]], Iterator[tuple[str, bool | Retry | NeedsPerson]]]
