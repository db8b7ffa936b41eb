"""A firm as data: its mailboxes with their mail, and its contacts. The tenant loads the mail, the demo the contacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Party:
    """A name and an address as a header shows them; either may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail; `content_id` and `inline` as the mail itself says."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True)
class MailFile:
    """One real mail, parsed. `name` is the file it came from, `folder` a well-known name ("inbox", "sentitems") or a
    path of display names below one ("inbox/Clients"). `received` is always set; `sent` is None without a Date."""

    name: str
    subject: str
    author: Party | None
    sender: Party | None
    to: tuple[Party, ...]
    cc: tuple[Party, ...]
    bcc: tuple[Party, ...]
    reply_to: tuple[Party, ...]
    message_id: str
    sent: datetime | None
    received: datetime
    body: str
    html: bool
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    raw: bytes = field(repr=False)
    folder: str = "inbox"


@dataclass(frozen=True, slots=True)
class FirmMailbox:
    """A mailbox with its mail."""

    address: str
    name: str
    aliases: tuple[str, ...] = ()
    mail: tuple[MailFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A contact of the firm's CRM; the first address is the main one."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that is no mail; `why` in plain words."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Firm:
    """`unknown` are correspondents left out of the contacts on purpose, so that skipping is seen.
    `since` limits the backfill ("" means six months, "all" no start)."""

    name: str
    domains: tuple[str, ...]
    mailboxes: tuple[FirmMailbox, ...]
    contacts: tuple[Client, ...]
    unknown: tuple[str, ...] = ()
    broken: tuple[BrokenFile, ...] = ()
    since: str = ""
