"""Mail that matches nobody is kept for a time and then removed whole, unless a contact turns up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dev.memory import ManualClock, MemoryBlobs, MemoryTables
from sync.crm import removal
from sync.crm.builtin import Builtin
from sync.crm.purge import PAGE
from sync.errors import Stale, StorageUnavailable
from sync.model import Address, Attachment, Filed, Kept, Known, MailRecord
from sync.ports import Tables, Write
from sync.storage import Storage
from tests.builders import KEYS
from tests.contracts.crm_world import (
    ADA,
    BEN,
    CAROL,
    EVE,
    ROSA,
    Counting,
    Interrupted,
    Killed,
    Section,
    a_crowd,
    a_mail,
    a_worker,
    all_changes,
    gapless,
    subjects,
    told_by_bcc,
)

MONTH = timedelta(days=30)
PDF = Attachment("AAMk", "a.pdf", "application/pdf", 70, False, "", "file")

lost_and_refused = pytest.mark.parametrize("lose_answer", [False, True], ids=["before a write", "after a write"])


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return another(storage, clock)


def another(storage: Storage, clock: ManualClock, tables: Tables | None = None) -> Builtin:
    return Builtin(tables or storage.tables, storage.blobs, KEYS, clock)


def unmatched(clock: ManualClock, number: int = 1, **changes: Any) -> MailRecord:
    """A mail beside which stands a user at most, kept for a month."""
    return a_mail(number, **{"people": (CAROL,), "expires": clock() + MONTH, **changes})


def rows(storage: Storage) -> list[tuple[str, str]]:
    """All that is stored but for feed and counters."""
    return [
        (table, row.key)
        for table in ("CrmRecords", "CrmTimeline")
        for row in storage.tables.scan(table)
        if not row.key.startswith(("f|", "c"))
    ]


def with_attachment(crm: Builtin, mail: MailRecord) -> tuple[MailRecord, str]:
    name = crm.file(mail.key, 0, PDF, [b"bytes"])
    return MailRecord(**{**_fields(mail), "attachments": (Filed(PDF, name),)}), name


def _fields(mail: MailRecord) -> dict[str, Any]:
    return {name: getattr(mail, name) for name in MailRecord.__dataclass_fields__}


# -- kept for a time


def test_a_mail_that_matches_nobody_stands_with_its_users_and_says_when_it_goes(
    crm: Builtin, clock: ManualClock
) -> None:
    crm.keep([unmatched(clock)])

    mail = crm.mail(a_mail().key)

    assert mail is not None
    assert (mail.expires, [one.key for one in mail.relations]) == (clock() + MONTH, [CAROL.key])
    assert subjects(crm, CAROL) == ["Review"]


def test_what_expired_is_removed_with_everything_and_followers_are_told(
    storage: Storage, crm: Builtin, clock: ManualClock
) -> None:
    large = tuple(Address("", f"person{number}@client.example") for number in range(2000))
    first, name = with_attachment(crm, unmatched(clock, html="x" * 40_000, to=large, bcc=large[1:]))
    crm.keep([told_by_bcc(first, (EVE, CAROL)), unmatched(clock, 1, mailbox=BEN, html="y" * 40_000)])
    files = {name, *_files(storage, first.key)}
    _, seen = crm.changes("", 50)
    clock.advance(MONTH.total_seconds())

    removed = crm.purge(clock(), 10)

    assert removed == 1
    assert rows(storage) == []
    assert len(files) == 5
    assert [one for one in files if storage.blobs.get(one)] == []
    assert crm.mail(first.key) is None
    assert crm.known(ADA, [first.key]) == {}
    ((change,), _) = crm.changes(seen, 50)
    assert (change.key, change.type, change.removed) == (first.key, "mail", True)
    assert gapless(all_changes(crm))


def _files(storage: Storage, key: str) -> set[str]:
    found = set()
    for row in storage.tables.scan("CrmRecords"):
        for value in (row.values.get("large"), row.values.get("files")):
            found |= {one for one in str(value or "").split('"') if one.startswith(f"mail/{key}/")}
    return found


def test_what_has_not_expired_is_left_alone_and_the_limit_is_kept(crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock, number, subject=f"{number}") for number in range(6)])
    clock.advance(60)
    crm.keep([unmatched(clock, 9, subject="later"), a_mail(10, people=(CAROL,), subject="matched")])
    early = crm.purge(clock(), 10)
    clock.advance(MONTH.total_seconds() - 60)

    removed = [crm.purge(clock(), 4) for _ in range(3)]

    assert (early, removed) == (0, [4, 2, 0])
    assert subjects(crm, CAROL) == ["matched", "later"]


def test_a_removed_mail_can_be_kept_again(storage: Storage, crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock)])
    clock.advance(MONTH.total_seconds())
    crm.purge(clock(), 10)

    kept = crm.keep([a_mail()])

    assert kept == Kept(new=(a_mail().key,))
    assert crm.purge(clock() + MONTH, 10) == 0
    assert subjects(crm) == ["Review"]
    assert [one.removed for one in all_changes(crm)] == [False, True, False]


def test_finding_nothing_costs_sixteen_reads(storage: Storage, clock: ManualClock) -> None:
    another(storage, clock).keep([unmatched(clock, number) for number in range(40)])
    tables = Counting(storage.tables)

    another(storage, clock, tables).purge(clock(), 100)

    assert (len(tables.reads), tables.writes) == (16, [])


def test_crowds_beside_a_mail_are_removed_with_it(storage: Storage, crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock, people=a_crowd(250))])
    clock.advance(MONTH.total_seconds())

    removed = crm.purge(clock(), 10)

    assert (removed, rows(storage)) == (1, [])
    assert storage.blobs.get(f"mail/{a_mail().key}/removal") is None


def test_a_mail_in_many_mailboxes_is_removed_with_all_its_copies(
    storage: Storage, crm: Builtin, clock: ManualClock
) -> None:
    for number in range(65):
        crm.keep([unmatched(clock, mailbox=f"{number:032x}", id=f"copy {number}", expires=clock() + MONTH)])
        clock.advance(1)
    clock.advance(MONTH.total_seconds())

    removed = [crm.purge(clock(), 10) for _ in range(2)]

    assert (removed, rows(storage)) == ([1, 0], [])


# -- a contact turns up


def test_a_later_contact_ends_that_a_mail_expires(storage: Storage, crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock)])
    _, seen = crm.changes("", 50)

    crm.keep([a_mail(people=(CAROL, ROSA), html=None, text=None)])
    clock.advance(2 * MONTH.total_seconds())

    assert crm.purge(clock(), 10) == 0
    mail = crm.mail(a_mail().key)
    assert mail is not None
    assert (mail.expires, mail.text) == (None, "Dear Ada")
    assert (subjects(crm), subjects(crm, CAROL)) == (["Review"], ["Review"])
    assert [(one.key, one.removed) for one in crm.changes(seen, 50)[0]] == [(mail.key, False)]
    assert [key for _, key in rows(storage) if key.startswith("x|")] == []


@pytest.mark.parametrize("matched_first", [False, True])
def test_a_mail_that_matches_in_one_mailbox_never_expires(
    crm: Builtin, clock: ManualClock, matched_first: bool
) -> None:
    copies = [unmatched(clock), a_mail(mailbox=BEN)]
    for copy in reversed(copies) if matched_first else copies:
        crm.keep([copy])
    clock.advance(2 * MONTH.total_seconds())

    assert crm.purge(clock(), 10) == 0
    mail = crm.mail(a_mail().key)
    assert mail is not None
    assert (mail.expires, len(mail.sightings)) == (None, 2)


def test_the_last_of_two_copies_counts(crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock)])
    crm.keep([unmatched(clock, mailbox=BEN, expires=clock() + 2 * MONTH)])
    start = clock()
    clock.advance(2 * MONTH.total_seconds())

    assert [crm.purge(start + MONTH, 10), crm.purge(clock() - timedelta(seconds=1), 10)] == [0, 0]
    assert crm.purge(clock(), 10) == 1


@pytest.mark.parametrize("mailbox", [ADA, BEN], ids=["the same mailbox", "another"])
def test_whoever_stores_the_mail_while_it_is_being_removed_keeps_it(
    storage: Storage, clock: ManualClock, mailbox: str
) -> None:
    quick = another(storage, clock)
    quick.keep([unmatched(clock)])
    clock.advance(MONTH.total_seconds())
    tables = Interrupted(storage.tables, "CrmRecords", [lambda: quick.keep([a_mail(mailbox=mailbox)])])

    removed = another(storage, clock, tables).purge(clock(), 10)

    assert removed == 0
    assert (subjects(quick), subjects(quick, CAROL)) == (["Review"], ["Review"])
    assert quick.purge(clock(), 10) == 0
    mail = quick.mail(a_mail().key)
    assert mail is not None
    assert (mail.text, mail.expires) == ("Dear Ada", None)


def test_a_mail_removed_while_a_contact_is_being_added_is_stored_anew(storage: Storage, clock: ManualClock) -> None:
    quick = another(storage, clock)
    quick.keep([unmatched(clock)])
    clock.advance(MONTH.total_seconds())
    others = [lambda: None, lambda: quick.purge(clock(), 10)]  # the first group finds the mail there
    tables = Interrupted(storage.tables, "CrmRecords", others)

    kept = another(storage, clock, tables).keep([a_mail()])

    mail = quick.mail(a_mail().key)
    assert kept == Kept(new=(a_mail().key,))
    assert mail is not None
    assert (mail.text, subjects(quick), subjects(quick, CAROL)) == ("Dear Ada", ["Review"], [])
    assert [one.removed for one in all_changes(quick)] == [False, True, False]


def test_whoever_stores_the_mail_after_its_record_went_keeps_his_lines_and_files(
    storage: Storage, clock: ManualClock
) -> None:
    quick = another(storage, clock)
    mail, name = with_attachment(quick, unmatched(clock, people=(CAROL, EVE), html="x" * 40_000))
    quick.keep([mail])
    clock.advance(MONTH.total_seconds())

    def again() -> None:
        quick.file(mail.key, 0, PDF, [b"bytes"])
        quick.keep([MailRecord(**{**_fields(mail), "relations": mail.relations[:1], "expires": None})])

    tables = Interrupted(storage.tables, "CrmTimeline", [again])

    another(storage, clock, tables).purge(clock(), 10)

    there = quick.mail(mail.key)
    assert there is not None
    assert len(there.html) == 40_000
    assert storage.blobs.get(name) is not None
    assert (subjects(quick, CAROL), subjects(quick, EVE)) == (["Review"], [])
    assert quick.known(ADA, [mail.key]) == {mail.key: Known(True, (mail.envelope.id,), frozenset({CAROL.key}))}


def test_two_workers_may_remove_at_the_same_time(storage: Storage, clock: ManualClock) -> None:
    quick = another(storage, clock)
    quick.keep([unmatched(clock, number) for number in range(3)])
    clock.advance(MONTH.total_seconds())
    tables = Interrupted(storage.tables, "CrmRecords", [lambda: quick.purge(clock(), 10)])

    another(storage, clock, tables).purge(clock(), 10)

    assert rows(storage) == []
    assert len([one for one in all_changes(quick) if one.removed]) == 3


def test_a_storage_that_does_not_name_the_row_in_the_way_is_understood_all_the_same(
    storage: Storage, clock: ManualClock
) -> None:
    class Silent(Interrupted):
        def write(self, table: str, partition: str, writes: Any) -> dict[str, str]:
            try:
                return super().write(table, partition, writes)
            except Stale as error:
                raise Stale(error.sentence) from error

    quick = another(storage, clock)
    users = [one for one in a_crowd(16) if one.key[1] == CAROL.key[1]] or a_crowd(2)
    quick.keep([unmatched(clock, people=(*users, CAROL))])
    clock.advance(MONTH.total_seconds())
    kept_again = [lambda: quick.keep([a_mail(people=(CAROL,))])]
    tables = Silent(storage.tables, "CrmTimeline", kept_again)

    another(storage, clock, tables).purge(clock(), 10)

    assert subjects(quick, CAROL) == ["Review"]
    assert [subjects(quick, one) for one in users] == [[]] * len(users)


# -- what has less than an hour left


def test_a_copy_lasts_for_an_hour_at_least(crm: Builtin, clock: ManualClock) -> None:
    crm.keep([unmatched(clock, expires=clock() - MONTH)])

    assert crm.purge(clock() + timedelta(minutes=59), 10) == 0
    assert crm.purge(clock() + timedelta(minutes=61), 10) == 1


def test_a_mail_about_to_expire_is_unknown_so_that_its_body_is_read_again(crm: Builtin, clock: ManualClock) -> None:
    mail = unmatched(clock)
    crm.keep([mail])
    clock.advance(MONTH.total_seconds() - 3500)

    assert crm.known(ADA, [mail.key]) == {}
    kept = crm.keep([unmatched(clock, people=(CAROL, EVE)), unmatched(clock, id="a copy", people=(CAROL, EVE))])
    clock.advance(3500)
    crm.purge(clock(), 10)

    assert kept.new == ()
    assert (subjects(crm, CAROL), subjects(crm, EVE)) == ([], [])


def test_mails_told_apart_do_not_take_each_others_attachments(
    storage: Storage, crm: Builtin, clock: ManualClock
) -> None:
    first, name = with_attachment(crm, unmatched(clock))
    apart, same = with_attachment(crm, a_mail(id="other", subject="Invoice"))
    second, _ = with_attachment(crm, unmatched(clock, id="third", subject="Offer"))
    crm.keep([first])
    crm.keep([apart])
    crm.keep([second])
    clock.advance(2 * MONTH.total_seconds())

    removed = crm.purge(clock(), 10)

    assert (removed, name) == (2, same)
    assert storage.blobs.get(name) is not None


# -- whoever is killed


def keep_and_remove(crm: Builtin, clock: ManualClock) -> None:
    """What expires is kept and removed, beside mail that a contact saves, has more owners, or matches elsewhere."""
    start = clock()
    expires = start.replace(month=4)  # as the capture computes it: from the mail, not from now
    saved = a_mail(2, people=(CAROL,), expires=expires)
    mails = [
        a_mail(1, people=(CAROL,), expires=expires, html="x" * 40_000, bcc=(Address("", "b@x.example"),)),
        saved,
        a_mail(3, people=a_crowd(62), expires=expires),
        a_mail(4, people=(), expires=expires),
        told_by_bcc(a_mail(5), (EVE, CAROL)),
    ]
    name = crm.file(mails[0].key, 0, PDF, [b"bytes"])
    mails[0] = MailRecord(**{**_fields(mails[0]), "attachments": (Filed(PDF, name),)})
    crm.keep(mails)
    crm.keep([a_mail(2, people=(CAROL, ROSA)), a_mail(4, mailbox=BEN)])
    crm.keep([told_by_bcc(a_mail(5, mailbox=BEN), (EVE, ROSA))])
    crm.purge(expires, 100)


def only_remove(crm: Builtin, clock: ManualClock) -> None:
    crm.purge(clock().replace(month=4), 100)


@lost_and_refused
@pytest.mark.parametrize("repeated", [keep_and_remove, only_remove])
def test_whoever_is_killed_while_removing_is_completed(
    storage: Storage, clock: ManualClock, repeated: Callable[[Builtin, ManualClock], None], lose_answer: bool
) -> None:
    undisturbed = Section(storage.tables, storage.blobs, "undisturbed-")
    kept, writes = _writes(undisturbed, clock)
    keep_and_remove(a_worker(undisturbed, clock), clock)
    expected = _stored(undisturbed)
    in_memory = isinstance(storage.tables, MemoryTables)
    first = 1 if repeated is keep_and_remove and in_memory else kept + 2

    for write in range(first, writes + 1, 1 if in_memory else writes):  # a real storage takes its time
        section = Section(storage.tables, storage.blobs, f"killed{write}-")
        section.fuse, section.lose_answer = write, lose_answer
        with pytest.raises(Killed):
            keep_and_remove(a_worker(section, clock), clock)
        survivor = a_worker(section, clock)
        repeated(survivor, clock)
        if repeated is only_remove:
            assert _gone(section), f"killed at write {write}"
            keep_and_remove(survivor, clock)

        assert _stored(section) == expected, f"killed at write {write}"
        assert section.files == undisturbed.files, f"killed at write {write}"
        assert gapless(all_changes(survivor, 100)), f"killed at write {write}"


def _stored(section: Section) -> dict[str, Any]:
    """What lasts, but for which of two mailboxes a line names: whichever wrote it."""
    return {
        table: {place: {name: of[name] for name in of if name != "mailbox"} for place, of in many.items()}
        for table, many in section.contents().items()
    }


def _writes(section: Section, clock: ManualClock) -> tuple[int, int]:
    """How many writes come before the removal, and how many there are."""
    before = []

    class Noting(Builtin):
        def purge(self, *given: Any) -> int:
            before.append(-1 - section.fuse)
            return super().purge(*given)

    keep_and_remove(Noting(section, section, KEYS, clock), clock)
    return before[0], -1 - section.fuse


def _gone(section: Section) -> bool:
    """Whether nothing is left of the mails that expired: no row, line or file."""
    keys = {a_mail(1).key, a_mail(3).key}
    left = [key for table in section.contents().values() for _, key in table if any(one in key for one in keys)]
    return not left and not [one for one in section.files if any(key in one for key in keys)]


def test_an_index_row_of_a_mail_that_stays_is_dropped_in_its_time_unless_it_is_written_again(
    storage: Storage, clock: ManualClock
) -> None:
    quick = another(storage, clock)
    quick.keep([unmatched(clock), a_mail(mailbox=BEN)])
    start = clock()
    clock.advance(MONTH.total_seconds())
    index = next(key for _, key in rows(storage) if key.startswith("x|"))

    def touch() -> None:
        storage.tables.write("CrmRecords", a_mail().key[1], [Write("merge", index, {"key": a_mail().key})])

    another(storage, clock, Interrupted(storage.tables, "CrmRecords", [touch])).purge(clock(), 10)
    assert ("CrmRecords", index) in rows(storage)
    assert quick.purge(start, 10) == 0
    assert ("CrmRecords", index) in rows(storage)
    quick.purge(clock(), 10)

    assert ("CrmRecords", index) not in rows(storage)
    assert subjects(quick) == ["Review"]


def test_index_rows_that_lead_to_no_mail_do_not_end_the_day(clock: ManualClock) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    crm = Builtin(tables, blobs, KEYS, clock)
    crm.keep([unmatched(clock, subject="goes")])
    clock.advance(MONTH.total_seconds())
    partition = a_mail().key[1]
    early = removal.moment(clock() - MONTH)
    for number in range(2 * PAGE + 7):
        index = removal.index_write(early, f"m{number:032x}")
        tables.write("CrmRecords", partition, [index])

    removed = crm.purge(clock(), 10)

    assert removed == 1
    assert [row.key for row in tables.scan("CrmRecords") if row.key.startswith("x|")] == []


def test_a_removal_ends_when_its_time_is_over(clock: ManualClock) -> None:
    crm = Builtin(MemoryTables(), MemoryBlobs(), KEYS, clock)
    crm.keep([unmatched(clock, number) for number in range(5)])
    clock.advance(MONTH.total_seconds())
    left = iter([True, True, False])

    assert crm.purge(clock(), 10, lambda: next(left)) == 2
    assert crm.purge(clock(), 10) == 3


def test_a_mail_that_cannot_be_removed_stops_no_other_and_is_told_at_the_end(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    tables = MemoryTables()
    crm = Builtin(tables, MemoryBlobs(), KEYS, clock)
    mails = [unmatched(clock, number) for number in range(9)]
    crm.keep(mails)
    clock.advance(MONTH.total_seconds())
    for bad in mails[:2]:
        broken = {"files": "no list"}
        tables.write("CrmRecords", bad.key[1], [Write("merge", f"r|{bad.key}|s|{ADA}", broken)])

    with pytest.raises(ValueError, match="invalid literal"):
        crm.purge(clock(), 100)

    assert [crm.mail(one.key) is None for one in mails] == [False] * 2 + [True] * 7
    assert caplog.messages == ["purge: a mail could not be removed (JSONDecodeError)"] * 2


def test_a_storage_that_does_not_answer_ends_a_removal(clock: ManualClock) -> None:
    def silent() -> None:
        raise StorageUnavailable("The storage did not answer.", 15)

    tables = MemoryTables()
    Builtin(tables, MemoryBlobs(), KEYS, clock).keep([unmatched(clock, number) for number in range(9)])
    clock.advance(MONTH.total_seconds())
    counted = Interrupted(tables, "CrmRecords", [silent])

    with pytest.raises(StorageUnavailable):
        Builtin(counted, MemoryBlobs(), KEYS, clock).purge(clock(), 100)

    assert counted.writes == []


def test_a_file_written_for_a_mail_about_to_expire_outlasts_its_removal(
    storage: Storage, crm: Builtin, clock: ManualClock
) -> None:
    mail, _ = with_attachment(crm, unmatched(clock))
    crm.keep([mail])
    clock.advance(MONTH.total_seconds() - 60)

    again, name = with_attachment(crm, a_mail())
    clock.advance(120)
    removed = another(storage, clock).purge(clock(), 10)
    crm.keep([again])
    clock.advance(2 * MONTH.total_seconds())

    assert (removed, crm.purge(clock(), 10)) == (0, 0)
    there = crm.mail(again.key)
    assert there is not None
    assert [one.file for one in there.files] == [name]
    assert storage.blobs.get(name) is not None


def test_a_mail_whose_files_were_written_again_for_nothing_goes_an_hour_later(
    storage: Storage, crm: Builtin, clock: ManualClock
) -> None:
    mail, name = with_attachment(crm, unmatched(clock))
    crm.keep([mail])
    clock.advance(MONTH.total_seconds() - 60)
    with_attachment(crm, a_mail())
    clock.advance(3600)

    assert crm.purge(clock(), 10) == 1
    assert (rows(storage), storage.blobs.get(name)) == ([], None)


def test_a_file_written_while_its_mail_is_being_removed_is_there_for_who_stores_the_mail_a_moment_later(
    storage: Storage, clock: ManualClock
) -> None:
    quick = another(storage, clock)
    mail, name = with_attachment(quick, unmatched(clock))
    quick.keep([mail])
    clock.advance(MONTH.total_seconds())
    written = [lambda: with_attachment(quick, a_mail())]

    another(storage, clock, Interrupted(storage.tables, "CrmTimeline", written)).purge(clock(), 10)
    quick.keep([a_mail(attachments=(Filed(PDF, name),))])

    assert storage.blobs.get(name) is not None
    assert quick.mail(mail.key) is not None


def test_a_copy_noted_after_its_mail_was_removed_leaves_nothing_behind(storage: Storage, clock: ManualClock) -> None:
    quick = another(storage, clock)
    mail, copy = unmatched(clock), unmatched(clock, id="a copy")
    quick.keep([mail])
    clock.advance(MONTH.total_seconds() - 3700)

    def late() -> None:
        clock.advance(3701)
        quick.purge(clock(), 10)

    class Late(Counting):
        def get(self, table: str, partition: str, key: str) -> Any:
            if "|s|" in key:
                late()
            return super().get(table, partition, key)

    another(storage, clock, Late(storage.tables)).keep([mail, copy])

    assert [key for _, key in rows(storage) if "|s|" in key] == []
    assert quick.keep([a_mail()]) == Kept(new=(mail.key,))


def test_a_note_beside_no_copy_counts_as_none(storage: Storage, crm: Builtin, clock: ManualClock) -> None:
    mail = a_mail()
    crm.keep([a_mail(mailbox=BEN)])
    note = Write("merge", f"r|{mail.key}|s|{ADA}", {"also": '["a copy"]'})
    storage.tables.write("CrmRecords", mail.key[1], [note])

    before, view = crm.known(ADA, [mail.key]), crm.mail(mail.key)
    kept = crm.keep([mail])

    assert before[mail.key].items == ()
    assert view is not None
    assert [one.mailbox for one in view.sightings] == [BEN]
    assert kept == Kept(joined=(mail.key,))
    assert crm.known(ADA, [mail.key])[mail.key].items == (mail.envelope.id,)
