"""What fits into a row and into a group of rows, at and around every limit."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import TooLarge
from sync.ports import Value, Write
from sync.storage import groups
from sync.storage.groups import (
    check,
    check_bound,
    check_group,
    check_key,
    check_name,
    check_text,
    in_groups,
    size_of,
    storable,
    stored,
)


def an_insert(key: str = "k", **values: Value) -> Write:
    return Write("insert", key, values)


def many(count: int, **values: Value) -> list[Write]:
    return [an_insert(f"{number:05d}", **values) for number in range(count)]


# Groups


@pytest.mark.parametrize(
    ("rows", "sizes"), [(0, []), (1, [1]), (99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_a_group_has_at_most_a_hundred_rows(rows: int, sizes: list[int]) -> None:
    assert [len(group) for group in in_groups(many(rows))] == sizes


def test_a_group_ends_before_it_grows_too_large_for_one_request() -> None:
    writes = many(90, text="x" * 32_000, more="x" * 32_000)

    split = list(in_groups(writes))

    assert len(split) > 1
    assert all(sum(map(size_of, group)) <= groups.GROUP_BYTES for group in split)
    # Not one row more would have fitted.
    assert all(sum(map(size_of, group)) + size_of(after[0]) > groups.GROUP_BYTES for group, after in pairwise(split))


def test_a_row_larger_than_a_group_stands_alone_and_is_refused_by_name() -> None:
    giant = an_insert("giant", **{f"v{number}": "x" * 32_000 for number in range(200)})

    split = list(in_groups([an_insert("a"), giant, an_insert("b")]))

    assert [[write.key for write in group] for group in split] == [["a"], ["giant"], ["b"]]
    with pytest.raises(TooLarge, match="giant"):
        check_group("p", split[1])


@given(st.lists(st.integers(0, 60_000), max_size=300))
def test_groups_put_together_are_the_writes_in_their_order(sizes: list[int]) -> None:
    writes = [an_insert(f"{place:04d}", data=b"x" * size) for place, size in enumerate(sizes)]

    split = list(in_groups(writes))

    assert [write for group in split for write in group] == writes
    assert all(0 < len(group) <= groups.GROUP_ROWS for group in split)
    assert all(len(group) == 1 or sum(map(size_of, group)) <= groups.GROUP_BYTES for group in split)


def test_more_rows_or_bytes_than_a_request_carries_are_refused() -> None:
    check_group("p", many(100))

    with pytest.raises(TooLarge, match="101 rows"):
        check_group("p", many(101))
    with pytest.raises(TooLarge, match="90 rows has"):
        check_group("p", many(90, text="x" * 32_000, more="x" * 32_000))


def test_a_row_stands_once_in_a_group() -> None:
    with pytest.raises(ValueError, match="'same' stands twice"):
        check_group("p", [an_insert("same"), Write("delete", "same")])


@pytest.mark.parametrize(
    "value", ["", "a" * 30_000, "\x01" * 9_000, "é" * 9_000, "😀" * 8_000, b"\xff" * 30_000, 2**62, 1.5e-300, True]
)
def test_the_estimate_covers_what_json_makes_of_a_value(value: Value) -> None:
    shown = base64.b64encode(value).decode() if isinstance(value, bytes) else value

    assert size_of(an_insert("k", name=value)) > len(json.dumps({"name": shown, "name@odata.type": "Edm.Binary"}))


# Values


@pytest.mark.parametrize(
    "value",
    [
        "x" * 32_768,
        "é" * 16_384,
        "😀" * 8_192,
        b"\x00" * 32_768,
        2**63 - 1,
        -(2**63),
        0,
        True,
        -1.5,
        datetime(1601, 1, 1, tzinfo=UTC),
    ],
)
def test_a_value_at_the_limit_is_taken(value: Value) -> None:
    check(an_insert(value=value))


@pytest.mark.parametrize("value", ["x" * 32_769, "é" * 16_385, "😀" * 8_193, b"\x00" * 32_769])
def test_a_value_above_32_kilobytes_is_refused_with_its_row_and_its_name(value: Value) -> None:
    with pytest.raises(TooLarge, match=r"Row 'k', value 'body' has 327(69|70|72) bytes"):
        check(an_insert(body=value))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - the naive moment is the point
        (datetime(1600, 12, 31, tzinfo=UTC), "year 1600"),
        (None, "a NoneType cannot be stored"),
        (["a"], "a list cannot be stored"),
    ],
)
def test_what_the_storage_cannot_hold_is_refused_with_its_row_and_its_name(value: Value, words: str) -> None:
    with pytest.raises(ValueError, match=f"Row 'k', value 'odd'.*{words}"):
        check(an_insert(odd=value))


@pytest.mark.parametrize("name", ["", "a-b", "a b", "1a", "é", "a@odata.type", "odata.etag", "a" * 256])
def test_the_name_of_a_value_is_an_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a value"):
        check(an_insert(**{name: 1}))


@pytest.mark.parametrize("name", ["PartitionKey", "RowKey", "Timestamp"])
def test_the_names_of_the_storage_itself_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        check(an_insert(**{name: "x"}))


def test_a_row_has_at_most_252_values() -> None:
    check(an_insert(**{f"v{number}": 1 for number in range(252)}))

    with pytest.raises(TooLarge, match="Row 'k' has 253 values"):
        check(an_insert(**{f"v{number}": 1 for number in range(253)}))


@pytest.mark.parametrize("value", ["x" * 32_000, "é" * 16_000, b"x" * 32_000])
def test_a_row_has_at_most_a_megabyte(value: Value) -> None:
    with pytest.raises(TooLarge, match=r"Row 'k' has \d+ bytes"):
        check(an_insert(**{f"v{number}": value for number in range(34)}))


def test_a_version_goes_with_changes_only() -> None:
    check(Write("merge", "k", {}, "W/1"))

    with pytest.raises(ValueError, match="insert with the version"):
        check(Write("insert", "k", {}, "W/1"))
    with pytest.raises(ValueError, match="update with the version"):
        check(Write("update", "k", {}, "W/1"))
    with pytest.raises(ValueError, match="merge with the version ''"):
        check(Write("merge", "k", {}, ""))


# Keys, names, messages


@pytest.mark.parametrize("key", ["a", "A:b|c.d_e-f~", "o'clock", "x" * 512, "with space"])
def test_a_key_is_printable_ascii(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    "key", ["", "a/b", "a\\b", "a#b", "a?b", "50%", "a\tb", "a\nb", "a\n", "\x00", "\x7f", "é", "😀", "x" * 513]
)
def test_anything_else_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        check_key(key)


def test_a_refused_key_is_not_shown_in_its_full_length() -> None:
    with pytest.raises(ValueError, match=r"xxx\.\.\.'") as refused:
        check_key("x" * 5000)

    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("bound", ["", "a", "a/b", "g~", "~\uffff", "' or PartitionKey ne '"])
def test_a_bound_may_be_anything_that_keys_can_be_compared_with(bound: str) -> None:
    check_bound(bound)


@pytest.mark.parametrize("bound", ["\x00", "a\n", "\ud800", "😀", "x" * 513])
def test_control_characters_and_half_characters_are_no_bound(bound: str) -> None:
    with pytest.raises(ValueError, match="cannot be a bound"):
        check_bound(bound)


@pytest.mark.parametrize("name", ["a", "bodies/0f/0f3c.html", "a.b/c"])
def test_a_file_name_has_parts_between_single_slashes(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "a/../b", "./a", "a?b", "é", "a/" * 600 + "a"])
def test_anything_else_is_no_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        check_name(name)


def test_a_message_has_at_most_48_kilobytes_and_waits_for_at_most_a_week() -> None:
    check_text("é" * 24 * 1024, 7 * 24 * 3600)

    with pytest.raises(TooLarge, match="49153 bytes"):
        check_text("x" * (48 * 1024 + 1), 0)
    for delay in (-1, 7 * 24 * 3600 + 1, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            check_text("x", delay)


# What comes back


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("", ""),
        ("plain \x00\x01\x1b\x7f\r\n", "plain \x00\x01\x1b\x7f\r\n"),
        ("Grüße 😀 \ufffe\uffff\u2028", "Grüße 😀 \ufffe\uffff\u2028"),
        ("a\ud83d\ude00b", "a😀b"),
        ("a\ud800b", "a\ufffdb"),
        ("a\udc00", "a\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_only_lone_halves_of_surrogate_pairs_are_replaced(text: str, back: str) -> None:
    assert storable(text) == back


@given(st.text(st.characters(exclude_categories=())))
def test_storable_text_can_always_be_encoded_and_stays_as_it_is(text: str) -> None:
    once = storable(text)

    once.encode()
    assert storable(once) == once


def test_moments_come_back_in_utc_and_all_else_as_it_is() -> None:
    summer = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))

    assert stored(summer) == summer
    assert stored(summer).utcoffset() == timedelta(0)  # type: ignore[union-attr]
    assert stored("a\ud800") == "a\ufffd"
    assert [stored(value) for value in (1, True, 1.5, b"\xff")] == [1, True, 1.5, b"\xff"]
