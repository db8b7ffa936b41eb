"""The contract of `ports.Blobs`, held by memory and by Azure's blobs alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sync.errors import Stale, TooLarge
from sync.keys import Keys
from sync.meter import Meter
from sync.ports import Blob, Blobs
from sync.storage import Storage


@pytest.fixture
def blobs(storage: Storage) -> Blobs:
    return storage.blobs


def test_what_was_never_put_is_none(blobs: Blobs) -> None:
    assert blobs.get("a/b") is None


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 40, b"\x00" * 5_000_000])
def test_a_file_comes_back_byte_for_byte_with_its_version(blobs: Blobs, data: bytes) -> None:
    version = blobs.put("bodies/0f/0f3c.html", data)

    assert blobs.get("bodies/0f/0f3c.html") == Blob(data, version)
    assert version


def test_putting_again_replaces_the_file_and_its_version(blobs: Blobs) -> None:
    first = blobs.put("a", b"one")
    second = blobs.put("a", b"one")

    assert first != second
    assert blobs.get("a") == Blob(b"one", second)


def test_a_file_is_not_sent_again_to_who_has_its_version(blobs: Blobs) -> None:
    first = blobs.put("a", b"one")

    unchanged = blobs.get("a", unless=first)
    second = blobs.put("a", b"two")

    assert unchanged is None
    assert blobs.get("a", unless=first) == Blob(b"two", second)
    assert blobs.get("absent", unless=first) is None


def test_the_empty_version_means_absent(blobs: Blobs) -> None:
    version = blobs.put("a", b"first", version="")

    with pytest.raises(Stale) as refused:
        blobs.put("a", b"second", version="")

    assert refused.value.key == "a"
    assert blobs.get("a") == Blob(b"first", version)


def test_a_file_is_replaced_over_the_right_version_only(blobs: Blobs) -> None:
    old = blobs.put("a", b"one")
    new = blobs.put("a", b"two", version=old)

    with pytest.raises(Stale):
        blobs.put("a", b"three", version=old)

    assert blobs.get("a") == Blob(b"two", new)


def test_a_version_of_a_file_that_is_gone_is_stale(blobs: Blobs) -> None:
    version = blobs.put("a", b"one")
    blobs.delete("a")

    with pytest.raises(Stale):
        blobs.put("a", b"two", version=version)

    assert blobs.get("a") is None


def test_deleting_what_is_gone_is_success(blobs: Blobs) -> None:
    blobs.put("a", b"one")

    blobs.delete("a")
    blobs.delete("a")

    assert blobs.get("a") is None


@pytest.mark.parametrize("version", [None, ""], ids=["over a version", "absent"])
def test_of_many_at_once_exactly_one_wins(blobs: Blobs, version: str | None) -> None:
    expected = blobs.put("index", b"old") if version is None else version
    start = threading.Barrier(8)

    def put(number: int) -> str | None:
        start.wait()
        try:
            return blobs.put("index", str(number).encode(), version=expected)
        except Stale:
            return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(put, range(8)))

    winners = [number for number, outcome in enumerate(outcomes) if outcome is not None]
    assert len(winners) == 1
    assert blobs.get("index") == Blob(str(winners[0]).encode(), outcomes[winners[0]] or "")


@pytest.mark.parametrize("hostile", ["../../etc", "a?comp=list", "%2e%2e", "x" * 2000, "Ada", "ada", "\x00", "\ud800"])
def test_hostile_ids_as_digests_lead_to_their_own_file(blobs: Blobs, hostile: str) -> None:
    name = "bodies/" + Keys(b"0123456789abcdef").of("body", hostile)
    blobs.put("bodies/other", b"other")

    blobs.put(name, hostile.encode("utf-8", "surrogatepass"))

    found = blobs.get(name)
    assert found is not None
    assert found.data == hostile.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/./b", "a?b", "a%2fb", "a\\b", "é", "a\n"])
def test_a_name_that_could_lead_elsewhere_is_refused(blobs: Blobs, name: str) -> None:
    for attempt in (lambda: blobs.get(name), lambda: blobs.put(name, b""), lambda: blobs.delete(name)):
        with pytest.raises(ValueError, match="cannot be"):
            attempt()


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
def test_each_call_is_one_request(blobs: Blobs, meter: Meter) -> None:
    version = blobs.put("a", b"one")
    blobs.get("a")
    blobs.get("a", unless=version)
    blobs.delete("a")

    assert meter.counts() == {"blobs": 4, "blobs_writes": 2, "blobs_bytes": 3}


def test_a_file_may_come_piece_by_piece(storage: Storage) -> None:
    size = storage.blobs.stream("a/large", (bytes([number]) * (1024 * 1024) for number in range(9)))

    found = storage.blobs.get("a/large")
    assert size == 9 * 1024 * 1024
    assert found is not None
    assert found.data[:: 1024 * 1024] == bytes(range(9))
    assert storage.blobs.stream("a/large", iter([b"small"])) == 5
    assert storage.blobs.stream("a/empty", iter([])) == 0


def test_a_file_whose_pieces_break_off_is_as_it_was_before(storage: Storage) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * (5 * 1024 * 1024)
        raise TooLarge("more than was said")

    storage.blobs.put("a/there", b"before")

    for name in ("a/there", "a/new"):
        with pytest.raises(TooLarge):
            storage.blobs.stream(name, pieces())

    there = storage.blobs.get("a/there")
    assert there is not None
    assert there.data == b"before"
    assert storage.blobs.get("a/new") is None


def test_a_version_is_told_without_the_bytes(blobs: Blobs) -> None:
    version = blobs.put("a", b"one")

    assert (blobs.version("a"), blobs.version("absent")) == (version, "")


def test_a_file_is_removed_at_the_right_version_only(blobs: Blobs) -> None:
    old = blobs.put("a", b"one")
    new = blobs.put("a", b"two")

    with pytest.raises(Stale) as refused:
        blobs.delete("a", old)
    assert (refused.value.key, blobs.get("a")) == ("a", Blob(b"two", new))

    blobs.delete("a", new)
    blobs.delete("a", new)
    assert blobs.get("a") is None
