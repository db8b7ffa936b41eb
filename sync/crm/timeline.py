"""Pure: the rows by which a mail stands on timelines, of people and of its conversation, and who may see which."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sync.crm import records
from sync.keys import Keys
from sync.model import Address
from sync.ports import Value, Write

_OLDEST = datetime.min.replace(tzinfo=UTC)
_FIRST_PLACE = 10**16 - 1


def visible(person: str, only: str, viewer: str | None) -> bool:
    """Whether a viewer may see that this person stands beside a mail; None is an admin, who sees all."""
    return viewer is None or not only or viewer in (person, only)


def shown_to(keys: Keys, draft: records.Draft) -> frozenset[str]:
    """On whose timelines a draft stands: people (`Relation.who`) and thread."""
    known = draft.record.envelope.conversation
    people = {one.who for one in draft.record.relations}
    return frozenset(people | {records.thread(keys, known)}) if known else frozenset(people)


def timeline_writes(draft: records.Draft, time: str, people: Iterable[str]) -> dict[str, Write]:
    """One row for each person or thread (`shown_to`), by his key; who is known from a Bcc has a row for each user who
    may see him."""
    record, envelope = draft.record, draft.record.envelope
    author = envelope.author or envelope.sender or Address("", "")
    values: dict[str, Value] = {
        "type": "mail",
        "subject": envelope.subject[: records.SHORT],
        "author": author.name[: records.SHORT],
        "address": author.address[: records.SHORT],
        "time": time,
        "mailbox": record.mailbox,
    }
    if record.direction == "out":
        values["direction"] = "out"
    writes = {}
    for who in people:
        only = who.partition("|")[2]
        its = {**values, "only": only} if only else values
        writes[who] = Write("merge", timeline_key(who, time, draft.key), its)
    return writes


def timeline_key(who: str, time: str, record: str) -> str:
    """Newest first within a person; behind an open row those for some eyes only."""
    person, _, only = who.partition("|")
    key = f"{person}|{inverted(time)}|{record}"
    return f"{key}|{only}" if only else key


def inverted(time: str) -> str:
    """16 digits that fall as time grows; a mail without any time comes last."""
    known = datetime.fromisoformat(time) if time else _OLDEST
    return f"{_FIRST_PLACE - int((known - _OLDEST).total_seconds()):016d}"
