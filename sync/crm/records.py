"""Pure: what a mail becomes in the CRM's tables, and what is done with a mail whose key stands there already.

One mail is one record in all mailboxes: its key says so. Each mailbox that shows it leaves a sighting. A second copy
in the same mailbox adds nothing but people who were not known yet (the sent copy alone knows the Bcc); a second mail
with the same key but another subject is a record of its own, linked to the first.

Who is known from a Bcc alone has rows of his own for each user who may see him, beside the open one if there is one. So
copies can be stored in any order without reading: rows are only ever added, and an open one is never narrowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from sync.keys import Keys
from sync.model import Address, Attachment, Envelope, Filed, MailRecord, Relation
from sync.ports import Value, Write

INLINE_BYTES = 30_000  # above this a value goes to a file; the storage takes 32 KB
SHORT = 400  # characters of a subject or name where it is only shown in a list
ROW_BYTES = 5_000  # what a row of small values takes on the wire at most, as the storage counts
_FILES = {"html": "html", "text": "txt"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail about to be stored under `key`. `first` is the key of the mail it was told apart from."""

    key: str
    record: MailRecord
    first: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """Drafts told apart: `now` has each key once, `later` must wait until those stand, `twice` are copies of them."""

    now: tuple[Draft, ...]
    later: tuple[Draft, ...]
    twice: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands under a key: `time` of the record and its `version`, this mailbox's copy (item and mark, `also` the
    items of further copies and of mails told apart, its `thread`, for which owners its Bcc stands), who is beside it
    (`Relation.who`), when it `expires` ("" for a mail that stays), the keys of mails told `apart` from it, and
    the `files` this copy names."""

    record: bool = False
    time: str = ""
    item: str | None = None
    mark: str = ""
    also: frozenset[str] = frozenset()
    people: Collection[str] = ()
    version: str = ""
    thread: str = ""
    bcc: frozenset[str] = frozenset()
    expires: str = ""
    apart: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    @property
    def shown_to(self) -> frozenset[str]:
        """On whose timelines the mail stands because of this copy: people and thread."""
        return frozenset(self.people) | ({self.thread} if self.thread else set())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done with a draft, which relations are to be written with it, and whether its item is to be noted as a
    further copy, so that it is not read again when a delta reports it. `stays` ends that the mail expires; `leaves`
    says that it is about to, so that nothing is added any more."""

    fate: Literal["new", "joined", "already", "again"]
    relations: tuple[Relation, ...] = ()
    copy: bool = False
    stays: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The record's values as stored, those of its body (None: not read) and of its Bcc (None: it shows none), the
    files that hold what is too large for a row, and the bytes on the wire."""

    values: Mapping[str, Value]
    body: Mapping[str, Value] | None
    files: Mapping[str, bytes]
    weight: int
    bcc: Mapping[str, Value] | None = None


def folded_subject(subject: str) -> str:
    """A subject as compared: letter case and spacing do not count."""
    return " ".join(subject.split()).casefold()


def mark(keys: Keys, subject: str) -> str:
    """A subject as compared, short and in one form whatever the storage does to odd characters."""
    return keys.of("subject", folded_subject(subject))[:16]


def told_apart(keys: Keys, draft: Draft) -> Draft:
    """The draft as a record of its own, linked to the one whose key it shares."""
    own = "m" + keys.of("mail-again", draft.key, folded_subject(draft.record.envelope.subject))
    return Draft(own, draft.record, first=draft.key)


def settle(drafts: Iterable[Draft]) -> Settled:
    """Tell drafts of one call with the same key apart, by the rules that hold against what is stored."""
    now: dict[str, Draft] = {}
    later: list[Draft] = []
    twice: list[Draft] = []
    for draft in drafts:
        held = now.get(draft.key)
        if held is None:
            now[draft.key] = draft
        elif _same_copy(held.record, draft.record):
            now[draft.key] = _united(held, draft.record)
            twice.append(draft)
        else:
            later.append(draft)
    return Settled(tuple(now.values()), tuple(later), tuple(twice))


def decide(draft: Draft, subject_mark: str, seen: Seen, soon: str) -> Verdict:
    """What to do with a draft, given what stands under its key. What expires until `soon` is left to expire: whoever
    removes it must not meet rows that were added meanwhile."""
    record = draft.record
    if not seen.item or not seen.record:
        return Verdict("joined" if seen.record else "new", record.relations)
    item = record.envelope.id
    copy = item != seen.item and item not in seen.also
    leaves = bool(seen.expires) and seen.expires <= soon
    if seen.item != item and seen.mark != subject_mark and not draft.first:
        return Verdict("again", copy=copy and not leaves, leaves=leaves)
    if record.expires is not None and leaves:
        return Verdict("already", leaves=True)
    missing = tuple(one for one in record.relations if one.who not in seen.people)
    stays = bool(seen.expires) and record.expires is None
    return Verdict("already", missing, copy, stays)


def content(keys: Keys, draft: Draft) -> Content:
    """What is stored of a mail. Of the record row only what every copy shows alike, or only one can know, survives a
    merge of copies: no empty value, no `in`, no false is written, so that the order of mailboxes does not matter. The
    body is a row of its own, replaced as a whole: two copies' bodies never mix, and a copy without one leaves it."""
    envelope = draft.record.envelope
    values, files, weight = _fitted(keys, draft.key, _headers(envelope))
    values["type"] = "mail"
    if envelope.sent:
        values["sent"] = iso(envelope.sent)
    if draft.record.direction == "out":
        values["direction"] = "out"
    if envelope.attachments:
        values["attachments"] = True
    if draft.first:
        values["first"] = draft.first
    weight += 3 * ROW_BYTES
    body: dict[str, Value] | None = None
    bcc: dict[str, Value] | None = None
    if envelope.bcc:
        bcc, more, heavier = _fitted(keys, draft.key, {"bcc": addresses(envelope.bcc)})
        rows = len(owners(draft.record))
        files, weight = files | more, weight + (heavier + ROW_BYTES) * rows
    if draft.record.html is not None and draft.record.text is not None:
        body, more, heavier = _fitted(keys, draft.key, _said(draft.record, draft.record.html, draft.record.text))
        files, weight = files | more, weight + heavier + ROW_BYTES
    return Content(values, body, files, weight, bcc)


