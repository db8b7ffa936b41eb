"""What is shown of the CRM: a mail with everything beside it, timelines of people and conversations.

Who asks is an admin (`viewer` None), who sees all, or a user, by his key. Of the people who are known from a Bcc alone
he sees those whom his own mailbox told, and himself. A mail that stands for the sake of contacts none of whom he may
see is not there for him: among colleagues it would not have been kept, and so would tell that somebody is hidden. He
does not see which mailboxes have a mail: one whose owner stands neither in To nor in Cc would give itself away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge

import orjson

from sync.crm import records, removal
from sync.crm.feed import TABLE
from sync.crm.mails import TIMELINE
from sync.crm.timeline import visible
from sync.errors import BadItem
from sync.keys import bucket
from sync.model import Address, Direction, Filed
from sync.ports import Blobs, Row, Tables, Value

MOST_THREADS = 16  # mailboxes may name a conversation differently; of a mail in more of them, so many are asked
_PLACE = re.compile(r"([0-9]{16})\.([a-z][0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a timeline; `key` is the record it leads to. `mailbox` is for admins."""

    key: str
    type: str
    time: datetime | None
    subject: str
    author: Address
    direction: Direction
    mailbox: str


@dataclass(frozen=True, slots=True)
class Related:
    """A person beside a mail: by which address, in which role, and for which users alone (empty: for everybody)."""

    key: str
    kind: str
    name: str
    role: str
    address: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """A mailbox's copy of a mail."""

    mailbox: str
    item: str
    folder: str
    received: datetime | None
    subject: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A stored mail. `received` is its first arrival in any mailbox; `first` the mail whose identity it shares;
    `expires` is set while it matches nobody."""

    key: str
    message_id: str
    conversation: str
    subject: str
    author: Address | None
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sent: datetime | None
    received: datetime | None
    direction: Direction
    attachments: bool
    html: str
    text: str
    files: tuple[Filed, ...]
    first: str
    relations: tuple[Related, ...]
    sightings: tuple[Sighting, ...]
    expires: datetime | None = None


class Views:
    """Reads mails and timelines."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables = tables
        self._blobs = blobs

    def mail(self, key: str, viewer: str | None = None) -> Mail | None:
        """A mail with its relations, copies and body; None where there is none, or none for this viewer."""
        found = self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~")
        rows = {row.key: row for row in found}
        record = rows.pop(f"r|{key}", None)
        if record is None:
            return None
        body: Mapping[str, Value] = {}
        relations: list[Row] = []
        sightings: list[Sighting] = []
        bcc: dict[Address, None] = {}
        for name, row in rows.items():
            sort, _, rest = name.removeprefix(f"r|{key}|").partition("|")
            if sort == "b":
                body = row.values
            elif sort == "p":
                relations.append(row)
            elif sort == "s":
                sightings += [_sighting(rest, row)] if "item" in row.values else []
            elif viewer is None or viewer == rest.partition("|")[2]:
                bcc |= dict.fromkeys(records.read_addresses(_Texts(self._blobs, row.values)["bcc"]))
        if not _readable(len(f"r|{key}|p|"), relations, viewer):
            return None
        beside = _beside(len(f"r|{key}|p|"), relations, viewer)
        expires = removal.expires(key, rows)
        mail = self._mail(key, record.values, body, beside, tuple(sightings))
        shown = replace(mail, bcc=tuple(bcc), expires=_moment(expires))
        return shown if viewer is None else replace(shown, sightings=())

    def timeline(
        self, person: str, limit: int, after: str = "", viewer: str | None = None
    ) -> tuple[list[TimelineEntry], str]:
        """Up to `limit` entries of a person, newest first, and where to go on ("" at the end). Raises BadItem."""
        return self._page([person], limit, after, viewer)

    def thread(
        self, key: str, limit: int, after: str = "", viewer: str | None = None
    ) -> tuple[list[TimelineEntry], str] | None:
        """The mails of this mail's conversation, in pages as a timeline; None where `mail` says so. Raises BadItem."""
        rows = list(self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~", select=("thread", "kind")))
        before = f"r|{key}|p|"
        beside = [row for row in rows if row.key.startswith(before)]
        if not rows or rows[0].key != f"r|{key}" or not _readable(len(before), beside, viewer):
            return None
        threads = sorted({str(row.values["thread"]) for row in rows if row.values.get("thread")})
        return self._page(threads[:MOST_THREADS], limit, after, viewer)

    def _page(self, people: list[str], limit: int, after: str, viewer: str | None) -> tuple[list[TimelineEntry], str]:
        """One page of these timelines taken together; a mail stands there once."""
        first = ""
        if after:
            place = _PLACE.fullmatch(after)
            if place is None:
                raise BadItem(
                    "after", "This does not name a place on a timeline: use the one that the last answer gave."
                )
            first = f"{place[1]}|{place[2]}}}"  # "}" follows "|": behind all rows of this mail
        lines = [self._lines(person, f"{person}|{first}", limit + 1, viewer) for person in people]
        found: dict[str, Row] = {}
        for place_of, row in merge(*lines, key=lambda line: line[0]):
            found.setdefault(place_of, row)
            if len(found) > limit:
                break
        entries = [_entry(row, viewer) for row in list(found.values())[:limit]]
        return entries, list(found)[limit - 1].replace("|", ".") if len(found) > limit else ""

    def _lines(self, person: str, first: str, size: int, viewer: str | None) -> Iterator[tuple[str, Row]]:
        """What a viewer may see of a timeline, with its place. An open row comes before those for some eyes only."""
        while True:
            rows = list(self._tables.rows(TIMELINE, bucket(person), first, f"{person}~", limit=size))
            for row in rows:
                _, time, key, *only = row.key.split("|")
                if visible(person, "".join(only), viewer) and self._is_readable(person, key, viewer):
                    yield f"{time}|{key}", row
            if len(rows) < size:
                return
            first = f"{rows[-1].key}!"  # "!" comes before every other letter that may follow

    def _is_readable(self, person: str, key: str, viewer: str | None) -> bool:
        """Whether a mail on a timeline that a viewer may see is there for him: a contact on whose timeline he sees it
        is one he may see, on those of users and threads the contacts beside it are looked at."""
        if viewer is None or person.startswith("c"):
            return True
        before = f"r|{key}|p|"
        rows = list(self._tables.rows(TABLE, bucket(key), before, f"{before}~", select=("kind",)))
        return _readable(len(before), rows, viewer)

    def _mail(
        self,
        key: str,
        values: Mapping[str, Value],
        body: Mapping[str, Value],
        relations: tuple[Related, ...],
        sightings: tuple[Sighting, ...],
    ) -> Mail:
        text = _Texts(self._blobs, values, body).__getitem__
        return Mail(
            key=key,
            message_id=text("message_id"),
            conversation=text("conversation"),
            subject=text("subject"),
            author=_one(text("author")),
            sender=_one(text("sender")),
            to=records.read_addresses(text("to")),
            cc=records.read_addresses(text("cc")),
            bcc=(),
            sent=_moment(values.get("sent")),
            received=min((one.received for one in sightings if one.received), default=None),
            direction=_direction(values),
            attachments=bool(values.get("attachments", False)),
            html=text("html"),
            text=text("text"),
            files=records.read_attachments(text("files")),
            first=text("first"),
            relations=relations,
            sightings=sightings,
        )


class _Texts:
    """The texts of a record by name, from its rows or from the files they name."""

    def __init__(self, blobs: Blobs, *rows: Mapping[str, Value]) -> None:
        self._blobs = blobs
        self._values = {name: value for row in reversed(rows) for name, value in row.items()}
        self._large: dict[str, str] = {}
        for row in rows:
            self._large |= orjson.loads(str(row.get("large") or "{}"))

    def __getitem__(self, name: str) -> str:
        if name in self._large:
            blob = self._blobs.get(self._large[name])
            return blob.data.decode() if blob else ""
        return str(self._values.get(name, ""))


def _one(text: str) -> Address | None:
    return next(iter(records.read_addresses(text)), None)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None


def _direction(values: Mapping[str, object]) -> Direction:
    return "out" if values.get("direction") == "out" else "in"


def _readable(start: int, rows: list[Row], viewer: str | None) -> bool:
    """Whether a mail with these people is there for a viewer: where contacts stand beside it, he sees one of them."""
    contacts = [row.key[start:].partition("|") for row in rows if row.values["kind"] == "contact"]
    return not contacts or any(visible(person, only, viewer) for person, _, only in contacts)


def _beside(start: int, rows: list[Row], viewer: str | None) -> tuple[Related, ...]:
    """The people of these rows whom a viewer may see, each once: openly, or else for whom."""
    found: dict[str, Related] = {}
    for row in rows:
        person, _, only = row.key[start:].partition("|")
        if not visible(person, only, viewer):
            continue
        owner = viewer or only
        known = found.get(person)
        if known is None:
            found[person] = _related(person, (owner,) if only else (), row)
        elif known.only and owner not in known.only:  # the open row comes first
            found[person] = replace(known, only=(*known.only, owner))
    return tuple(found.values())


def _related(person: str, only: tuple[str, ...], row: Row) -> Related:
    values = row.values
    return Related(person, str(values["kind"]), str(values["name"]), str(values["role"]), str(values["address"]), only)


def _sighting(mailbox: str, row: Row) -> Sighting:
    values = row.values
    return Sighting(
        mailbox, str(values["item"]), str(values["folder"]), _moment(values.get("received")), str(values["subject"])
    )


def _entry(row: Row, viewer: str | None) -> TimelineEntry:
    values = row.values
    return TimelineEntry(
        key=row.key.split("|")[2],
        type=str(values["type"]),
        time=_moment(values["time"]),
        subject=str(values["subject"]),
        author=Address(str(values["author"]), str(values["address"])),
        direction=_direction(values),
        mailbox=str(values["mailbox"]) if viewer is None else "",
    )
