"""The mails of a conversation, and whose addresses are new: on memory and on Azurite."""

from __future__ import annotations

import pytest

from dev.memory import ManualClock
from sync.crm.builtin import Builtin
from sync.crm.feed import COUNTER
from sync.errors import BadItem
from sync.model import Kept, Known
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
    a_crowd,
    a_mail,
    all_changes,
    subjects,
    told_by_bcc,
)

OLD, NEW = "rosa@client.example", "rosa@home.example"


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return another(storage, clock)


def another(storage: Storage, clock: ManualClock, tables: Tables | None = None) -> Builtin:
    return Builtin(tables or storage.tables, storage.blobs, KEYS, clock)


def thread(crm: Builtin, key: str, limit: int = 50, viewer: str | None = None) -> list[str]:
    """Subjects of a conversation, read page by page."""
    found: list[str] = []
    after, first = "", True
    while first or after:
        page = crm.thread(key, limit, after, viewer)
        assert page is not None
        found += [one.subject for one in page[0]]
        after, first = page[1], False
    return found


# -- conversations


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_a_thread_lists_the_mails_of_a_conversation_newest_first(crm: Builtin, limit: int) -> None:
    crm.keep([a_mail(number, subject=f"{number}", conversation="one" if number % 2 else "two") for number in range(7)])

    assert thread(crm, a_mail(3).key, limit) == ["5", "3", "1"]
    assert thread(crm, a_mail(4).key, limit) == ["6", "4", "2", "0"]


def test_mailboxes_may_name_a_conversation_differently(crm: Builtin) -> None:
    crm.keep([a_mail(number, conversation="ada's", subject=f"{number}") for number in (1, 2, 3)])
    crm.keep([a_mail(number, mailbox=BEN, conversation="ben's", subject=f"{number}") for number in (2, 3, 4)])

    assert thread(crm, a_mail(2).key, 2) == ["4", "3", "2", "1"]
    assert thread(crm, a_mail(1).key) == ["3", "2", "1"]


def test_a_line_of_a_thread_is_shown_to_every_viewer_and_tells_of_nobody(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(people=(EVE,)), (ROSA, CAROL))
    crm.keep([mail])

    page = crm.thread(mail.key, 5, viewer="u" + "9" * 32)

    assert page is not None
    assert [(one.key, one.mailbox) for one in page[0]] == [(mail.key, "")]


def test_the_thread_of_a_mail_that_is_not_there_for_a_viewer_is_not_there_either(crm: Builtin) -> None:
    mail = told_by_bcc(a_mail(people=()), (ROSA, CAROL))
    crm.keep([mail])

    assert crm.thread(mail.key, 5, viewer="u" + "9" * 32) is None
    assert crm.thread(mail.key, 5, viewer=CAROL.key) is not None
    assert crm.thread(mail.key, 5) is not None


def test_what_has_no_conversation_has_an_empty_thread_and_what_is_not_there_has_none(crm: Builtin) -> None:
    crm.keep([a_mail(1, conversation="")])

    assert crm.thread(a_mail(1).key, 5) == ([], "")
    assert crm.thread(a_mail(2).key, 5) is None


def test_what_is_no_place_in_a_thread_is_refused(crm: Builtin) -> None:
    crm.keep([a_mail()])

    with pytest.raises(BadItem, match="last answer"):
        crm.thread(a_mail().key, 5, "elsewhere")


def test_a_mail_without_its_line_in_the_thread_does_not_count_as_shown(
    storage: Storage, clock: ManualClock, crm: Builtin
) -> None:
    crm.keep([a_mail()])
    line = next(row for row in storage.tables.scan("CrmTimeline") if row.key.startswith("t"))
    storage.tables.write("CrmTimeline", line.partition, [Write("delete", line.key)])

    before = crm.known(ADA, [a_mail().key])
    crm.keep([a_mail()])

    assert before[a_mail().key].items == ()
    assert thread(crm, a_mail().key) == ["Review"]


# -- somebody new beside a mail that is known


@pytest.mark.parametrize("item", ["item-a-1", "a copy"])
def test_of_a_known_mail_only_the_missing_people_are_added(storage: Storage, clock: ManualClock, item: str) -> None:
    crm = another(storage, clock)
    crm.keep([a_mail(), a_mail(id="a copy")])
    before = {(row.partition, row.key): row.values for row in storage.tables.scan("CrmRecords")}
    known = crm.known(ADA, [a_mail().key])[a_mail().key]
    mail = a_mail(id=item, people=(ROSA, EVE), html=None, text=None)
    tables = Counting(storage.tables)

    kept = another(storage, clock, tables).keep([mail])

    after = {(row.partition, row.key): row.values for row in storage.tables.scan("CrmRecords")}
    assert known == Known(True, ("item-a-1", "a copy"), frozenset({ROSA.key}))
    assert [one.who in known.people for one in mail.relations] == [True, False]
    assert kept == Kept(already=(mail.key,))
    changed = {key for key in after if before.get(key) != after[key] and key[1] != COUNTER}
    assert changed == {
        (mail.key[1], f"r|{mail.key}|p|{EVE.key}"),
        (mail.key[1], "f|0000000000000002"),
    }
    assert [write.key.split("|")[0] for table, group in tables.writes if table == "CrmTimeline" for write in group] == [
        EVE.key
    ]
    assert (subjects(crm), subjects(crm, EVE)) == (["Review"], ["Review"])