def _fitted(keys: Keys, key: str, texts: Mapping[str, str]) -> tuple[dict[str, Value], dict[str, bytes], int]:
    """Values for a row, files for those too large (named in `large`), and the bytes on the wire."""
    values: dict[str, Value] = {}
    files: dict[str, bytes] = {}
    large: dict[str, str] = {}
    weight = 0
    for name, text in texts.items():
        if not text:
            continue
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size <= INLINE_BYTES:
            values[name] = text
            weight += 5 * size - 3 * len(text)  # as JSON in ASCII: 2 bytes a letter, 6 or 12 beyond ASCII
            continue
        large[name] = f"mail/{key}/{keys.of('file', text)[:16]}.{_FILES.get(name, 'json')}"
        files[large[name]] = text.encode("utf-8", "replace")
    if large:
        values["large"] = orjson.dumps(large).decode()
    return values, files, weight


def moment(envelope: Envelope) -> str:
    """The time a mail stands under: sent, or where it has none, received."""
    known = envelope.sent or envelope.received
    return iso(known) if known else ""


def record_write(draft: Draft, kept: Content, seen: Seen) -> Write:
    """The record row. Without a sent time, the time of the first copy counts: that copy must create the row. A mail
    that expires may be gone by now: then nothing is written."""
    if seen.record:
        return Write("merge", f"r|{draft.key}", kept.values, seen.version if seen.expires else None)
    action: Literal["merge", "insert"] = "merge" if draft.record.envelope.sent else "insert"
    return Write(action, f"r|{draft.key}", {**kept.values, "time": moment(draft.record.envelope)})


def body_writes(draft: Draft, kept: Content) -> list[Write]:
    """The row of the body, where there is one to write."""
    return [] if kept.body is None else [Write("replace", f"r|{draft.key}|b", kept.body)]


def owners(record: MailRecord) -> list[str]:
    """Whose copy this is, as far as its relations tell: who may see its Bcc. "" where they do not."""
    return sorted({one.only for one in record.relations if one.only}) or [""]


def bcc_writes(draft: Draft, kept: Content, there: Collection[str] = ()) -> list[Write]:
    """The rows of the Bcc that this mailbox's copy shows, for each owner but those whose row is there: apart from the
    record, because few may see it."""
    if kept.bcc is None:
        return []
    return [
        Write("merge", f"r|{draft.key}|h|{draft.record.mailbox}|{owner}", kept.bcc)
        for owner in owners(draft.record)
        if owner not in there
    ]


def relation_writes(key: str, relations: Iterable[Relation]) -> dict[str, Write]:
    """The relation rows by row key; a person stands beside a mail once for the same eyes, in the first role named."""
    writes: dict[str, Write] = {}
    for one in relations:
        row = f"r|{key}|p|{one.who}"
        if row not in writes:
            values = {
                "kind": one.person.kind,
                "name": one.person.name[:SHORT],
                "role": one.role,
                "address": one.address,
            }
            if one.only:
                values["only"] = one.only
            writes[row] = Write("merge", row, values)
    return writes


