"""Which addresses are left out, and by which pattern."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import BadItem
from sync.exclusions import PATTERN_LENGTH, Exclusion, Exclusions, check
from tests.builders import NOON

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("pattern", "address", "excluded"),
    [
        ("news@acme.example", "news@acme.example", True),
        ("news@acme.example", "news@acme.example.org", False),
        ("news@acme.example", "oldnews@acme.example", False),
        (" News@ACME.example ", "nEWS@acme.EXAMPLE", True),
        ("*@acme.example", "anybody@acme.example", True),
        ("*@acme.example", "anybody@mail.acme.example", False),
        ("*@acme.example", "anybody@notacme.example", False),
        ("acme.example", "anybody@acme.example", True),
        ("acme.example", "anybody@mail.acme.example", False),
        ("@acme.example", "anybody@acme.example", True),
        ("news@*", "news@any.example", True),
        ("news@*", "news.letter@any.example", False),
        ("news@**", "news@any.example", True),
        ("no-reply*@*", "no-reply@any.example", True),
        ("no-reply*@*", "No-Reply-17@any.example", True),
        ("no-reply*@*", "please-no-reply@any.example", False),
        ("*.acme.example", "anybody@mail.acme.example", True),
        ("*.acme.example", "anybody@a.b.acme.example", True),
        ("*.acme.example", "anybody@acme.example", False),
        ("*.acme.example", "anybody@mail.notacme.example", False),
        ("*@*.acme.example", "anybody@mail.acme.example", True),
        ("*@*.acme.example", "anybody@acme.example", False),
        ("*@*.acme.example", "anybody@mail.acme.example.org", False),
        ("*acme.example", "anybody@acme.example", True),
        ("*acme.example", "anybody@bigacme.example", True),
        ("*news*", "the-newsroom@any.example", True),
        ("*news*", "anybody@any.example", False),
        ("*@*news*", "news@any.example", False),
        ("*@*news*", "anybody@old.news.example", True),
        ("a*b@acme.example", "ab@acme.example", True),
        ("a*b@acme.example", "a-to-b@acme.example", True),
        ("a*b@acme.example", "a@acme.example", False),
        ("aba*ba@x.example", "aba@x.example", False),
        ("b*@x.example*.example", "b@x.example", False),
        ("*aa*ab*@x.example", "aaab@x.example", True),
        ("*aa*ab*@x.example", "aab@x.example", False),
        ("a[bc]@x.example", "a[bc]@x.example", True),
        ("a[bc]@x.example", "ab@x.example", False),
        ("a?@x.*", "ab@x.example", False),
        ("a.c*@x.example", "abc@x.example", False),
        ("(a|b)+$*@x.example", "(a|b)+$1@x.example", True),
        ("*@münchen.example", "rosa@MÜNCHEN.example", True),
        ("*@acme.example", "acme.example", False),
        ("*acme*", "/o=acme/cn=rosa", False),
        ("*@acme.example", "", False),
    ],
)
def test_a_pattern_excludes_what_it_says_and_nothing_else(pattern: str, address: str, excluded: bool) -> None:
    assert Exclusions.of([pattern]).why(address) == (pattern if excluded else None)


@pytest.mark.parametrize(
    ("pattern", "name", "sentence"),
    [
        ("", "", "is empty"),
        (" \t ", "", "is empty"),
        ("*", "*", "would exclude everything"),
        ("***", "***", "would exclude everything"),
        ("*@*", "*@*", "would exclude everything"),
        ("*.*", "*.*", "would exclude everything"),
        ("*@*.*", "*@*.*", "would exclude everything"),
        ("a*b*c*d*@x.example", "a*b*c*d*@x.example", "3 stars, not 4"),
        ("a\x00b@x.example", "a?b@x.example", "control characters"),
        ("a\nb@x.example", "a?b@x.example", "control characters"),
        ("a@x.example, b@x.example", "a@x.example, b@x.example", "write each one by itself"),
        ("a@x.example;*@y.example", "a@x.example;*@y.example", "write each one by itself"),
        ("acme", "acme", "neither an address nor a domain"),
        (".acme.example", ".acme.example", "neither an address nor a domain"),
        ("acme..example", "acme..example", "neither an address nor a domain"),
        ("@acme", "@acme", "neither an address nor a domain"),
        ("acme@", "acme@", "neither an address nor a domain"),
        ("x" * 400, "x" * 80 + "...", "320 characters, not 400"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_by_name(pattern: str, name: str, sentence: str) -> None:
    with pytest.raises(BadItem, match=sentence) as refused:
        Exclusions.of(["acme.example", pattern])

    assert refused.value.name == name


def test_a_pattern_of_the_greatest_length_is_taken() -> None:
    pattern = "*@" + "x" * (PATTERN_LENGTH - len("*@.example")) + ".example"

    assert len(check(pattern)) == PATTERN_LENGTH
    assert Exclusions.of([pattern]).why("a" + pattern[1:]) == pattern


def test_the_narrowest_kind_of_pattern_is_told_as_it_was_written() -> None:
    written = ["*e*", "*e.example", "r*@acme.example", "*.example", "rosa@*", "ACME.example", "Rosa@Acme.example"]

    told = []
    while written:
        told.append(Exclusions.of(written).why("rosa@acme.example"))
        written.remove(told[-1])

    assert told == ["Rosa@Acme.example", "ACME.example", "rosa@*", "*.example", "r*@acme.example", "*e.example", "*e*"]


def test_without_patterns_nobody_is_excluded() -> None:
    assert Exclusions.of([]).why("rosa@acme.example", NOON) is None


# -- periods


@pytest.mark.parametrize(
    ("since", "until", "excluded"),
    [
        (None, None, [True, True, True]),
        (NOON, None, [False, True, True]),
        (None, NOON, [True, False, False]),
        (NOON, NOON + DAY, [False, True, False]),
        (NOON + DAY, NOON, [False, False, False]),
    ],
)
def test_an_exclusion_concerns_mail_of_its_period(
    since: datetime | None, until: datetime | None, excluded: list[bool]
) -> None:
    exclusions = Exclusions.of([Exclusion("acme.example", since, until)])

    asked = [exclusions.why("rosa@acme.example", NOON + days * DAY) for days in (-1, 0, 1)]

    assert [one is not None for one in asked] == excluded


def test_an_exclusion_that_was_removed_and_added_again_leaves_the_mail_between_in() -> None:
    first, again = Exclusion("acme.example", None, NOON), Exclusion("*@acme.example", NOON + 2 * DAY)
    exclusions = Exclusions.of([first, again])

    asked = [exclusions.why("rosa@acme.example", NOON + days * DAY) for days in (-1, 0, 1, 2)]

    assert asked == ["acme.example", None, None, "*@acme.example"]


def test_a_wider_exclusion_still_holds_where_a_narrower_one_has_ended() -> None:
    exclusions = Exclusions.of([Exclusion("rosa@acme.example", None, NOON), "*acme*"])

    assert exclusions.why("rosa@acme.example", NOON - DAY) == "rosa@acme.example"
    assert exclusions.why("rosa@acme.example", NOON) == "*acme*"


def test_mail_without_a_time_may_be_from_any() -> None:
    assert Exclusions.of([Exclusion("acme.example", NOON, NOON + DAY)]).why("rosa@acme.example") == "acme.example"


def test_a_time_without_a_zone_counts_as_utc() -> None:
    naive = NOON.replace(tzinfo=None)
    exclusions = Exclusions.of([Exclusion("acme.example", naive)])

    assert exclusions.why("rosa@acme.example", NOON) == "acme.example"
    assert exclusions.why("rosa@acme.example", naive - DAY) is None


# -- against slow and plain words

_NAMES = st.text(alphabet="ab.@-[", max_size=9)
_PATTERNS = st.text(alphabet="ab.@*-[", max_size=9)
_TIMES = st.integers(0, 5).map(lambda day: datetime(2026, 1, 1 + day, tzinfo=UTC))
_BOUNDS = st.none() | _TIMES


def fits(pattern: str, address: str) -> bool:
    """What a star means, letter by letter."""
    if not pattern:
        return not address
    if pattern[0] == "*":
        return any(fits(pattern[1:], address[skipped:]) for skipped in range(len(address) + 1))
    return address[:1] == pattern[0] and fits(pattern[1:], address[1:])


def taken(pattern: str) -> bool:
    """Whether a pattern is one at all."""
    try:
        check(pattern)
    except BadItem:
        return False
    return True


@given(
    st.lists(st.builds(Exclusion, _PATTERNS.filter(taken), _BOUNDS, _BOUNDS), max_size=8),
    st.lists(_NAMES, max_size=8),
    _TIMES,
)
def test_patterns_together_exclude_what_each_one_excludes(
    many: Sequence[Exclusion], addresses: Sequence[str], at: datetime
) -> None:
    exclusions = Exclusions.of(many)

    for address in [*addresses, *(one.pattern.replace("*", "a") for one in many), *addresses]:
        expected = {
            one.pattern
            for one in many
            if "@" in address
            and fits(check(one.pattern), address)
            and (one.since is None or one.since <= at)
            and (one.until is None or at < one.until)
        }
        told = exclusions.why(address, at)
        assert told in expected if expected else told is None, address


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_is_too_strange_for_a_pattern_or_an_address(pattern: str, address: str) -> None:
    exclusions = Exclusions.of([pattern] if taken(pattern) else [])

    assert exclusions.why(address) in (None, pattern)


# -- hostile patterns and addresses

HOSTILE = [
    *("*a*a*a" + "b" * (number % 60) for number in range(400)),
    *("*" + "a" * (number % 100) + "*" + "ab" * (number % 70) + "b*" for number in range(400)),
    *("a*" + "a" * (number % 150) + "*" + "a" * (number % 140) + "b" for number in range(200)),
]


@pytest.mark.parametrize(
    "address",
    [
        "a" * 65_536 + "@" + "a" * 100,
        "@" + "a" * 65_536,
        "@" * 65_536,
        "." * 32_768 + "@" + "." * 32_768,
        "ab" * 32_768 + "@",
        "a@" + "a." * 32_768,
        "a" * 64 + "@" + "a" * 255,
    ],
    ids=["before", "after", "at", "dots", "pairs", "labels", "longest"],
)
def test_hostile_addresses_are_judged_by_a_thousand_hostile_patterns_at_once(address: str) -> None:
    exclusions = Exclusions.of([*HOSTILE, *(f"*.{'a.' * number}a" for number in range(100))])
    taken_times = []

    for place in range(3):
        start = time.perf_counter()
        exclusions.why(f"{place}{address}")
        taken_times.append(time.perf_counter() - start)

    assert min(taken_times) < 0.05


def test_a_monster_is_excluded_by_its_beginning_and_its_end() -> None:
    exclusions = Exclusions.of(["acme.example", "no-reply*@*", "*@*.firm.example"])
    long = "x" * 65_536

    assert exclusions.why(f"{long}@acme.example") == "acme.example"
    assert exclusions.why(f"a@{long}.firm.example") == "*@*.firm.example"
    assert exclusions.why(f"no-reply{'x' * 500}@{long}") == "no-reply*@*"
    assert exclusions.why(f"{long}@else.example") is None


def test_reading_many_patterns_is_quick_whatever_they_are() -> None:
    start = time.perf_counter()
    Exclusions.of(f"*{number}*a*{'x' * 200}" for number in range(1_000))

    assert time.perf_counter() - start < 1
