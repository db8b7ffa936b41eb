"""What is shown of the CRM: a mail with everything beside it, a person's timeline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from sync.crm import records
from sync.crm.feed import TABLE
from sync.crm.mails import TIMELINE
from sync.errors import BadItem
from sync.keys import bucket
from sync.model import Address, Direction, Filed
from sync.ports import Blobs, Row, Tables, Value

_PLACE = re.compile(r"([0-9]{16})\.([a-z][0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a person's timeline; `key` is the record it leads to."""

    key: str
    type: str
    time: datetime | None
    subject: str
    author: Address
    direction: Direction
    mailbox: str


@dataclass(frozen=True, slots=True)
class Related:
    """A person beside a mail: by which address, in which role."""

    key: str
    kind: str
    name: str
    role: str
    address: str


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
    """A stored mail. `received` is its first arrival in any mailbox; `first` the mail whose identity it shares."""

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


class Views:
    """Reads mails and timelines."""

    def __init__(self, tables: Tables, blobs: Blobs) -> None:
        self._tables = tables
        self._blobs = blobs

    def mail(self, key: str) -> Mail | None:
        """A mail with its relations, copies and body, or None."""
        record: Row | None = None
        body: Mapping[str, Value] = {}
        relations: list[Related] = []
        sightings: list[Sighting] = []
        for row in self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~"):
            _, _, rest = row.key.partition(f"r|{key}")
            if not rest:
                record = row
            elif rest == "|b":
                body = row.values
            elif rest.startswith("|p|"):
                relations.append(_related(rest[3:], row))
            else:
                sightings.append(_sighting(rest[3:], row))
        if record is None:
            return None
        return self._mail(key, record.values, body, tuple(relations), tuple(sightings))

    def timeline(self, person: str, limit: int, after: str = "") -> tuple[list[TimelineEntry], str]:
        """Up to `limit` entries of a person, newest first, and where to go on ("" at the end). Raises BadItem."""
        first = f"{person}|"
        if after:
            place = _PLACE.fullmatch(after)
            if place is None:
                raise BadItem(
                    "after", "This does not name a place on a timeline: use the one that the last answer gave."
                )
            first = f"{person}|{place[1]}|{place[2]}!"  # "!" sorts behind the key itself and before every other
        rows = list(self._tables.rows(TIMELINE, bucket(person), first, f"{person}~", limit=limit + 1))
        entries = [_entry(row) for row in rows[:limit]]
        return entries, ".".join(rows[limit - 1].key.split("|")[1:]) if len(rows) > limit else ""

    def _mail(
        self,
        key: str,
        values: Mapping[str, Value],
        body: Mapping[str, Value],
        relations: tuple[Related, ...],
        sightings: tuple[Sighting, ...],
    ) -> Mail:
        large: Mapping[str, str] = _large(values) | _large(body)

        def text(name: str) -> str:
            if name in large:
                blob = self._blobs.get(large[name])
                return blob.data.decode() if blob else ""
            return str(values.get(name, body.get(name, "")))

        return Mail(
            key=key,
            message_id=text("message_id"),
            conversation=text("conversation"),
            subject=text("subject"),
            author=_one(text("author")),
            sender=_one(text("sender")),
            to=records.read_addresses(text("to")),
            cc=records.read_addresses(text("cc")),
            bcc=records.read_addresses(text("bcc")),
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


def _large(values: Mapping[str, Value]) -> dict[str, str]:
    names: dict[str, str] = orjson.loads(str(values.get("large") or "{}"))
    return names


def _one(text: str) -> Address | None:
    return next(iter(records.read_addresses(text)), None)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None


def _direction(values: Mapping[str, object]) -> Direction:
    return "out" if values.get("direction") == "out" else "in"


def _related(person: str, row: Row) -> Related:
    values = row.values
    return Related(person, str(values["kind"]), str(values["name"]), str(values["role"]), str(values["address"]))


def _sighting(mailbox: str, row: Row) -> Sighting:
    values = row.values
    return Sighting(
        mailbox, str(values["item"]), str(values["folder"]), _moment(values.get("received")), str(values["subject"])
    )


def _entry(row: Row) -> TimelineEntry:
    values = row.values
    return TimelineEntry(
        key=row.key.rpartition("|")[2],
        type=str(values["type"]),
        time=_moment(values["time"]),
        subject=str(values["subject"]),
        author=Address(str(values["author"]), str(values["address"])),
        direction=_direction(values),
        mailbox=str(values["mailbox"]),
    )