def sighting_write(keys: Keys, draft: Draft, kept: Content, subject_mark: str, expires: str, seen: Seen) -> Write:
    """The row of this mailbox's copy. It names the files it brought, which another copy's may replace in the record:
    whoever erases a mail finds them all. `expires` is "" for a copy that lets the mail stay."""
    envelope = draft.record.envelope
    values: dict[str, Value] = {
        "item": envelope.id,
        "folder": envelope.folder,
        "subject": envelope.subject[:SHORT],
        "mark": subject_mark,
    }
    if envelope.received:
        values["received"] = iso(envelope.received)
    if envelope.conversation:
        values["thread"] = thread(keys, envelope.conversation)
    if expires:
        values["expires"] = expires
    files = [one.file for one in draft.record.attachments if one.file]
    named = orjson.dumps(sorted([*kept.files, *files])).decode()
    if len(named) > INLINE_BYTES:  # then the body's list must do
        named = orjson.dumps(sorted(kept.files)).decode()
    if kept.files or files:
        values["files"] = named
    # A copy without a record is what is left of a mail that is being removed.
    action: Literal["insert", "replace"] = "insert" if seen.item is None else "replace"
    return Write(action, f"r|{draft.key}|s|{draft.record.mailbox}", values)


def thread(keys: Keys, conversation: str) -> str:
    """Under which key the mails of a conversation stand on a timeline."""
    return "t" + keys.of("thread", conversation)


def iso(known: datetime) -> str:
    """A time to the second with its zone; one without a zone counts as UTC."""
    aware = known if known.tzinfo else known.replace(tzinfo=UTC)
    return aware.replace(microsecond=0).isoformat()


def addresses(many: Iterable[Address | None]) -> str:
    """Addresses as JSON, [[name, address], ...]; empty where there is none."""
    pairs = [[one.name, one.address] for one in many if one is not None]
    if not pairs:
        return ""
    try:
        return orjson.dumps(pairs).decode()
    except orjson.JSONEncodeError:  # half of a surrogate pair
        return orjson.dumps([[_whole(name), _whole(address)] for name, address in pairs]).decode()


def read_addresses(text: str) -> tuple[Address, ...]:
    """Addresses from their JSON."""
    return tuple(Address(name, address) for name, address in orjson.loads(text)) if text else ()


def packed(units: Sequence[tuple[int, int]], rows: int, weight: int) -> list[list[int]]:
    """Positions of units (rows, weight) in groups that stay within both limits, in order; none is split."""
    groups: list[list[int]] = []
    room_rows = room_weight = -1
    for position, (its_rows, its_weight) in enumerate(units):
        room_rows, room_weight = room_rows - its_rows, room_weight - its_weight
        if room_rows < 0 or room_weight < 0:
            groups.append([])
            room_rows, room_weight = rows - its_rows, weight - its_weight
        groups[-1].append(position)
    return groups


def attachment_file(keys: Keys, key: str, number: int, attachment: Attachment) -> str:
    """The name of an attachment's file: the same from whichever mailbox it comes."""
    place = keys.of("attachment", str(number), attachment.name, str(attachment.size))
    return f"mail/{key}/files/{place[:16]}"


def read_attachments(text: str) -> tuple[Filed, ...]:
    """Attachments from their JSON."""
    rows = orjson.loads(text) if text else ()
    return tuple(Filed(Attachment("", *row[:-2]), *row[-2:]) for row in rows)


def _said(record: MailRecord, html: str, text: str) -> dict[str, str]:
    rows = [
        [one.name, one.content_type, one.size, one.inline, one.content_id, one.kind, filed.file, filed.why]
        for filed in record.attachments
        for one in [filed.attachment]
    ]
    return {"html": html, "text": text, "files": _dumped(rows) if rows else ""}


def _dumped(rows: list[list[Any]]) -> str:
    try:
        return orjson.dumps(rows).decode()
    except orjson.JSONEncodeError:  # half of a surrogate pair
        return orjson.dumps([[_whole(one) if isinstance(one, str) else one for one in row] for row in rows]).decode()


def _headers(envelope: Envelope) -> dict[str, str]:
    return {
        "message_id": envelope.message_id,
        "conversation": envelope.conversation,
        "subject": envelope.subject,
        "author": addresses((envelope.author,)),
        "sender": addresses((envelope.sender,)),
        "to": addresses(envelope.to),
        "cc": addresses(envelope.cc),
    }


def _same_copy(one: MailRecord, other: MailRecord) -> bool:
    if one.mailbox != other.mailbox:
        return False
    mine, its = one.envelope, other.envelope
    return mine.id == its.id or folded_subject(mine.subject) == folded_subject(its.subject)


def _united(draft: Draft, other: MailRecord) -> Draft:
    """A draft with what another copy in the same mailbox knows: people, Bcc, and that the mail stays."""
    record = draft.record
    there = {one.who for one in record.relations}
    missing = tuple(one for one in other.relations if one.who not in there)
    envelope = record.envelope if record.envelope.bcc else replace(record.envelope, bcc=other.envelope.bcc)
    expires = None if None in (record.expires, other.expires) else record.expires
    united = replace(record, relations=record.relations + missing, envelope=envelope, expires=expires)
    return replace(draft, record=united)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
