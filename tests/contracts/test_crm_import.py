"""Contacts from files of any length: slice by slice, in bounded memory, to be repeated whenever it broke off."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dev.memory import ManualClock, MemoryBlobs, MemoryTables
from sync.crm.builtin import Builtin
from sync.crm.people import ERRORS, MOST, SLICE, ImportReport
from sync.errors import BadItem
from sync.ports import Row, Write
from sync.storage import Storage
from tests.builders import KEYS
from tests.contracts.crm_world import Counting, Interrupted, Killed, Section, all_changes, gapless

# A slice of which several are read as quickly as one of the real size.
SHORT = 2_000


def rows(many: int, first: int = 0) -> Iterator[str]:
    """The lines of a CSV file of so many people."""
    yield "Name,Email\n"
    yield from (f"P{number},p{number}@x.example\n" for number in range(first, first + many))


def names(crm: Builtin, address: str) -> list[str]:
    return [one.name for one in crm.people([address]).get(address, ())]


class Forgetting:
    """Tables that keep nothing: what grows in memory is the product's."""

    def get(self, *given: Any) -> Row | None:
        return None

    def rows(self, *given: Any, **options: Any) -> Iterator[Row]:
        return iter(())

    def scan(self, *given: Any, **options: Any) -> Iterator[Row]:
        return iter(())

    def write(self, table: str, partition: str, writes: Sequence[Write]) -> dict[str, str]:
        return {one.key: "version" for one in writes}


def test_memory_depends_on_the_slice_and_not_on_the_length_of_the_file(clock: ManualClock) -> None:
    peaks: list[int] = []

    def note(done: int) -> None:
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()

    tracemalloc.start()
    report = Builtin(Forgetting(), MemoryBlobs(), KEYS, clock, slice_rows=1_000).import_contacts(rows(9_000), note)
    tracemalloc.stop()

    assert report == ImportReport(9_000, 0)
    assert len(peaks) == 9
    assert max(peaks[1:]) < 1.5 * peaks[1] < SLICE // 1_000 * peaks[1] < 64_000_000  # and so a slice of the real size


def test_rows_of_one_person_in_different_slices_become_one_contact(clock: ManualClock) -> None:
    crm = Builtin(MemoryTables(), MemoryBlobs(), KEYS, clock, slice_rows=SHORT)

    def file() -> Iterator[str]:
        yield from rows(SHORT)
        yield "p7,p7@x.example ; seven@x.example\n"
        yield ",p8@x.example\n"
        yield "Other,p9@x.example\n"

    first, second = crm.import_contacts(file()), crm.import_contacts(file())

    assert (first, second) == (ImportReport(SHORT + 2, 1), ImportReport(0, SHORT + 3))
    (seven,) = crm.people(["seven@x.example"])["seven@x.example"]
    contact = crm.contact(seven.key)
    assert contact is not None
    assert (contact.name, contact.addresses) == ("P7", ("p7@x.example", "seven@x.example"))
    assert sorted(names(crm, "p9@x.example")) == ["Other", "P9"]


def test_an_import_killed_in_its_second_slice_left_whole_contacts_and_the_same_file_completes_it(
    clock: ManualClock,
) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    section = Section(tables, blobs, "killed-")
    worker = Builtin(section, section, KEYS, clock, slice_rows=SHORT)

    def kill_soon(done: int) -> None:
        section.fuse = 270  # in the middle of the records of the next slice

    with pytest.raises(Killed):
        worker.import_contacts(rows(SHORT + 1_900), kill_soon)
    survivor = Builtin(section, section, KEYS, clock, slice_rows=SHORT)
    there = survivor.people([f"p{number}@x.example" for number in range(SHORT + 1_900)])
    whole = [row.key for row in section.scan("CrmRecords") if row.key.startswith("r|c")]
    assert SHORT < len(whole) < SHORT + 1_900
    assert {f"r|{one.key}" for people in there.values() for one in people} >= set(whole)

    report = survivor.import_contacts(rows(SHORT + 1_900))

    assert (report.imported, report.unchanged) == (SHORT + 1_900 - len(whole), len(whole))
    fresh = Builtin(section, section, KEYS, clock, slice_rows=SHORT)
    assert len(fresh.people([f"p{number}@x.example" for number in range(SHORT + 1_900)])) == SHORT + 1_900
    assert gapless(all_changes(fresh, 1000))


