"""The contract of the built-in CRM for people: found by address, cheaply; kept, changed, imported without doubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from dev.memory import ManualClock, MemoryBlobs, MemoryTables
from sync.crm.builtin import Builtin
from sync.crm.digests import Digests
from sync.crm.people import ImportReport
from sync.errors import BadItem
from sync.model import Person
from sync.ports import Row, Tables, Write
from sync.storage import Storage
from tests.builders import KEYS
from tests.contracts.crm_world import Counting, Interrupted, Killed, Section, a_worker, all_changes, gapless

ROSA = "rosa@client.example"


@pytest.fixture
def crm(storage: Storage, clock: ManualClock) -> Builtin:
    return another(storage, clock)


def another(storage: Storage, clock: ManualClock, tables: Tables | None = None) -> Builtin:
    """A worker on the same storage that remembers nothing."""
    return Builtin(tables or storage.tables, storage.blobs, KEYS, clock)


def names(crm: Builtin, address: str) -> list[str]:
    return [one.name for one in crm.people([address]).get(address, ())]


def csv_of(people: Sequence[tuple[str, str]]) -> str:
    return "Name,Email\n" + "".join(f"{name},{address}\n" for name, address in people)


# -- found by address


def test_a_person_is_found_by_each_of_his_addresses_in_any_letter_case(crm: Builtin) -> None:
    key = crm.save_contact("Rosa Client", ["Rosa@Client.example", "r@home.example"])

    found = crm.people([" ROSA@client.EXAMPLE", "r@home.example", "nobody@client.example", "", "no address"])

    rosa = Person(key, "contact", "Rosa Client")
    assert found == {ROSA: (rosa,), "r@home.example": (rosa,)}


def test_several_people_may_share_an_address(crm: Builtin) -> None:
    contact = crm.save_contact("Front Desk", ["desk@firm.example"])
    user = crm.add_user("Carol", ["carol@firm.example", "desk@firm.example"])

    assert {(one.key, one.kind) for one in crm.people(["desk@firm.example"])["desk@firm.example"]} == {
        (contact, "contact"),
        (user, "user"),
    }


def test_unknown_addresses_are_answered_without_a_request(storage: Storage, clock: ManualClock) -> None:
    another(storage, clock).save_contact("Rosa", [ROSA])
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    found = crm.people([f"stranger{number}@else.example" for number in range(5000)])

    assert found == {}
    assert tables.reads == []


def test_a_known_address_is_asked_for_once_in_five_minutes(storage: Storage, clock: ManualClock) -> None:
    another(storage, clock).save_contact("Rosa", [ROSA])
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    for _ in range(3):
        crm.people([ROSA])
        clock.advance(299 / 3)
    assert tables.reads == ["CrmAddresses"]
    clock.advance(2)
    crm.people([ROSA])

    assert tables.reads == ["CrmAddresses"] * 2


def test_what_another_worker_adds_is_seen_after_a_quarter_of_a_minute(storage: Storage, clock: ManualClock) -> None:
    here, there = another(storage, clock), another(storage, clock)
    here.save_contact("Eve", ["eve@client.example"])
    assert names(here, ROSA) == []

    there.save_contact("Rosa", [ROSA])
    clock.advance(14)
    early = names(here, ROSA)
    clock.advance(2)

    assert (early, names(here, ROSA)) == ([], ["Rosa"])


def test_what_this_worker_changes_is_seen_at_once(crm: Builtin) -> None:
    key = crm.save_contact("Rosa", [ROSA])
    assert names(crm, ROSA) == ["Rosa"]

    crm.save_contact("Rosa Married", [ROSA], key)
    crm.save_contact("Joe", [ROSA])

    assert sorted(names(crm, ROSA)) == ["Joe", "Rosa Married"]


def test_a_digest_in_the_list_without_a_row_is_nobody(storage: Storage, clock: ManualClock) -> None:
    Digests(storage.blobs, lambda: [KEYS.number("address", ROSA)], clock, timedelta(seconds=15)).rebuild()
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    assert crm.people([ROSA]) == crm.people([ROSA]) == {}
    assert tables.reads == ["CrmAddresses"]


def test_workers_that_add_addresses_at_the_same_time_lose_none(storage: Storage, clock: ManualClock) -> None:
    workers = [another(storage, clock) for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: workers[n].save_contact(f"P{n}", [f"p{n}@x.example"]), range(6)))

    fresh = another(storage, clock)
    assert all(names(fresh, f"p{number}@x.example") == [f"P{number}"] for number in range(6))
    assert gapless(all_changes(fresh))


# -- kept and changed


def test_a_contact_is_a_record_with_a_place_in_the_feed(crm: Builtin, clock: ManualClock) -> None:
    key = crm.save_contact("  Rosa\tClient ", [ROSA, "R@home.example", ROSA])

    there = crm.contact(key)

    assert there is not None
    assert (there.key, there.kind, there.name) == (key, "contact", "Rosa Client")
    assert (there.addresses, there.changed) == ((ROSA, "r@home.example"), clock())
    assert [(one.key, one.type) for one in all_changes(crm)] == [(key, "contact")]


def test_saving_replaces_and_an_address_taken_away_leads_nowhere(storage: Storage, clock: ManualClock) -> None:
    crm = another(storage, clock)
    key = crm.save_contact("Rosa", [ROSA, "old@client.example"])

    crm.save_contact("Rosa Married", ["new@client.example", ROSA], key)

    fresh = another(storage, clock)
    there = fresh.contact(key)
    assert there is not None
    assert (there.name, there.addresses) == ("Rosa Married", ("new@client.example", ROSA))
    assert [names(fresh, one) for one in (ROSA, "new@client.example", "old@client.example")] == [
        ["Rosa Married"],
        ["Rosa Married"],
        [],
    ]


def test_saving_the_same_writes_nothing(storage: Storage, clock: ManualClock) -> None:
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)
    contact, user = crm.save_contact("Rosa", [ROSA]), crm.add_user("Ada", ["ada@firm.example"])
    writes = len(tables.writes)

    assert crm.save_contact(" Rosa ", [ROSA.upper()], contact) == contact
    assert crm.add_user("Ada", ["ADA@firm.example"]) == user
    assert len(tables.writes) == writes


def test_a_contact_without_a_name_is_called_by_its_address(crm: Builtin) -> None:
    assert crm.contact(crm.save_contact("", [ROSA])).name == ROSA  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "given", "key", "sentence"),
    [
        ("Rosa", [], "", "at least one mail address"),
        ("Rosa", [ROSA, "nonsense"], "", "Address 2 of this person is not a mail address"),
        ("Rosa", ["\ud800@client.example"], "", "Address 1 of this person is not a mail address"),
        ("Rosa", ["a\x00b@client.example"], "", "Address 1 of this person is not a mail address"),
        ("Rosa", [f"{number}@x.example" for number in range(51)], "", "50 mail addresses, not 51"),
        ("x" * 401, [ROSA], "", "400 characters, not 401"),
        ("Rosa", [ROSA], "m" + "0" * 32, "not the key of a contact"),
    ],
)
def test_a_person_that_cannot_be_kept_is_refused_with_the_reason(
    crm: Builtin, name: str, given: list[str], key: str, sentence: str
) -> None:
    with pytest.raises(BadItem, match=sentence):
        crm.save_contact(name, given, key)

    assert crm.contacts(10) == ([], "")


@pytest.mark.parametrize("name", ["\ud800", "Robert'); drop", "\x00", "😀" * 400, "=1+1", "\u202egnp.exe"])
def test_no_name_stops_a_contact_or_is_taken_for_changed(crm: Builtin, name: str) -> None:
    key = crm.save_contact(name, [ROSA])

    crm.save_contact(name, [ROSA], key)

    assert len(all_changes(crm)) == 1
    assert len(names(crm, ROSA)) == 1


def test_contacts_are_listed_page_by_page_and_users_are_not_among_them(crm: Builtin) -> None:
    keys = {crm.save_contact(f"P{number}", [f"p{number}@x.example"]) for number in range(23)}
    crm.add_user("Ada", ["ada@firm.example"])
    found: list[str] = []
    after, pages = "", 0

    while pages == 0 or after:
        page, after = crm.contacts(5, after)
        found += [one.key for one in page]
        pages += 1

    assert (found, pages) == (sorted(keys), 5)


def test_what_is_no_place_in_the_list_is_refused(crm: Builtin) -> None:
    with pytest.raises(BadItem, match="last answer"):
        crm.contacts(5, "elsewhere")


# -- from a file


def test_importing_a_file_twice_changes_nothing(storage: Storage, clock: ManualClock) -> None:
    people = [(f"P{number}", f"p{number}@x.example") for number in range(120)]
    first = another(storage, clock).import_contacts(csv_of(people))
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    second = crm.import_contacts(csv_of(people))

    assert (first, second) == (ImportReport(120, 0), ImportReport(0, 120))
    assert tables.writes == []
    assert len(all_changes(crm, 200)) == len(crm.contacts(200)[0]) == 120


def test_errors_name_their_line_and_all_beside_them_is_imported(crm: Builtin) -> None:
    report = crm.import_contacts("Name,Email\nRosa,rosa@client.example\nBen,\nEve,eve@client.example\n")

    assert (report.imported, report.unchanged) == (2, 0)
    assert (report.errors, report.error_count) == (((3, "The row has no mail address that can be used."),), 1)
    assert (names(crm, ROSA), names(crm, "eve@client.example")) == (["Rosa"], ["Eve"])


def test_a_file_without_addresses_is_refused(crm: Builtin) -> None:
    with pytest.raises(BadItem, match="no column of mail addresses"):
        crm.import_contacts("Name,Phone\nRosa,1\n")


def test_people_who_share_an_address_stay_two_and_rows_of_one_person_become_one(crm: Builtin) -> None:
    text = csv_of([("Rosa", "desk@x.example"), ("Eve", "desk@x.example")]) + "ROSA,desk@x.example ::: r@x.example\n"

    report = crm.import_contacts(text)

    there = {one.name: one.addresses for one in crm.contacts(10)[0]}
    assert there == {"Rosa": ("desk@x.example", "r@x.example"), "Eve": ("desk@x.example",)}
    assert (report.imported, crm.import_contacts(text)) == (3, ImportReport(0, 3))


def test_a_row_meets_the_contact_that_was_kept_by_hand(crm: Builtin) -> None:
    key = crm.save_contact("Rosa Client", [ROSA, "r@home.example"])
    nameless = crm.save_contact("", ["eve@client.example"])

    report = crm.import_contacts(
        "Name,Email,Email 2\nrosa client,r@home.example,r@new.example\nEve,eve@client.example,\n,r@new.example,\n"
    )

    rosa, eve = crm.contact(key), crm.contact(nameless)
    assert rosa is not None
    assert eve is not None
    assert (rosa.name, rosa.addresses) == ("Rosa Client", (ROSA, "r@home.example", "r@new.example"))
    assert eve.name == "Eve"
    assert (report.imported, report.unchanged, len(crm.contacts(10)[0])) == (2, 1, 2)


def test_a_contact_renamed_since_the_import_stays_renamed_and_alone(crm: Builtin) -> None:
    crm.import_contacts(csv_of([("Rosa", ROSA)]))
    ((rosa,), _) = crm.contacts(10)
    crm.save_contact("Rosa Married", [ROSA], rosa.key)

    report = crm.import_contacts(csv_of([("Rosa", ROSA)]))

    assert report == ImportReport(0, 1)
    assert [one.name for one in crm.contacts(10)[0]] == ["Rosa Married"]


def test_two_workers_importing_the_same_file_make_no_doubles(storage: Storage, clock: ManualClock) -> None:
    text = csv_of([(f"P{number}", f"p{number}@x.example") for number in range(40)])
    workers = [another(storage, clock) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda crm: crm.import_contacts(text), workers))

    fresh = another(storage, clock)
    assert len(fresh.contacts(200)[0]) == len(all_changes(fresh, 200)) == 40
    assert all(names(fresh, f"p{number}@x.example") == [f"P{number}"] for number in range(40))


def test_an_import_meets_what_another_worker_imported_a_moment_before(storage: Storage, clock: ManualClock) -> None:
    quick = another(storage, clock)
    first = "Name,Email,Email 2\nRosa,rosa@client.example,a@client.example\nEve,eve@client.example,\n"
    second = "Name,Email,Email 2\nRosa,a@client.example,rosa@client.example\nJoe,joe@client.example,\n"
    tables = Interrupted(storage.tables, "CrmRecords", [lambda: quick.import_contacts(first)])

    another(storage, clock, tables).import_contacts(second)

    there = {one.name: one.addresses for one in quick.contacts(10)[0]}
    assert there == {
        "Rosa": (ROSA, "a@client.example"),
        "Eve": ("eve@client.example",),
        "Joe": ("joe@client.example",),
    }
    assert gapless(all_changes(quick))


def test_a_save_meets_what_another_worker_saved_a_moment_before(storage: Storage, clock: ManualClock) -> None:
    quick = another(storage, clock)
    key = quick.save_contact("Rosa", [ROSA])
    tables = Interrupted(
        storage.tables, "CrmRecords", [lambda: quick.save_contact("Rosa", [ROSA, "b@client.example"], key)]
    )

    another(storage, clock, tables).save_contact("Rosa Married", ["c@client.example"], key)

    fresh = another(storage, clock)
    there = fresh.contact(key)
    assert there is not None
    assert (there.name, there.addresses) == ("Rosa Married", ("c@client.example",))
    assert [names(fresh, one) for one in (ROSA, "b@client.example", "c@client.example")] == [[], [], ["Rosa Married"]]


def test_importing_again_reads_in_stretches_and_not_one_by_one(clock: ManualClock) -> None:
    text = csv_of([(f"P{number}", f"p{number}@x.example") for number in range(3000)])
    tables, blobs = Counting(MemoryTables()), MemoryBlobs()
    Builtin(tables, blobs, KEYS, clock).import_contacts(text)
    tables.reads.clear()

    report = Builtin(tables, blobs, KEYS, clock).import_contacts(text)

    assert report == ImportReport(0, 3000)
    assert tables.reads == ["CrmRecords"] * 16


# -- from vCards


def vcards_of(people: Sequence[tuple[str, str]]) -> str:
    cards = (f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nEMAIL:{address}\nEND:VCARD\n" for name, address in people)
    return "".join(cards)


def test_importing_vcards_twice_changes_nothing(storage: Storage, clock: ManualClock) -> None:
    people = [(f"P{number}", f"p{number}@x.example") for number in range(120)]
    first = another(storage, clock).import_vcards(vcards_of(people))
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    second = crm.import_vcards(vcards_of(people))

    assert (first, second) == (ImportReport(120, 0), ImportReport(0, 120))
    assert tables.writes == []
    assert len(crm.contacts(200)[0]) == 120


def test_the_same_people_as_csv_and_as_vcards_are_the_same_contacts(crm: Builtin) -> None:
    people = [("Rosa", ROSA), ("Eve", "eve@client.example")]
    crm.import_contacts(csv_of(people))

    assert crm.import_vcards(vcards_of(people)) == ImportReport(0, 2)
    assert crm.import_vcards(vcards_of([("Rosa", f"r@home.example\nEMAIL:{ROSA}")])) == ImportReport(1, 0)
    assert {one.name: one.addresses for one in crm.contacts(10)[0]} == {
        "Rosa": (ROSA, "r@home.example"),
        "Eve": ("eve@client.example",),
    }


def test_errors_name_the_line_a_card_begins_in_and_all_beside_it_is_imported(crm: Builtin) -> None:
    text = vcards_of([("Rosa", ROSA), ("Ben", "none"), ("Eve", "eve@client.example")])

    report = crm.import_vcards(text)

    assert (report.imported, report.unchanged) == (2, 0)
    assert report.errors == (
        (6, "'none' is not a mail address."),
        (6, "The card has no mail address that can be used."),
    )
    assert (names(crm, ROSA), names(crm, "eve@client.example")) == (["Rosa"], ["Eve"])


def test_a_file_without_vcards_is_refused(crm: Builtin) -> None:
    with pytest.raises(BadItem, match="holds no vCard"):
        crm.import_vcards(csv_of([("Rosa", ROSA)]))


# -- many at once


def test_a_page_full_of_known_people_is_confirmed_in_one_go(storage: Storage, clock: ManualClock) -> None:
    people = [(f"P{number}", f"p{number}@x.example") for number in range(60)]
    another(storage, clock).import_contacts(csv_of(people))
    another(storage, clock).save_contact("Front Desk", ["p7@x.example"])
    tables = Counting(storage.tables)
    crm = another(storage, clock, tables)

    found = crm.people([address for _, address in people[:40]])

    assert len(found) == 40
    assert sorted(one.name for one in found["p7@x.example"]) == ["Front Desk", "P7"]
    assert len(crm.people([address for _, address in people])) == 60
    assert tables.reads == ["CrmAddresses"]


def test_a_few_among_many_people_are_asked_for_one_by_one(clock: ManualClock) -> None:
    people = [(f"P{number}", f"p{number}@x.example") for number in range(3000)]
    tables, blobs = Counting(MemoryTables()), MemoryBlobs()
    Builtin(tables, blobs, KEYS, clock).import_contacts(csv_of(people))
    tables.reads.clear()

    found = Builtin(tables, blobs, KEYS, clock).people([address for _, address in people[:4]])

    assert len(found) == 4
    assert tables.reads == ["CrmAddresses"] * 4


def test_an_answer_that_a_change_has_overtaken_is_not_remembered(clock: ManualClock) -> None:
    class Slow(MemoryTables):
        """Tables where a contact is saved while an answer is on its way."""

        overtaken: Callable[[], object] | None = None

        def rows(self, *given: Any, **options: Any) -> Iterator[Row]:
            answer = list(super().rows(*given, **options))
            overtaken, self.overtaken = self.overtaken, None
            if overtaken:
                overtaken()
            return iter(answer)

    tables = Slow()
    crm = Builtin(tables, MemoryBlobs(), KEYS, clock)
    crm.save_contact("Rosa", [ROSA])
    tables.overtaken = lambda: crm.save_contact("Ben", [ROSA])

    assert names(crm, ROSA) == ["Rosa"]
    assert sorted(names(crm, ROSA)) == ["Ben", "Rosa"]


@pytest.mark.parametrize("lose_answer", [False, True], ids=["before a write", "after a write"])
def test_whoever_is_killed_while_saving_a_contact_leaves_no_address_that_leads_nowhere(
    clock: ManualClock, lose_answer: bool
) -> None:
    key = "c" + "1" * 32
    for fuse in range(1, 5):
        section = Section(MemoryTables(), MemoryBlobs(), "killed-")
        a_worker(section, clock).save_contact("Rosa", ["old@client.example"], key)
        section.fuse, section.lose_answer = fuse, lose_answer
        with pytest.raises(Killed):
            a_worker(section, clock).save_contact("Rosa", ["new@client.example"], key)

        survivor = a_worker(section, clock)
        there = survivor.contact(key)
        assert there is not None
        assert [names(survivor, one) for one in there.addresses] == [["Rosa"]], f"killed at write {fuse}"
        survivor.save_contact("Rosa", ["old@client.example"], key)
        assert names(a_worker(section, clock), "old@client.example") == ["Rosa"], f"killed at write {fuse}"


def test_saving_the_same_again_has_a_lost_address_lead_to_its_contact(clock: ManualClock) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    key = Builtin(tables, blobs, KEYS, clock).save_contact("Rosa", [ROSA])
    for row in list(tables.scan("CrmAddresses")):
        tables.write("CrmAddresses", row.partition, [Write("delete", row.key)])

    Builtin(tables, blobs, KEYS, clock).save_contact("Rosa", [ROSA], key)

    assert names(Builtin(tables, blobs, KEYS, clock), ROSA) == ["Rosa"]


def test_an_address_given_back_while_it_is_being_taken_away_leads_to_its_contact(clock: ManualClock) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    quick = Builtin(tables, blobs, KEYS, clock)
    key = quick.save_contact("Rosa", [ROSA])

    def give_back() -> None:
        quick.save_contact("Rosa", [ROSA], key)

    slow = Builtin(Interrupted(tables, "CrmAddresses", [lambda: None, give_back]), blobs, KEYS, clock)
    slow.save_contact("Rosa", ["new@client.example"], key)

    assert names(Builtin(tables, blobs, KEYS, clock), ROSA) == ["Rosa"]