def test_the_missing_people_of_another_mailboxs_mail_are_known_too(crm: Builtin) -> None:
    crm.keep([a_mail(people=(ROSA, CAROL))])

    assert crm.known(BEN, [a_mail().key]) == {a_mail().key: Known(True, (), frozenset({ROSA.key, CAROL.key}))}


def test_somebody_new_is_added_to_a_mail_that_was_told_apart(crm: Builtin) -> None:
    crm.keep([a_mail(), a_mail(id="other", subject="Invoice")])

    crm.keep([a_mail(id="other", subject="Invoice", people=(ROSA, EVE), html=None, text=None)])

    assert subjects(crm, EVE) == ["Invoice"]
    assert sorted(subjects(crm)) == ["Invoice", "Review"]


# -- whose addresses are new


def test_addresses_that_become_a_contacts_are_told_once(crm: Builtin) -> None:
    start = crm.newest()
    key = crm.save_contact("Rosa", [OLD.upper()])

    first, read, cursor = crm.arrivals(start, 50)
    crm.save_contact("Rosa Married", [OLD, NEW], key)
    second, _, end = crm.arrivals(cursor, 50)

    assert (list(first), read) == ([OLD], 1)
    assert list(second) == [NEW]
    assert crm.arrivals(end, 50) == ([], 0, end)
    assert end == crm.newest()
    assert list(crm.arrivals("", 50)[0]) in ([OLD, NEW], [NEW, OLD])


def test_neither_a_new_name_nor_a_user_nor_a_mail_brings_an_address(crm: Builtin) -> None:
    key = crm.save_contact("Rosa", [OLD, NEW])
    start = crm.newest()

    crm.save_contact("Rosa Married", [NEW, OLD], key)
    crm.save_contact("Rosa Married", [OLD], key)
    crm.add_user("Carol", ["carol@firm.example"])
    crm.keep([a_mail()])

    assert crm.arrivals(start, 50)[:2] == ([], 4)


def test_an_address_that_another_contact_has_counts_as_new(crm: Builtin) -> None:
    crm.save_contact("Rosa", [OLD])
    start = crm.newest()

    crm.save_contact("Joe", [OLD])

    assert list(crm.arrivals(start, 50)[0]) == [OLD]


def test_an_import_tells_its_new_addresses_in_small_rows(storage: Storage, crm: Builtin) -> None:
    crm.import_contacts(f"Name,Email\nRosa,{OLD}\n")
    start = crm.newest()
    addresses = [f"{'x' * 200}{number}@client.example" for number in range(50)]
    columns = ",".join(f"Email {number}" for number in range(2, 52))
    rows = [["Rosa", OLD, NEW], ["Crowd", *addresses], ["Eve", "eve@client.example"]]
    lines = [",".join(row + [""] * (52 - len(row))) for row in rows]

    crm.import_contacts(f"Name,Email,{columns}\n" + "\n".join(lines))

    found, read, _ = crm.arrivals(start, 50)
    assert (set(found), read) == ({NEW, *addresses, "eve@client.example"}, 3)
    sizes = [len(str(row.values)) for row in storage.tables.scan("CrmRecords") if row.key.startswith("f|")]
    assert max(sizes) < 30_000


def test_nothing_new_costs_sixteen_reads_and_going_to_the_end_as_many(storage: Storage, clock: ManualClock) -> None:
    another(storage, clock).keep([a_mail(number) for number in range(50)])
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    cursor = crm.newest()
    at_the_end = len(tables.reads)
    assert crm.arrivals(cursor, 100) == ([], 0, cursor)

    assert (at_the_end, len(tables.reads)) == (16, 32)


def test_changes_are_read_piece_by_piece_and_none_is_passed(crm: Builtin) -> None:
    wanted = {f"p{number}@client.example" for number in range(12)}
    for number, address in enumerate(sorted(wanted)):
        crm.save_contact(f"P{number}", [address])
        crm.keep([a_mail(number, people=a_crowd(1))])
    found: set[str] = set()
    cursor, read = "", 1

    while read:
        some, read, cursor = crm.arrivals(cursor, 5)
        found |= set(some)

    assert found == wanted
    assert len(all_changes(crm)) == 24


def test_what_is_no_cursor_of_arrivals_is_refused(crm: Builtin) -> None:
    with pytest.raises(BadItem, match="not a cursor"):
        crm.arrivals("x", 10)