def test_whoever_watches_is_told_how_many_rows_are_done(clock: ManualClock) -> None:
    told: list[int] = []
    bad = [",a;b\n"] * 5  # three problems each

    def file() -> Iterator[str]:
        yield from rows(SHORT - 9)
        yield from bad
        yield "P0,p0@x.example\n"

    Builtin(Forgetting(), MemoryBlobs(), KEYS, clock, slice_rows=SHORT).import_contacts(file(), told.append)

    assert told == [SHORT - 6, SHORT - 3]


def test_all_errors_are_counted_and_the_first_thousand_told(storage: Storage, clock: ManualClock) -> None:
    crm = Builtin(storage.tables, storage.blobs, KEYS, clock)

    report = crm.import_contacts("Name,Email\n" + "Ben,\n" * 1_200 + "Rosa,rosa@client.example\n")

    assert (report.imported, report.error_count) == (1, 1_200)
    assert [line for line, _ in report.errors] == list(range(2, ERRORS + 2))


def test_requests_are_few_for_each_contact_and_the_list_is_written_once_a_slice(clock: ManualClock) -> None:
    tables, blobs = Counting(MemoryTables()), MemoryBlobs()

    Builtin(tables, blobs, KEYS, clock).import_contacts(rows(SLICE))

    # Three rows a contact, a hundred in a group: 0.03; groups that are not full are the rest.
    assert len(tables.writes) + len(tables.reads) < 0.036 * SLICE


def test_importing_again_reads_each_contact_once_and_writes_nothing(clock: ManualClock) -> None:
    tables, blobs = Counting(MemoryTables()), MemoryBlobs()
    Builtin(tables, blobs, KEYS, clock).import_contacts(rows(SLICE + 1_000))
    tables.reads.clear()
    tables.writes.clear()

    report = Builtin(tables, blobs, KEYS, clock).import_contacts(rows(SLICE + 1_000))

    assert report == ImportReport(0, SLICE + 1_000)
    assert (tables.reads, tables.writes) == (["CrmRecords"] * 16, [])


def test_a_small_file_does_not_read_the_contacts_of_a_large_crm(clock: ManualClock) -> None:
    tables, blobs = Counting(MemoryTables()), MemoryBlobs()
    Builtin(tables, blobs, KEYS, clock).import_contacts(rows(3_000))
    tables.reads.clear()

    report = Builtin(tables, blobs, KEYS, clock).import_contacts(rows(10, first=2_995))

    assert report == ImportReport(5, 5)
    assert tables.reads.count("CrmAddresses") == 5
    assert tables.reads.count("CrmRecords") <= 5 + 5  # the known ones, and the counters of five buckets


def test_people_with_several_addresses_are_known_again(storage: Storage, clock: ManualClock) -> None:
    header = "Name,Email,Email 2\n"
    text = header + "".join(f"P{one},p{one}@x.example,q{one}@x.example\n" for one in range(30))
    swapped = header + "".join(f"p{one},q{one}@x.example,p{one}@x.example\n" for one in range(30))
    more = header + "".join(f"P{one},q{one}@x.example,r{one}@x.example\n" for one in range(30))
    Builtin(storage.tables, storage.blobs, KEYS, clock).import_contacts(text)
    crm = Builtin(storage.tables, storage.blobs, KEYS, clock)

    assert crm.import_contacts(text) == crm.import_contacts(swapped) == ImportReport(0, 30)
    assert crm.import_contacts(more) == ImportReport(30, 0)
    assert {one.addresses for one in crm.contacts(100)[0]} == {
        (f"p{one}@x.example", f"q{one}@x.example", f"r{one}@x.example") for one in range(30)
    }


