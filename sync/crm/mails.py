"""Mails in the CRM's tables: stored with relations and feed in one group, then shown on each person's timeline.

1. The quick way reads nothing: record and relations are merged, this mailbox's sighting is inserted.
2. A sighting that exists stops its group; only then are the rows of its keys read, and `records.decide` decides.
3. The sighting goes with the last group of a mail, so whoever sees it sees all relations.
4. Files go before the rows that name them, timeline rows after the records they lead to.
5. Who died in between left a sighting without timeline rows. `known` hides such a sighting, so the mail is handed in
   again, and `keep` completes what is missing.
6. What expires may be removed at any time after. A copy therefore lasts for an hour at least, longer than any run;
   nothing but a copy of its own is added to a mail that has less; and whatever ends that a mail expires holds only for
   the very record that was read. Whoever writes a file for a mail with less than an hour has it last for an hour more.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sync.crm import records, removal, timeline
from sync.crm.addresses import in_parts
from sync.crm.feed import GROUP_ROWS, GROUP_WEIGHT, TABLE, Feed, Unit
from sync.crm.records import Content, Draft, Seen, Verdict
from sync.errors import Exists, Retry, Stale
from sync.keys import Keys, bucket
from sync.model import Attachment, Kept, Known, MailRecord
from sync.ports import Blobs, Clock, Row, Tables, Value, Write

TIMELINE = "CrmTimeline"
TRIES = 10
MOST_COPIES = 100  # further copies of one mail in one mailbox that are noted: ids are long, and a row is small
SOON = timedelta(hours=1)
MORE_ROWS = 90  # relations in the last group of a mail; what is above goes before


@dataclass(slots=True)
class _Outcome:
    """What a call of `keep` did so far."""

    new: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    again: list[Draft] = field(default_factory=list)
    copies: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    apart: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    files: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    there: dict[tuple[str, str], Seen] = field(default_factory=dict)
    timeline: dict[str, dict[str, Write]] = field(default_factory=lambda: defaultdict(dict))

    def show(self, draft: Draft, time: str, people: Iterable[str]) -> None:
        """Have the mail on the timelines of these people and threads."""
        for who, write in timeline.timeline_writes(draft, time, people).items():
            self.timeline[bucket(who)][write.key] = write


@dataclass(frozen=True, slots=True)
class _Ready:
    """A draft with what is written for it; `expires` is "" for one that stays."""

    draft: Draft
    mark: str
    content: Content
    expires: str


class Mails:
    """Stores mails, and tells which are stored."""

    def __init__(self, tables: Tables, blobs: Blobs, keys: Keys, feed: Feed, clock: Clock) -> None:
        self._tables = tables
        self._blobs = blobs
        self._keys = keys
        self._feed = feed
        self._clock = clock

    def keep(self, many: Sequence[MailRecord]) -> Kept:
        """Store mails with relations, timeline and feed; storing the same again writes nothing.

        `new` are mails this mailbox had not shown: the quick way does not look whether another mailbox has.
        `joined` are those of which it was seen that another has. A mail told apart stands under its own key.
        A mail that is there already gets the people who are missing; if this record does not expire, it stays for good.
        """
        outcome = _Outcome()
        todo = [Draft(one.key, one) for one in many]
        while todo:
            settled = records.settle(todo)
            shown = {draft.key: draft.record.envelope.id for draft in settled.now}
            for draft in settled.twice:
                outcome.already.append(draft.key)
                if draft.record.envelope.id != shown[draft.key]:
                    outcome.copies[_where(draft)].add(draft.record.envelope.id)
            self._store(settled.now, outcome)
            todo = [*settled.later, *outcome.again]
            outcome.again = []
        for partition, writes in outcome.timeline.items():
            for part in in_parts(list(writes.values())):
                self._tables.write(TIMELINE, partition, part)
        # Last: whoever finds a copy noted here takes it for stored.
        for where in {**outcome.copies, **outcome.files}:
            self._note_copies(where, outcome)
        return Kept(tuple(outcome.new), tuple(outcome.joined), tuple(outcome.already))

    def file(self, key: str, number: int, attachment: Attachment, pieces: Iterable[bytes]) -> str:
        """Store the bytes of an attachment before its mail; returns the file's name."""
        self._prolong(key)
        name = records.attachment_file(self._keys, key, number, attachment)
        self._blobs.stream(name, pieces)
        return name

    def known(self, mailbox: str, keys: Collection[str]) -> Mapping[str, Known]:
        """What is known of these mail keys; unknown ones are absent, and so are those that expire within the hour. A
        copy whose timeline was never completed does not count as shown."""
        found = {}
        soon = self._soon()
        for key in set(keys):
            rows = self._rows(key, select=("item", "also", "time", "thread", "expires"))
            seen = _seen(key, mailbox, rows)
            if not seen.record or (seen.expires and seen.expires <= soon):
                continue
            shown = bool(seen.item) and not self._missing(key, seen.time, seen.shown_to)
            items = (str(seen.item), *sorted(seen.also)) if shown else ()
            found[key] = Known(True, items, frozenset(seen.people))
        return found

    def _prolong(self, key: str) -> None:
        """Have a mail that is about to expire last until whoever writes its files now has stored it again."""
        for _ in range(TRIES):
            rows = self._rows(key)
            expires, soon = removal.expires(key, rows), self._soon()
            if f"r|{key}" not in rows or not expires or expires > soon:
                return
            copy = next(row for row in rows if row.startswith(f"r|{key}|s|"))
            record = Write("merge", f"r|{key}", {"type": "mail"}, rows[f"r|{key}"].version)
            writes = [record, Write("merge", copy, {"expires": soon}), removal.index_write(soon, key)]
            try:
                self._feed.append(bucket(key), [Unit(key, "mail", writes, len(writes) * records.ROW_BYTES)])
            except (Exists, Stale):
                continue  # removed, or stored again, since it was read
            return
        raise Retry("Other workers are storing the same mail.", after=5)

    def _soon(self) -> str:
        return removal.moment(self._clock() + SOON)

    # -- the quick way

    def _store(self, drafts: Iterable[Draft], outcome: _Outcome) -> None:
        buckets: dict[str, list[_Ready]] = defaultdict(list)
        for draft in drafts:
            buckets[bucket(draft.key)].append(self._ready(draft))
        for partition, many in buckets.items():
            units = [self._unit(one, Verdict("new", one.draft.record.relations), Seen()) for one in many]
            sizes = [(unit.rows, unit.weight) for unit in units]
            for group in records.packed(sizes, GROUP_ROWS, GROUP_WEIGHT):
                self._store_group(partition, [many[one] for one in group], [units[one] for one in group], outcome)

    def _store_group(self, partition: str, many: Sequence[_Ready], units: Sequence[Unit], outcome: _Outcome) -> None:
        if units[0].rows > GROUP_ROWS:  # alone in its group, and not to be begun without knowing what is there
            self._store_slowly(partition, many, outcome)
            return
        self._store_files(many)
        try:
            self._feed.append(partition, units)
        except Exists:
            self._store_slowly(partition, many, outcome)
            return
        for ready in many:
            outcome.new.append(ready.draft.key)
            people = timeline.shown_to(self._keys, ready.draft)
            outcome.show(ready.draft, records.moment(ready.draft.record.envelope), people)

    def _ready(self, draft: Draft) -> _Ready:
        subject_mark = records.mark(self._keys, draft.record.envelope.subject)
        expires = draft.record.expires
        until = max(removal.moment(expires), self._soon()) if expires else ""
        return _Ready(draft, subject_mark, records.content(self._keys, draft), until)

    def _store_files(self, many: Iterable[_Ready]) -> None:
        for ready in many:
            for name, data in ready.content.files.items():
                self._blobs.put(name, data)

    # -- the slow way: something is there

    def _store_slowly(self, partition: str, many: Sequence[_Ready], outcome: _Outcome) -> None:
        for _ in range(TRIES):
            seen = [_seen(one.draft.key, one.draft.record.mailbox, self._rows(one.draft.key)) for one in many]
            soon = self._soon()
            verdicts = [records.decide(one.draft, one.mark, its, soon) for one, its in zip(many, seen, strict=True)]
            try:
                self._apply(partition, list(zip(many, verdicts, seen, strict=True)))
            except (Exists, Stale):
                continue  # somebody stored or removed one of them since it was read
            for one, verdict, its in zip(many, verdicts, seen, strict=True):
                self._note(one, verdict, its, outcome)
            return
        raise Retry("Other workers are storing the same mails.", after=5)

    def _apply(self, partition: str, decided: Sequence[tuple[_Ready, Verdict, Seen]]) -> None:
        units = []
        for ready, verdict, seen in decided:
            unit = self._unit(ready, verdict, seen)
            if not unit.writes:
                continue
            self._store_files([ready])
            if unit.rows > GROUP_ROWS:
                early = len(unit.writes) - MORE_ROWS
                for part in in_parts(unit.writes[:early]):
                    self._tables.write(TABLE, partition, part)
                unit = Unit(unit.key, unit.type, unit.writes[early:], unit.weight)
            units.append(unit)
        if units:
            self._feed.append(partition, units)

    def _unit(self, ready: _Ready, verdict: Verdict, seen: Seen) -> Unit:
        """The rows of a draft, those that may go early first, the sighting last; none where nothing is missing."""
        draft, key = ready.draft, ready.draft.key
        people = list(records.relation_writes(key, verdict.relations).values())
        more = [] if verdict.leaves else records.bcc_writes(draft, ready.content, seen.bcc)
        weight = ready.content.weight + len(people) * records.ROW_BYTES
        if verdict.stays:  # first, and only over what was read: from here on nobody removes it
            record = Write("merge", f"r|{key}", {"type": "mail"}, seen.version)
            sighting = Write("merge", _sighting(key, draft.record.mailbox), {"expires": ""})
            return Unit(key, "mail", [record, sighting, *more, *people], weight)
        if verdict.fate == "again":
            return Unit(key, "mail", [])
        if verdict.fate == "already":
            # Only new: whoever put the same people beside it meanwhile is noticed, and the feed says it once.
            return Unit(key, "mail", [*more, *(replace(one, action="insert") for one in people)], weight)
        record = records.record_write(draft, ready.content, seen)
        sighting = records.sighting_write(self._keys, draft, ready.content, ready.mark, ready.expires, seen)
        if ready.expires:
            more.append(removal.index_write(ready.expires, key))
            weight += records.ROW_BYTES
        writes = [record, *records.body_writes(draft, ready.content), *more, *people, sighting]
        return Unit(key, "mail", writes, weight)

    def _note(self, ready: _Ready, verdict: Verdict, seen: Seen, outcome: _Outcome) -> None:
        draft = ready.draft
        outcome.there[_where(draft)] = seen
        if verdict.copy:
            outcome.copies[_where(draft)].add(draft.record.envelope.id)
        if verdict.fate in ("already", "again") and not verdict.leaves:  # they went before anybody knew
            outcome.files[_where(draft)].update(ready.content.files)
        if verdict.fate == "again":
            apart = records.told_apart(self._keys, draft)
            outcome.again.append(apart)
            outcome.apart[_where(draft)].add(apart.key)
            return
        {"new": outcome.new, "joined": outcome.joined, "already": outcome.already}[verdict.fate].append(draft.key)
        time = seen.time or records.moment(draft.record.envelope)
        people = timeline.shown_to(self._keys, draft)
        if verdict.leaves:
            people = frozenset()
        elif verdict.fate == "already":
            relations = {one.who for one in draft.record.relations}
            people = self._missing(draft.key, time, relations | seen.shown_to)
        outcome.show(draft, time, people)

    def _note_copies(self, where: tuple[str, str], outcome: _Outcome) -> None:
        """Note further copies, mails told apart and files beside this mailbox's copy, where they are not yet."""
        seen = outcome.there.get(where, Seen())
        for _ in range(TRIES):
            values = self._notes(where, outcome, seen)
            if not values:
                return
            key, mailbox = where
            row = self._tables.get(TABLE, bucket(key), _sighting(key, mailbox))
            if row is None or "item" not in row.values:  # removed meanwhile: nothing to note it beside
                return
            # What others noted since it was read stays, too.
            now = _seen(key, mailbox, {row.key: row})
            values = self._notes(where, outcome, now)
            try:
                if values:
                    self._tables.write(TABLE, bucket(key), [Write("merge", row.key, values, row.version)])
            except Stale:
                continue
            return

    def _notes(self, where: tuple[str, str], outcome: _Outcome, seen: Seen) -> dict[str, Value]:
        """What is to be noted beside a copy that was seen so."""
        notes = (
            ("also", seen.also, outcome.copies[where] - {seen.item}, MOST_COPIES),
            ("apart", seen.apart, outcome.apart[where], MOST_COPIES),
            ("files", seen.files, outcome.files[where], None),
        )
        texts = {name: json.dumps(sorted(old | new)[:most]) for name, old, new, most in notes if not new <= old}
        return {name: text for name, text in texts.items() if len(text) <= records.INLINE_BYTES}

    def _missing(self, key: str, time: str, people: Iterable[str]) -> frozenset[str]:
        """Those people and threads on whose timeline a mail does not stand."""
        return frozenset(
            who
            for who in people
            if self._tables.get(TIMELINE, bucket(who), timeline.timeline_key(who, time, key)) is None
        )

    def _rows(self, key: str, select: Sequence[str] = ()) -> dict[str, Row]:
        return {row.key: row for row in self._tables.rows(TABLE, bucket(key), f"r|{key}", f"r|{key}~", select)}


def _where(draft: Draft) -> tuple[str, str]:
    return draft.key, draft.record.mailbox


def _sighting(key: str, mailbox: str) -> str:
    return f"r|{key}|s|{mailbox}"


def _seen(key: str, mailbox: str, rows: Mapping[str, Row]) -> Seen:
    record, sighting = rows.get(f"r|{key}"), rows.get(_sighting(key, mailbox))
    mine = sighting.values if sighting else {}
    before, hidden = f"r|{key}|p|", f"r|{key}|h|{mailbox}|"
    return Seen(
        record=record is not None,
        time=str(record.values.get("time", "")) if record else "",
        item=str(mine.get("item", "")) if sighting else None,
        mark=str(mine.get("mark", "")),
        also=frozenset(json.loads(str(mine.get("also", "[]")))),
        people={row.removeprefix(before) for row in rows if row.startswith(before)},
        version=record.version if record else "",
        thread=str(mine.get("thread", "")),
        bcc=frozenset(row.removeprefix(hidden) for row in rows if row.startswith(hidden)),
        expires=removal.expires(key, rows),
        apart=frozenset(json.loads(str(mine.get("apart", "[]")))),
        files=frozenset(json.loads(str(mine.get("files", "[]")))),
    )
