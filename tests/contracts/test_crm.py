"""The contract of the built-in CRM for mails, on memory and on Azurite: kept once, found again, never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dev.memory import ManualClock
from sync.crm import records
from sync.crm.builtin import Builtin
from sync.errors import BadItem, Exists, Retry, Stale, TooLarge
from sync.keys import BUCKETS, bucket
from sync.meter import Meter
from sync.model import Address, Kept, Known
from sync.ports import Tables
from sync.storage import Storage, open_storage, prepare
from tests.builders import KEYS, NOON
from tests.contracts.crm_world import (
    ADA,
    BEN,
    CAROL,
    EVE,
    ROSA,
    Counting,
    Interrupted,
    a_crowd,
    a_mail,
    all_changes,
    gapless,
    subjects,
)

HOSTILE = [
    "",
    " ",
    "\x00\x01\x1b[2J",
    "line\r\nline\ttab",
    "' or PartitionKey ne '",
    "a/b\\c#d?e%f",
    "\ud800 half",
    "\ufffe\uffff",
    "😀 e\u0301 é \u202e",
    "x" * 40_000,
    "<script>alert(1)</script>",
]


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return another(storage, clock)


def another(storage: Storage, clock: ManualClock, tables: Tables | None = None) -> Builtin:
    """A worker on the same storage that remembers nothing."""
    return Builtin(tables or storage.tables, storage.blobs, KEYS, clock)


# -- kept once


def test_a_kept_mail_stands_whole_in_the_crm(crm: Builtin) -> None:
    mail = a_mail(
        people=(ROSA, CAROL),
        sender=Address("Desk", "desk@client.example"),
        cc=(Address("Jörg", "j@client.example"),),
        attachments=True,
        direction="out",
    )

    kept = crm.keep([mail])
    there = crm.mail(mail.key)

    assert kept == Kept(new=(mail.key,))
    assert there is not None
    shown = mail.envelope
    assert (there.message_id, there.subject, there.conversation) == (shown.message_id, "Review", "thread")
    assert (there.author, there.sender, there.to, there.cc) == (shown.author, shown.sender, shown.to, shown.cc)
    assert (there.sent, there.received, there.direction, there.attachments) == (shown.sent, shown.received, "out", True)
    assert (there.html, there.text, there.first) == ("<p>Dear Ada</p>", "Dear Ada", "")
    assert [(one.key, one.kind, one.name, one.role) for one in there.relations] == [
        (ROSA.key, "contact", "Rosa Client", "to"),
        (CAROL.key, "user", "Carol Colleague", "to"),
    ]
    assert [(one.mailbox, one.item, one.folder) for one in there.sightings] == [(ADA, "item-a-1", "inbox")]


def test_a_mail_stands_on_the_timeline_of_contacts_and_users_alike(crm: Builtin) -> None:
    mail = a_mail(people=(ROSA, CAROL), direction="out")

    crm.keep([mail])

    (hers,), _ = crm.timeline(ROSA.key, 10)
    assert crm.timeline(CAROL.key, 10) == ([hers], "")
    assert (hers.key, hers.type, hers.subject, hers.mailbox) == (mail.key, "mail", "Review", ADA)
    assert (hers.author, hers.time, hers.direction) == (mail.envelope.author, mail.envelope.sent, "out")


def test_what_nobody_kept_is_not_there(crm: Builtin) -> None:
    key = a_mail().key

    assert crm.mail(key) is None
    assert crm.timeline(ROSA.key, 10) == ([], "")
    assert crm.known(ADA, [key]) == {}
    assert crm.keep([]) == Kept()


def test_keeping_the_same_again_writes_nothing(storage: Storage, clock: ManualClock) -> None:
    mails = [a_mail(number, people=(ROSA, EVE)) for number in range(20)]
    another(storage, clock).keep(mails)
    tables = Counting(storage.tables)

    kept = another(storage, clock, tables).keep(mails)

    assert kept == Kept(already=kept.already)
    assert sorted(kept.already) == sorted(one.key for one in mails)
    assert tables.writes == []
    assert len(all_changes(another(storage, clock))) == 20


def test_of_a_page_seen_in_part_the_rest_is_kept(crm: Builtin) -> None:
    mails = [a_mail(number) for number in range(60)]
    crm.keep(mails[::3])

    kept = crm.keep(mails)

    assert sorted(kept.already) == sorted(one.key for one in mails[::3])
    assert len(kept.new) == 40
    assert len(subjects(crm)) == 60
    assert gapless(all_changes(crm))


# -- one mail in several copies


def test_a_mail_in_two_mailboxes_is_one_record(crm: Builtin) -> None:
    later = NOON + timedelta(hours=1)
    crm.keep([a_mail(received=later, direction="out", bcc=(Address("", "b@x.example"),))])

    crm.keep([a_mail(mailbox=BEN, people=(ROSA, EVE))])

    there = crm.mail(a_mail().key)
    assert there is not None
    assert [one.mailbox for one in there.sightings] == [ADA, BEN]
    assert there.received == NOON + timedelta(minutes=1)
    assert (there.direction, there.bcc) == ("out", (Address("", "b@x.example"),))
    assert [one.key for one in there.relations] == [ROSA.key, EVE.key]
    assert (subjects(crm), subjects(crm, EVE)) == (["Review"], ["Review"])


def test_one_call_may_bring_a_mail_from_two_mailboxes(crm: Builtin) -> None:
    crm.keep([a_mail(), a_mail(mailbox=BEN)])

    there = crm.mail(a_mail().key)
    assert there is not None
    assert [one.mailbox for one in there.sightings] == [ADA, BEN]


def test_the_sent_copy_adds_the_bcc_that_only_it_knows(crm: Builtin) -> None:
    crm.keep([a_mail()])

    kept = crm.keep([a_mail(id="sent-copy", subject="REVIEW ", people=(ROSA, EVE))])

    there = crm.mail(a_mail().key)
    assert kept == Kept(already=(a_mail().key,))
    assert there is not None
    assert [one.key for one in there.relations] == [ROSA.key, EVE.key]
    assert [one.item for one in there.sightings] == ["item-a-1"]
    assert (there.subject, subjects(crm, EVE)) == ("Review", ["REVIEW "])
    assert [one.key for one in all_changes(crm)] == [a_mail().key] * 2


def test_the_same_identity_under_another_subject_is_a_record_of_its_own(crm: Builtin) -> None:
    crm.keep([a_mail(html="a" * 40_000)])

    kept = crm.keep([a_mail(id="other", subject="Invoice", html="b" * 40_000)])

    (own,) = kept.new
    first, second = crm.mail(a_mail().key), crm.mail(own)
    assert first is not None
    assert second is not None
    assert (first.subject, first.html, first.first) == ("Review", "a" * 40_000, "")
    assert (second.subject, second.html, second.first) == ("Invoice", "b" * 40_000, first.key)
    assert sorted(subjects(crm)) == ["Invoice", "Review"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_copies_in_any_order_and_any_number_of_calls_end_alike(crm: Builtin, order: tuple[int, ...]) -> None:
    copies = [
        a_mail(),
        a_mail(id="sent-copy", people=(ROSA, EVE)),
        a_mail(id="other", subject="Invoice"),
        a_mail(id="other-sent-copy", subject="invoice", people=(ROSA, EVE)),
    ]
    mails = [copies[position] for position in order]

    crm.keep(mails)
    for mail in reversed(mails):
        crm.keep([mail])
    kept = crm.keep(mails)

    assert (kept.new, kept.joined, len(kept.already)) == ((), (), 4)
    assert sorted(one.casefold() for one in subjects(crm)) == ["invoice", "review"]
    assert sorted(one.casefold() for one in subjects(crm, EVE)) == ["invoice", "review"]


def test_a_mail_without_sent_time_stands_once_on_a_timeline_though_mailboxes_got_it_at_different_times(
    crm: Builtin,
) -> None:
    crm.keep([a_mail(sent=None)])

    kept = crm.keep([a_mail(sent=None, mailbox=BEN, received=NOON + timedelta(hours=5))])

    (entry,), _ = crm.timeline(ROSA.key, 10)
    assert kept.joined == (entry.key,)
    assert entry.time == NOON + timedelta(minutes=1)


def test_a_mail_without_any_time_is_kept(crm: Builtin) -> None:
    crm.keep([a_mail(1, sent=None, received=None, subject="Timeless"), a_mail(2)])

    assert subjects(crm) == ["Review", "Timeless"]


# -- what is too large for a row or a group


def test_large_bodies_and_crowds_of_recipients_come_back_whole(crm: Builtin) -> None:
    to = tuple(Address("Jörg Größe 😀", f"person{number}@client.example") for number in range(2000))
    mail = a_mail(html="<p>é</p>" * 20_000, text="é\n" * 30_000, to=to, subject="ü" * 40_000)

    crm.keep([mail])

    there = crm.mail(mail.key)
    assert there is not None
    assert (there.html, there.text, there.to) == (mail.html, mail.text, to)
    assert there.subject == "ü" * 40_000
    assert subjects(crm) == ["ü" * 400]


def test_the_last_copy_decides_whether_a_body_is_large(crm: Builtin) -> None:
    crm.keep([a_mail(html="a" * 40_000)])
    crm.keep([a_mail(mailbox=BEN, html="small")])

    there = crm.mail(a_mail().key)

    assert there is not None
    assert there.html == "small"


def test_many_mails_of_the_largest_kind_are_kept(crm: Builtin) -> None:
    mails = [a_mail(number, html="é" * 15_000, text="ж" * 15_000) for number in range(120)]

    kept = crm.keep(mails)

    assert len(kept.new) == 120
    assert gapless(all_changes(crm, 50))


def test_a_mail_concerns_any_number_of_people(storage: Storage, clock: ManualClock, crm: Builtin) -> None:
    crowd = a_crowd(250)
    mails = [a_mail(1), a_mail(2, people=crowd), a_mail(3)]

    first, second = crm.keep(mails), crm.keep(mails)

    there = crm.mail(mails[1].key)
    assert there is not None
    assert len(there.relations) == 250
    assert all(subjects(crm, one)[:1] == ["Review"] for one in crowd[::50])
    assert (len(first.new), len(second.already)) == (3, 3)
    assert len(all_changes(crm)) == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_stops_a_mail_or_is_lost(crm: Builtin, text: str) -> None:
    mail = a_mail(
        subject=text,
        message_id=text,
        conversation=text[:1000],
        author=Address(text, text),
        to=(Address(text, text),),
        html=text,
        text=text,
    )

    first, again = crm.keep([mail]), crm.keep([mail, a_mail(**_shown(mail), id="a copy")])

    there = crm.mail(mail.key)
    assert (first.new, again.already) == ((mail.key,), (mail.key, mail.key))
    assert there is not None
    readable = text.replace("\ud800", "\ufffd")
    assert there.subject.replace("?", "\ufffd") == readable.replace("?", "\ufffd")
    assert there.to[0].name.replace("?", "\ufffd") == readable.replace("?", "\ufffd")
    assert len(subjects(crm)) == 1


def _shown(mail: Any) -> dict[str, Any]:
    envelope = mail.envelope
    return {"subject": envelope.subject, "message_id": envelope.message_id, "author": envelope.author}


# -- what is known


def test_a_mailbox_knows_its_copy_and_others_the_record(crm: Builtin) -> None:
    mails = [a_mail(1), a_mail(2)]
    crm.keep(mails[:1])

    assert crm.known(ADA, [one.key for one in mails]) == {
        mails[0].key: Known(True, ("item-a-1",), frozenset({ROSA.key}))
    }
    assert crm.known(BEN, [one.key for one in mails]) == {mails[0].key: Known(True, (), frozenset({ROSA.key}))}


# -- the feed and the lists


def test_the_feed_tells_each_change_once_and_goes_on_where_it_stopped(crm: Builtin, clock: ManualClock) -> None:
    crm.keep([a_mail(number) for number in range(30)])
    seen, cursor = crm.changes("", 200)
    clock.advance(60)
    crm.keep([a_mail(number) for number in range(25, 40)])

    fresh, end = crm.changes(cursor, 200)

    assert len(seen) == 30
    assert {one.key for one in fresh} == {a_mail(number).key for number in range(30, 40)}
    assert {(one.type, one.time) for one in fresh} == {("mail", "2026-03-02T09:01:00+00:00")}
    assert all(one.bucket == bucket(one.key) for one in seen)
    assert crm.changes(end, 200) == ([], end)


def test_a_busy_bucket_does_not_hold_up_the_others(crm: Builtin) -> None:
    crm.keep([a_mail(number) for number in range(64)])

    found = all_changes(crm, limit=1)

    assert len(found) == 64
    assert len({one.bucket for one in found[:16]}) > 8
    assert gapless(found)


@pytest.mark.parametrize("cursor", ["x", "1.2.3", "." * 16, "." * 14 + "g", "-1" + "." * 15, "1" * 99 + "." * 15])
def test_what_is_no_cursor_is_refused(crm: Builtin, cursor: str) -> None:
    with pytest.raises(BadItem, match="not a cursor"):
        crm.changes(cursor, 10)


def test_a_timeline_is_read_page_by_page_newest_first(crm: Builtin) -> None:
    crm.keep([a_mail(number, subject=f"{number:02}", people=(ROSA, EVE)) for number in range(25)])
    found: list[str] = []
    after, pages = "", 0

    while pages == 0 or after:
        entries, after = crm.timeline(ROSA.key, 10, after)
        found += [one.subject for one in entries]
        pages += 1

    assert found == [f"{number:02}" for number in reversed(range(25))]
    assert pages == 3


def test_mails_of_the_same_second_all_stand_on_the_timeline(crm: Builtin) -> None:
    crm.keep([a_mail(number, sent=NOON, subject=str(number)) for number in range(5)])
    first, after = crm.timeline(ROSA.key, 2)
    second, _ = crm.timeline(ROSA.key, 5, after)

    assert sorted(one.subject for one in first + second) == ["0", "1", "2", "3", "4"]


def test_what_is_no_place_on_a_timeline_is_refused(crm: Builtin) -> None:
    with pytest.raises(BadItem, match="last answer"):
        crm.timeline(ROSA.key, 10, "elsewhere")


# -- many at once


def test_eight_threads_in_two_workers_lose_nothing_and_leave_no_gap(storage: Storage, clock: ManualClock) -> None:
    workers = [another(storage, clock), another(storage, clock)]
    pages = [[a_mail(16 * thread + number) for number in range(16)] for thread in range(8)]

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda page: workers[page[0].envelope.sent.minute % 2].keep(page), pages))

    changes = all_changes(workers[0])
    assert sum(len(one.new) for one in kept) == 128
    assert gapless(changes)
    assert {one.key for one in changes} == {mail.key for page in pages for mail in page}
    assert len(changes) == len(subjects(workers[1])) == 128


def test_eight_threads_with_the_same_mails_keep_each_once(storage: Storage, clock: ManualClock) -> None:
    workers = [another(storage, clock) for _ in range(4)]
    page = [a_mail(number) for number in range(12)]

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda number: workers[number % 4].keep(page), range(8)))

    assert sum(len(one.new) for one in kept) == 12
    assert sum(len(one.already) for one in kept) == 84
    assert len(all_changes(workers[0])) == len(subjects(workers[0])) == 12


def test_a_mail_stored_by_another_worker_between_reading_and_writing_is_not_stored_twice(
    storage: Storage, clock: ManualClock
) -> None:
    first = a_mail(1)
    second = replace(a_mail(2), key=f"{first.key[:-1]}x")  # in the same bucket, so that they travel together
    quick = another(storage, clock)
    quick.keep([first])
    tables = Interrupted(storage.tables, "CrmRecords", [lambda: None, lambda: quick.keep([second])])

    kept = another(storage, clock, tables).keep([first, second])

    assert kept == Kept(already=(first.key, second.key))
    assert len(all_changes(quick)) == len(subjects(quick)) == 2


def test_a_bucket_that_never_comes_free_is_left_for_later(storage: Storage, clock: ManualClock) -> None:
    class Contended(Counting):
        def write(self, *given: Any) -> dict[str, str]:
            raise Stale("Somebody else wrote first.", "c")

    with pytest.raises(Retry, match="Other workers"):
        another(storage, clock, Contended(storage.tables)).keep([a_mail()])


def test_a_storage_that_does_not_name_the_row_in_the_way_is_understood_all_the_same(
    storage: Storage, clock: ManualClock
) -> None:
    class Silent(Counting):
        def write(self, *given: Any) -> dict[str, str]:
            try:
                return super().write(*given)
            except (Exists, Stale) as error:
                raise type(error)(error.sentence) from error

    here, there = (another(storage, clock, Silent(storage.tables)) for _ in range(2))
    page = [a_mail(number) for number in range(12)]

    kept = [crm.keep([mail]) for mail in page for crm in (here, there, here)]

    assert sum(len(one.new) for one in kept) == 12
    assert sum(len(one.already) for one in kept) == 24
    assert gapless(all_changes(here))
    assert len(all_changes(here)) == 12


def test_a_group_the_storage_finds_too_large_goes_in_smaller_ones(storage: Storage, clock: ManualClock) -> None:
    class Narrow(Counting):
        def write(self, table: str, partition: str, writes: Any) -> dict[str, str]:
            if table == "CrmRecords" and len(writes) > 9:
                raise TooLarge("A group is too large.")
            return super().write(table, partition, writes)

    crm = another(storage, clock, Narrow(storage.tables))
    page = [a_mail(number, people=[person]) for number, person in enumerate(a_crowd(100))]

    crm.keep(page[:80])
    with pytest.raises(TooLarge):
        crm.keep([a_mail(200, people=a_crowd(20))])

    assert gapless(all_changes(crm))
    assert {one.key for one in all_changes(crm)} == {one.key for one in page[:80]}


# -- what it costs


def test_a_page_is_stored_in_one_group_for_each_bucket_and_without_reading(
    storage: Storage, clock: ManualClock
) -> None:
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)
    crowd = a_crowd(100)
    pages = [[a_mail(200 * page + number, people=[crowd[number % 100]]) for number in range(200)] for page in range(2)]

    crm.keep(pages[0])
    before = len(tables.writes)
    crm.keep(pages[1])

    assert tables.reads == ["CrmRecords"] * len(BUCKETS)  # the counters, once in the life of a worker
    assert len(tables.writes) - before <= 32


def test_requests_for_each_kept_mail_stay_within_the_budget(account: str, clock: ManualClock, meter: Meter) -> None:
    prepare(account)
    storage = open_storage(account, meter)
    crm = another(storage, clock)
    crowd = a_crowd(100)

    for page in range(3):
        crm.keep([a_mail(200 * page + number, people=[crowd[number % 100]]) for number in range(200)])

    storage.close()
    counts = meter.counts()
    assert 0 < counts["tables"] <= 0.2 * 600
    assert counts.get("blobs", 0) == 0


def test_every_row_of_a_group_lies_in_the_bucket_of_its_key(storage: Storage, clock: ManualClock) -> None:
    tables = Counting(storage.tables)
    mail = a_mail()

    another(storage, clock, tables).keep([mail])

    (_, group), *lines = tables.writes
    assert [(write.action, write.key) for write in group] == [
        ("insert", "c"),
        ("merge", f"r|{mail.key}"),
        ("replace", f"r|{mail.key}|b"),
        ("merge", f"r|{mail.key}|p|{ROSA.key}"),
        ("insert", f"r|{mail.key}|s|{ADA}"),
        ("insert", "f|0000000000000001"),
    ]
    assert sorted((table, line.key.partition("|")[0]) for table, (line,) in lines) == [
        ("CrmTimeline", ROSA.key),
        ("CrmTimeline", records.thread(KEYS, "thread")),
    ]
    assert next(storage.tables.scan("CrmRecords")).partition == bucket(mail.key)