def test_a_name_told_to_contacts_known_by_their_address_alone_is_kept(storage: Storage, clock: ManualClock) -> None:
    crm = Builtin(storage.tables, storage.blobs, KEYS, clock)
    crm.import_contacts("Email\n" + "".join(f"p{one}@x.example\n" for one in range(30)))

    named = crm.import_contacts(rows(30))
    nameless = crm.import_contacts("Email\n" + "".join(f"p{one}@x.example\n" for one in range(30)))

    assert (named, nameless) == (ImportReport(30, 0), ImportReport(0, 30))
    assert {one.name for one in crm.contacts(100)[0]} == {f"P{one}" for one in range(30)}


def test_a_contact_with_too_many_addresses_costs_its_own_row_and_no_other(clock: ManualClock) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    crm = Builtin(tables, blobs, KEYS, clock)
    many = "".join(f"Ada,a@x.example;{'n' * 60}{number}@x.example\n" for number in range(2_000))

    first = crm.import_contacts("Name,Email\n" + many + "Ben,b@x.example\n")
    again = Builtin(tables, blobs, KEYS, clock).import_contacts("Name,Email\n" + many + "Ben,b@x.example\n")

    assert (first.imported, first.error_count) == (MOST, 2_000 - MOST + 1)
    assert first.errors[0] == (
        MOST + 1,
        "With this row the contact would have more than 200 mail addresses, or too long ones.",
    )
    assert (again.imported, again.unchanged, again.error_count) == (0, MOST, 2_000 - MOST + 1)
    assert {one.name: len(one.addresses) for one in crm.contacts(10)[0]} == {"Ada": MOST, "Ben": 1}


def test_addresses_too_long_for_one_contact_cost_their_row(clock: ManualClock) -> None:
    crm = Builtin(MemoryTables(), MemoryBlobs(), KEYS, clock)
    long = ";".join(f"{number}{'é' * 300}@x.example" for number in range(50))

    report = crm.import_contacts(f"Name,Email\nAda,{long}\nBen,b@x.example\n")

    assert (report.imported, [line for line, _ in report.errors]) == (1, [2])
    with pytest.raises(BadItem, match="too long together"):
        crm.save_contact("Ada", long.split(";"))


def test_all_addresses_that_came_with_a_contact_are_named_to_who_waits_for_them(clock: ManualClock) -> None:
    crm = Builtin(MemoryTables(), MemoryBlobs(), KEYS, clock)
    many = [f"n{number}@x.example" for number in range(MOST)]

    crm.import_contacts("Name,Email\n" + "".join(f"Ada,{many[0]};{one}\n" for one in many[1:]))

    assert sorted(crm.arrivals("", 10)[0]) == sorted(many)


def test_an_import_that_others_left_no_room_keeps_what_fits_and_tells_the_line(clock: ManualClock) -> None:
    tables, blobs = MemoryTables(), MemoryBlobs()
    quick = Builtin(tables, blobs, KEYS, clock)
    quick.import_contacts("Name,Email\nAda,a@x.example\n")
    full = "Name,Email\n" + "".join(f"Ada,a@x.example;n{number}@x.example\n" for number in range(MOST))
    slow = Builtin(Interrupted(tables, "CrmRecords", [lambda: quick.import_contacts(full)]), blobs, KEYS, clock)

    report = slow.import_contacts("Name,Email\nAda,a@x.example;late@x.example\nBen,b@x.example\n")

    assert (report.imported, [line for line, _ in report.errors]) == (1, [2])
    fresh = Builtin(tables, blobs, KEYS, clock)
    assert names(fresh, "late@x.example") == []
    assert names(fresh, "n7@x.example") == ["Ada"]
