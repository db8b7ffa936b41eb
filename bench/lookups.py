"""match-1m and exclude-1k: whose an address is, and whether it is left out, against the best plain code for the same.

Where addresses are new, they are new to both sides in every turn; what is remembered is measured by itself. Turns
alternate, figures are medians. The garbage collector rests while a clock runs: one side must not pay for the other.
"""

from __future__ import annotations

import gc
import hashlib
import re
import sys
import time
import tracemalloc
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import median

from bench.figures import Figure
from dev.memory import MemoryBlobs, MemoryTables
from sync.crm.addresses import Addresses
from sync.crm.digests import Digests
from sync.exclusions import CACHED, Exclusions
from sync.keys import Keys
from sync.model import Person

MOST = 1.3
MOST_MEGABYTES = 64
CONTACTS = 1_000_000
KNOWN = 5_000
PATTERNS = 1_000
ASKED = 20_000
PAGE = 500  # addresses asked for together, as a page of messages has them
TURNS = 7
SECRET = b"the digest key of the benchmark"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MEGABYTE = 1024 * 1024

Measured = tuple[list[Figure], list[str]]
Count = Callable[[Sequence[str]], int]  # how many of these addresses are known, or left out


def match_1m() -> Measured:
    """Lookups in an index of a million addresses, and the memory it takes."""
    contacts = [f"contact{at}@client{at % 5_000}.example" for at in range(CONTACTS)]
    known = [one.title() for one in contacts[:: CONTACTS // KNOWN]]
    plain_set = set(contacts)
    numbers = array("Q", sorted(Keys(SECRET).number("address", one) for one in contacts))
    del contacts
    index, held = _index(numbers, known)

    def product(asked: Sequence[str]) -> int:
        return sum(len(index.people(asked[at : at + PAGE])) for at in range(0, len(asked), PAGE))

    def in_set(asked: Sequence[str]) -> int:
        return sum(one.strip().lower() in plain_set for one in asked)

    plain = _counting(_plain_index(numbers))
    assert product(known) == len(known)  # now the rows of the known ones are remembered, as they are for five minutes
    strangers = _turns(product, plain, _strangers, 0)
    familiar = _turns(product, plain, lambda _: known, len(known))
    _, texts = _turns(product, in_set, _strangers, 0)
    weight = (sys.getsizeof(plain_set) + sum(map(sys.getsizeof, plain_set))) / MEGABYTE
    note = (
        f"match-1m: a set of the texts answers in {texts:.2f} us and takes {weight:.0f} MB: a worker has no such room."
    )
    return [
        _ratio("match-1m", "unknown address / digest and bisect", strangers),
        _ratio("match-1m", "known address / digest and bisect", familiar),
        Figure("match-1m", "index in memory, MB", held, f"{held:.1f}", MOST_MEGABYTES),
    ], [note]


def exclude_1k() -> Measured:
    """Whether an address is left out by a thousand patterns: 800 of domains, 150 of addresses, 50 with other stars."""
    patterns = _patterns()
    exclusions, excluded = Exclusions.of(patterns), _plain_exclusions(patterns)

    def product(asked: Sequence[str]) -> int:
        return sum(exclusions.why(one) is not None for one in asked)

    few = _correspondents(-1)[: CACHED // 2]
    new = _turns(product, _counting(excluded), _correspondents, ASKED // 10)
    again, bare = _turns(product, _counting(lru_cache(CACHED)(excluded)), lambda _: few, len(few) // 10 + 1)
    return [
        _ratio("exclude-1k", "new address / sets and one expression", new),
        Figure("exclude-1k", "remembered address, us", again, f"{again:.2f} (a bare lru_cache {bare:.2f})"),
    ], []


MEASURES: dict[str, Callable[[], Measured]] = {"match-1m": match_1m, "exclude-1k": exclude_1k}


# -- the product's side


def _index(numbers: array[int], known: Sequence[str]) -> tuple[Addresses, float]:
    """A worker's index of these digests with rows for the known ones, and the megabytes it holds."""
    tables, blobs = MemoryTables(), MemoryBlobs()
    people = [(one, Person(f"c{at:032x}", "contact", one)) for at, one in enumerate(known)]
    Addresses(tables, blobs, Keys(SECRET), lambda: NOW).add(people)
    Digests(blobs, lambda: iter(numbers), lambda: NOW, timedelta(seconds=15)).rebuild()
    index = Addresses(tables, blobs, Keys(SECRET), lambda: NOW)
    tracemalloc.start()
    index.people(["stranger@else.example"])
    held = tracemalloc.get_traced_memory()[0] / MEGABYTE
    tracemalloc.stop()
    return index, held


def _patterns() -> list[str]:
    domains = [f"*@domain{at}.example" for at in range(PATTERNS * 80 // 100)]
    exact = [f"person{at}@firm{at}.example" for at in range(PATTERNS * 15 // 100)]
    forms = ("no-reply{}*@*", "news{}@*", "*@*.branch{}.example", "*{}bounces@*.example", "*{}newsletter*")
    others = [form.format(f"-{at}-") for at in range(PATTERNS // 100) for form in forms]
    return [*domains, *exact, *others]


# -- the plain side


def _plain_index(numbers: array[int]) -> Callable[[str], bool]:
    """Whether an address is in the list: the same digest, the same list, nothing else."""
    keyed = hashlib.blake2b(digest_size=8, key=SECRET, person=b"address")
    count = len(numbers)

    def known(address: str) -> bool:
        raw = address.strip().lower().encode()
        hashed = keyed.copy()
        hashed.update(len(raw).to_bytes(4, "big") + raw)
        number = int.from_bytes(hashed.digest(), "big")
        place = bisect_left(numbers, number)
        return place < count and numbers[place] == number

    return known


def _plain_exclusions(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A set of addresses, a set of domains, and one expression for what is left."""
    exact, domains, rest = set(), set(), []
    for pattern in patterns:
        if "*" not in pattern:
            exact.add(pattern)
        elif pattern.startswith("*@") and "*" not in pattern[1:]:
            domains.add(pattern[2:])
        else:
            rest.append(".*".join(map(re.escape, pattern.split("*"))))
    residual = re.compile("|".join(rest)).fullmatch

    def excluded(address: str) -> bool:
        folded = address.strip().lower()
        return folded in exact or folded.rpartition("@")[2] in domains or residual(folded) is not None

    return excluded


def _counting(answer: Callable[[str], bool]) -> Count:
    return lambda asked: sum(map(answer, asked))


# -- addresses, turns and figures


def _strangers(turn: int) -> list[str]:
    return [f"Stranger{turn}-{at}@else{at % 997}.example" for at in range(ASKED)]


def _correspondents(turn: int) -> list[str]:
    """Addresses of which every tenth is left out."""
    kinds = (
        "{}@domain{}.example",
        "no-reply-7-{}@else{}.example",
        "{}@x{}.branch-3-.example",
        "{}-1-newsletter@else{}.example",
    )
    there = [kinds[at // 10 % len(kinds)] if at % 10 == 0 else "{}@client{}.example" for at in range(ASKED)]
    return [form.format(f"person.{turn}.{at}", at % 800) for at, form in enumerate(there)]


def _turns(
    product: Count, plain: Count, asked_in: Callable[[int], Sequence[str]], expected: int
) -> tuple[float, float]:
    """Microseconds an address of both sides."""
    taken: dict[Count, list[float]] = {product: [], plain: []}
    for turn in range(TURNS):
        asked = asked_in(turn)
        for side, times in taken.items():
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            found = side(asked)
            times.append((time.perf_counter() - start) / len(asked) * 1e6)
            gc.enable()
            assert found == expected, f"{found} of {len(asked)} addresses, {expected} were expected"
    return median(taken[product]), median(taken[plain])


def _ratio(workload: str, name: str, taken: tuple[float, float]) -> Figure:
    product, plain = taken
    return Figure(workload, name, product / plain, f"{product / plain:.2f} ({product:.2f} / {plain:.2f} us)", MOST)
