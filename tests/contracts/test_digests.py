"""The shared list of address digests: cheap to look at and to add to, and never wrong for being lost or damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from dev.memory import ManualClock, MemoryBlobs
from sync.crm.builtin import Builtin
from sync.crm.digests import ALONE, FILE, Digests
from sync.errors import Retry
from sync.ports import Blob, Blobs
from sync.storage import Storage
from tests.builders import KEYS
from tests.contracts.crm_world import Counting, Killed, Section

ROSA, EVE = "rosa@client.example", "eve@client.example"
MANY = ALONE + 100
DRAW = random.Random(1)


class Noting:
    """Files that note what is written and asked for, and let others act just before a file is read or written."""

    def __init__(self, inner: Blobs) -> None:
        self.inner = inner
        self.written: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.before_put: list[Callable[[], object]] = []
        self.before_large: list[Callable[[], object]] = []
        self.stream = inner.stream

    def put(self, name: str, data: bytes, version: str | None = None) -> str:
        if name == FILE and self.before_put:
            self.before_put.pop(0)()
        self.written.append((name, len(data)))
        return self.inner.put(name, data, version)

    def get(self, name: str, unless: str = "") -> Blob | None:
        if name != FILE and self.before_large:
            self.before_large.pop(0)()
        self.asked.append(name)
        return self.inner.get(name, unless)

    def version(self, name: str) -> str:
        return self.inner.version(name)

    def delete(self, name: str, version: str | None = None) -> None:
        self.inner.delete(name, version)


def a_crm(storage: Storage, clock: ManualClock, blobs: Blobs | None = None) -> Builtin:
    """A worker that remembers nothing."""
    return Builtin(storage.tables, blobs or storage.blobs, KEYS, clock)


def a_list(blobs: Blobs, clock: ManualClock, rows: set[int] | None = None) -> Digests:
    """The list as a worker has it that remembers nothing, above these rows."""
    return Digests(blobs, lambda: iter(rows or ()), clock, timedelta(seconds=15))


def names(crm: Builtin, address: str) -> list[str]:
    return [one.name for one in crm.people([address]).get(address, ())]


def some(many: int) -> set[int]:
    return {DRAW.getrandbits(64) for _ in range(many)}


def large_file(blobs: Blobs) -> str:
    """The name of the large file, as `FILE` tells it."""
    head = blobs.get(FILE)
    assert head is not None
    return f"{FILE}-{head.data[16:48].decode()}"


# -- what it costs


def test_a_million_addresses_take_eight_megabytes_and_one_more_takes_little(
    storage: Storage, clock: ManualClock
) -> None:
    strangers = some(1_000_000)
    assert a_list(storage.blobs, clock, strangers).rebuild() == len(strangers)
    there = storage.blobs.get(large_file(storage.blobs))
    assert there is not None
    files, tables = Noting(storage.blobs), Counting(storage.tables)
    crm = Builtin(tables, files, KEYS, clock)

    crm.save_contact("Rosa", [ROSA])
    crm.save_contact("Eve", [EVE])

    assert len(there.data) == 8 * len(strangers)
    assert files.written == [(FILE, 64 + 8), (FILE, 64 + 16)]
    reads = len(tables.reads)
    assert crm.people([f"{number}@else.example" for number in range(1000)]) == {}
    assert len(tables.reads) == reads
    assert [names(a_crm(storage, clock), one) for one in (ROSA, EVE)] == [["Rosa"], ["Eve"]]


def test_a_hundred_thousand_digests_in_slices_are_written_a_few_times_each(clock: ManualClock) -> None:
    rows: set[int] = set()
    files = Noting(MemoryBlobs())
    adding = a_list(files, clock, rows)

    for _ in range(100):
        news = some(1000)
        rows |= news
        adding.add(news)

    assert list(adding.latest()) == sorted(rows)
    assert list(a_list(files, clock).latest()) == sorted(rows)
    assert sum(size for _, size in files.written) < 8 * len(rows) * 20  # all of it each time would be fifty times


def test_whoever_looks_for_news_asks_for_one_small_file(clock: ManualClock) -> None:
    blobs, rows = MemoryBlobs(), some(MANY)
    writer = a_list(blobs, clock, rows)
    writer.add(rows)
    files = Noting(blobs)
    reader = a_list(files, clock)
    reader.fresh(clock())
    files.asked.clear()

    writer.add({7})
    early = list(reader.fresh(clock()))
    clock.advance(16)
    late = list(reader.fresh(clock()))

    assert (early, late) == (sorted(rows), sorted({7, *rows}))
    assert files.asked == [FILE]


# -- with other workers


def test_what_another_worker_lists_a_moment_before_stays_listed(storage: Storage, clock: ManualClock) -> None:
    files = Noting(storage.blobs)
    files.before_put = [lambda: a_crm(storage, clock).save_contact("Eve", [EVE])]

    a_crm(storage, clock, files).save_contact("Rosa", [ROSA])

    fresh = a_crm(storage, clock)
    assert [names(fresh, one) for one in (ROSA, EVE)] == [["Rosa"], ["Eve"]]


def test_two_workers_that_both_write_the_large_file_lose_nothing_and_leave_one(clock: ManualClock) -> None:
    blobs, mine, theirs = MemoryBlobs(), some(MANY), some(MANY)
    files = Noting(blobs)
    files.before_put = [lambda: None, lambda: a_list(blobs, clock).add(theirs)]

    a_list(files, clock).add(mine)

    assert list(a_list(blobs, clock).latest()) == sorted(mine | theirs)
    written = {name for name, _ in files.written if name != FILE}
    assert [name for name in written if blobs.get(name)] == [large_file(blobs)]


def test_a_large_file_replaced_while_it_is_being_fetched_is_fetched_anew(storage: Storage, clock: ManualClock) -> None:
    first, second = some(MANY), some(MANY)
    a_list(storage.blobs, clock).add(first)
    files = Noting(storage.blobs)
    files.before_large = [lambda: a_list(storage.blobs, clock).add(second)]

    assert list(a_list(files, clock).latest()) == sorted(first | second)


def test_workers_that_add_and_find_no_list_at_the_same_time_all_recover(storage: Storage, clock: ManualClock) -> None:
    a_crm(storage, clock).save_contact("Rosa", [ROSA])
    storage.blobs.delete(FILE)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: names(a_crm(storage, clock), ROSA), range(4)))

    assert found == [["Rosa"]] * 4


def test_a_list_that_others_never_leave_alone_is_left_for_later(clock: ManualClock) -> None:
    blobs = MemoryBlobs()
    a_list(blobs, clock).add({1})
    files = Noting(blobs)
    files.before_put = [lambda one=one: a_list(blobs, clock).add({one}) for one in range(10, 200)]  # type: ignore[misc]

    with pytest.raises(Retry):
        a_list(files, clock).add({2})
    with pytest.raises(Retry):
        a_list(files, clock).rebuild()


# -- lost or damaged


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "not a whole number": lambda data: data[:-3],
    "a number less": lambda data: data[:-8],
    "another bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "something else": lambda data: b"<html>" + data,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("file", ["small", "large"])
def test_a_damaged_list_is_made_anew_from_the_rows(
    clock: ManualClock, file: str, damage: Callable[[bytes], bytes]
) -> None:
    blobs, rows = MemoryBlobs(), some(MANY)
    a_list(blobs, clock).add(rows)
    name = FILE if file == "small" else large_file(blobs)
    there = blobs.get(name)
    assert there is not None
    blobs.put(name, damage(there.data))

    assert list(a_list(blobs, clock, rows).latest()) == sorted(rows)
    assert list(a_list(blobs, clock).latest()) == sorted(rows)  # and is whole again for all


@pytest.mark.parametrize("file", ["small", "large"])
def test_a_lost_list_is_made_anew_from_the_rows(storage: Storage, clock: ManualClock, file: str) -> None:
    rows = some(MANY)
    a_list(storage.blobs, clock).add(rows)
    storage.blobs.delete(FILE if file == "small" else large_file(storage.blobs))

    assert list(a_list(storage.blobs, clock, rows).latest()) == sorted(rows)
    assert list(a_list(storage.blobs, clock).latest()) == sorted(rows)


def test_a_worker_that_finds_a_damaged_list_takes_nobody_for_unknown(storage: Storage, clock: ManualClock) -> None:
    crm = a_crm(storage, clock)
    crm.save_contact("Rosa", [ROSA])
    storage.blobs.put(FILE, b"\0" * 12)
    clock.advance(16)

    assert names(crm, ROSA) == names(a_crm(storage, clock), ROSA) == ["Rosa"]


def test_a_running_worker_whose_list_was_lost_adds_a_contact_and_loses_none(
    storage: Storage, clock: ManualClock
) -> None:
    crm = a_crm(storage, clock)
    crm.save_contact("Rosa", [ROSA])
    storage.blobs.delete(FILE)

    crm.save_contact("Eve", [EVE])

    for worker in (crm, a_crm(storage, clock)):
        assert [names(worker, one) for one in (ROSA, EVE)] == [["Rosa"], ["Eve"]]


def test_a_new_deployment_looks_for_rows_once(storage: Storage, clock: ManualClock) -> None:
    tables = Counting(storage.tables)

    for _ in range(3):
        assert names(Builtin(tables, storage.blobs, KEYS, clock), ROSA) == []

    assert tables.reads == ["CrmAddresses"]


def test_a_list_made_anew_on_demand_holds_what_the_rows_say_and_no_more(clock: ManualClock) -> None:
    blobs, rows = MemoryBlobs(), some(MANY)
    crowded = a_list(blobs, clock, rows)
    crowded.add(rows | some(MANY))

    assert crowded.rebuild() == crowded.count() == MANY
    assert list(a_list(blobs, clock).latest()) == sorted(rows)


@pytest.mark.parametrize("lose_answer", [False, True], ids=["before a write", "after a write"])
@pytest.mark.parametrize("write", [1, 2])
def test_a_worker_killed_while_it_writes_the_large_file_leaves_a_list_that_is_right(
    storage: Storage, clock: ManualClock, write: int, lose_answer: bool
) -> None:
    section = Section(storage.tables, storage.blobs, "killed-")
    before, news = {1, 2, 3}, some(MANY)
    a_list(section, clock).add(before)
    section.fuse, section.lose_answer = write, lose_answer

    with pytest.raises(Killed):
        a_list(section, clock).add(news)
    survivor = a_list(section, clock)

    assert before <= set(survivor.latest()) <= before | news
    survivor.add(news)
    assert list(a_list(section, clock).latest()) == sorted(before | news)


def test_an_address_that_comes_back_while_the_list_is_made_anew_stays_listed(clock: ManualClock) -> None:
    blobs = MemoryBlobs()
    here = a_list(blobs, clock)
    here.add({1, 2})
    read: list[set[int]] = [{2}, {1, 2}]  # the row of 1 was away when the rows were read first

    def rows() -> Iterator[int]:
        found = read.pop(0)
        if read:
            here.add({1})
        return iter(found)

    Digests(blobs, rows, clock, timedelta(seconds=15)).rebuild()

    assert list(a_list(blobs, clock).latest()) == [1, 2]
