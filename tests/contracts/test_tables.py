"""The contract of `ports.Tables`, held by memory and by Azure's tables alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.errors import Conflict, Exists, Stale, TooLarge
from sync.keys import Keys
from sync.meter import Meter
from sync.ports import Row, Tables, Value, Write
from sync.storage import Storage
from sync.storage.groups import in_groups, size_of, stored

TABLE = "AccordState"
HOSTILE = [
    "",
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "50%25",
    "..",
    "\x00",
    "tab\tline\nreturn\r",
    "\x7f\x85",
    "o'clock",
    '"',
    "' or PartitionKey ne '",
    "x' or 'x' eq 'x",
    "x" * 1025,
    "Ada",
    "ada",
    "ADA",
    "é",
    "e\u0301",
    "😀",
    "\ufffe\uffff",
    "\ud800",
]


@pytest.fixture
def tables(storage: Storage) -> Tables:
    return storage.tables


def insert(key: str, **values: Value) -> Write:
    return Write("insert", key, values)


def keys_of(rows: object) -> list[str]:
    return [row.key for row in rows]  # type: ignore[attr-defined]


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """What `work(0..count-1)` return or raise (Conflicts only) when all start together."""
    start = threading.Barrier(count)

    def run(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except Conflict as lost:
            return lost

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


# One row


def test_what_was_never_written_is_none(tables: Tables) -> None:
    assert tables.get(TABLE, "p", "k") is None
    assert list(tables.rows(TABLE, "p")) == []
    assert list(tables.scan(TABLE)) == []


def test_a_row_comes_back_as_it_was_written_with_its_version(tables: Tables) -> None:
    values: dict[str, Value] = {
        "text": "Grüße 😀",
        "empty": "",
        "small": -(2**31),
        "large": 2**31,
        "huge": -(2**63),
        "yes": True,
        "no": False,
        "ratio": 0.1,
        "whole": 3.0,
        "tiny": -1.5e-300,
        "data": bytes(range(256)),
        "nothing": b"",
        "moment": datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC),
        "oldest": datetime(1601, 1, 1, tzinfo=UTC),
        "etag": "a value like any other",
    }

    versions = tables.write(TABLE, "p", [Write("insert", "k", values)])
    row = tables.get(TABLE, "p", "k")

    assert row == Row("p", "k", values, versions["k"])
    assert {name: type(value) for name, value in row.values.items()} == {
        name: type(value) for name, value in values.items()
    }


def test_a_moment_of_another_time_zone_comes_back_in_utc(tables: Tables) -> None:
    moment = datetime(2026, 7, 1, 12, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))

    tables.write(TABLE, "p", [insert("k", moment=moment)])
    row = tables.get(TABLE, "p", "k")

    assert row is not None
    assert row.values["moment"] == moment
    assert row.values["moment"].utcoffset() == timedelta(0)  # type: ignore[union-attr]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][A-Za-z0-9_]{0,20}", fullmatch=True),
        st.one_of(
            st.text(st.characters(exclude_categories=()), max_size=60),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.binary(max_size=60),
            st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
        ),
        max_size=8,
    )
)
def test_any_values_come_back_as_they_can_be_stored(tables: Tables, values: dict[str, Value]) -> None:
    expected = {name: stored(value) for name, value in values.items()}

    tables.write(TABLE, "p", [Write("replace", "alone", values)])
    tables.write(TABLE, "p", [Write("replace", "one", values), Write("replace", "two", values)])

    assert [row.values for row in tables.rows(TABLE, "p")] == [expected] * 3


def test_a_row_that_exists_cannot_be_inserted_again(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("k", x=1)])

    with pytest.raises(Exists) as refused:
        tables.write(TABLE, "p", [insert("k", x=2)])

    row = tables.get(TABLE, "p", "k")
    assert refused.value.key == "k"
    assert row is not None
    assert row.values == {"x": 1}


def test_a_merge_keeps_what_it_does_not_name_and_a_replace_does_not(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("merged", a=1, b=2), insert("replaced", a=1, b=2)])

    tables.write(TABLE, "p", [Write("merge", "merged", {"b": 3})])
    tables.write(TABLE, "p", [Write("replace", "replaced", {"b": 3})])

    assert [row.values for row in tables.rows(TABLE, "p")] == [{"a": 1, "b": 3}, {"b": 3}]


@pytest.mark.parametrize("action", ["merge", "replace"])
def test_without_a_version_merge_and_replace_create_the_row(tables: Tables, action: str) -> None:
    tables.write(TABLE, "p", [Write(action, "k", {"a": 1})])  # type: ignore[arg-type]

    assert [row.values for row in tables.rows(TABLE, "p")] == [{"a": 1}]


@pytest.mark.parametrize("company", [[], [insert("other")]], ids=["alone", "in a group"])
def test_an_update_changes_what_is_there_in_any_version_and_never_creates_it(
    tables: Tables, company: list[Write]
) -> None:
    with pytest.raises(Stale) as refused:
        tables.write(TABLE, "p", [*company, Write("update", "k", {"b": 3})])
    nothing = list(tables.rows(TABLE, "p"))
    tables.write(TABLE, "p", [insert("k", a=1, b=2)])
    tables.write(TABLE, "p", [*company, Write("update", "k", {"b": 3})])

    row = tables.get(TABLE, "p", "k")
    assert row is not None
    assert (refused.value.key, nothing, row.values) == ("k", [], {"a": 1, "b": 3})


def test_deleting_removes_the_row_and_deleting_what_is_gone_is_success(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("k", a=1)])

    assert tables.write(TABLE, "p", [Write("delete", "k")]) == {}
    assert tables.write(TABLE, "p", [Write("delete", "k")]) == {}
    assert tables.get(TABLE, "p", "k") is None


# Versions


def test_every_write_gives_a_new_version_and_the_row_shows_the_last(tables: Tables) -> None:
    versions = [tables.write(TABLE, "p", [Write("merge", "k", {"n": number})])["k"] for number in range(20)]

    row = tables.get(TABLE, "p", "k")
    assert row is not None
    assert row.version == versions[-1]
    assert len(set(versions)) == 20


@pytest.mark.parametrize("action", ["merge", "replace", "delete"])
@pytest.mark.parametrize("company", [[], [insert("other")]], ids=["alone", "in a group"])
def test_a_change_with_the_right_version_passes_and_with_an_old_one_is_stale(
    tables: Tables, action: str, company: list[Write]
) -> None:
    values = {} if action == "delete" else {"n": 2}
    old = tables.write(TABLE, "p", [insert("k", n=0)])["k"]
    new = tables.write(TABLE, "p", [Write("merge", "k", {"n": 1}, old)])["k"]

    with pytest.raises(Stale) as refused:
        tables.write(TABLE, "p", [*company, Write(action, "k", values, old)])  # type: ignore[arg-type]
    untouched = list(tables.rows(TABLE, "p"))
    tables.write(TABLE, "p", [*company, Write(action, "k", values, new)])  # type: ignore[arg-type]

    after = tables.get(TABLE, "p", "k")
    assert refused.value.key == "k"
    assert untouched == [Row("p", "k", {"n": 1}, new)]
    assert after is None if action == "delete" else after is not None and after.values["n"] == 2


@pytest.mark.parametrize("action", ["merge", "replace", "delete"])
@pytest.mark.parametrize("company", [[], [insert("other")]], ids=["alone", "in a group"])
def test_a_change_of_a_version_that_is_gone_is_stale(tables: Tables, action: str, company: list[Write]) -> None:
    version = tables.write(TABLE, "p", [insert("k")])["k"]
    tables.write(TABLE, "p", [Write("delete", "k")])

    with pytest.raises(Stale) as refused:
        tables.write(TABLE, "p", [*company, Write(action, "k", {}, version)])  # type: ignore[arg-type]

    assert refused.value.key == "k"
    assert list(tables.rows(TABLE, "p")) == []


def test_a_row_that_was_deleted_and_written_anew_is_not_the_old_one(tables: Tables) -> None:
    old = tables.write(TABLE, "p", [insert("k", n=1)])["k"]
    tables.write(TABLE, "p", [Write("delete", "k")])
    tables.write(TABLE, "p", [insert("k", n=1)])

    with pytest.raises(Stale):
        tables.write(TABLE, "p", [Write("replace", "k", {"n": 2}, old)])


def test_of_many_inserts_at_once_exactly_one_wins(tables: Tables) -> None:
    outcomes = at_once(8, lambda number: tables.write(TABLE, "p", [insert("lock", holder=number)]))

    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    row = tables.get(TABLE, "p", "lock")
    assert row is not None
    assert [row.values["holder"]] == winners
    assert sum(isinstance(outcome, Exists) for outcome in outcomes) == 7


def test_of_many_groups_at_once_exactly_one_wins_and_no_other_leaves_a_trace(tables: Tables) -> None:
    outcomes = at_once(
        8, lambda number: tables.write(TABLE, "p", [insert(f"trace{number}"), insert("lock", holder=number)])
    )

    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    assert len(winners) == 1
    assert keys_of(tables.rows(TABLE, "p")) == ["lock", f"trace{winners[0]}"]


def test_of_many_changes_of_one_version_exactly_one_wins(tables: Tables) -> None:
    version = tables.write(TABLE, "p", [insert("lease", holder=-1)])["lease"]

    outcomes = at_once(
        8, lambda number: tables.write(TABLE, "p", [Write("merge", "lease", {"holder": number}, version)])
    )

    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    row = tables.get(TABLE, "p", "lease")
    assert row is not None
    assert [row.values["holder"]] == winners
    assert sum(isinstance(outcome, Stale) for outcome in outcomes) == 7


def test_a_counter_that_many_raise_with_its_version_loses_no_step(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("counter", n=0)])

    def raise_ten_times(_: int) -> None:
        done = 0
        while done < 10:
            row = tables.get(TABLE, "p", "counter")
            assert row is not None
            try:
                tables.write(TABLE, "p", [Write("merge", "counter", {"n": int(row.values["n"]) + 1}, row.version)])  # type: ignore[arg-type]
                done += 1
            except Stale:
                continue

    at_once(4, raise_ten_times)

    row = tables.get(TABLE, "p", "counter")
    assert row is not None
    assert row.values["n"] == 40


# Groups


def test_a_group_of_a_hundred_mixed_writes_happens_as_a_whole(tables: Tables) -> None:
    before = tables.write(TABLE, "p", [insert(f"k{number:03d}", n=0) for number in range(100)])

    after = tables.write(
        TABLE,
        "p",
        [
            *(Write("merge", f"k{number:03d}", {"n": 1}, before[f"k{number:03d}"]) for number in range(50)),
            *(Write("replace", f"k{number:03d}", {"n": 2}) for number in range(50, 70)),
            *(Write("delete", f"k{number:03d}") for number in range(70, 90)),
            *(insert(f"new{number}", n=3) for number in range(10)),
        ],
    )

    rows = list(tables.rows(TABLE, "p"))
    assert {row.key: row.version for row in rows if row.key in after} == after
    assert [row.values["n"] for row in rows] == [1] * 50 + [2] * 20 + [0] * 10 + [3] * 10


def test_where_one_row_of_a_group_exists_nothing_is_written_and_the_row_is_named(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("k7", n=0)])

    with pytest.raises(Exists) as refused:
        tables.write(TABLE, "p", [insert(f"k{number}", n=1) for number in range(10)])

    assert refused.value.key == "k7"
    assert [row.values for row in tables.rows(TABLE, "p")] == [{"n": 0}]


def test_where_one_row_of_a_group_is_stale_nothing_is_written_and_the_row_is_named(tables: Tables) -> None:
    version = tables.write(TABLE, "p", [insert("k", n=0)])["k"]
    tables.write(TABLE, "p", [Write("merge", "k", {"n": 1})])

    with pytest.raises(Stale) as refused:
        tables.write(TABLE, "p", [Write("merge", "a", {"n": 2}), Write("merge", "k", {"n": 2}, version), insert("z")])

    assert refused.value.key == "k"
    assert [row.values for row in tables.rows(TABLE, "p")] == [{"n": 1}]


def test_rows_that_are_gone_do_not_hinder_a_group_that_deletes_them(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("there", n=0), insert("kept", n=0)])

    versions = tables.write(
        TABLE,
        "p",
        [
            Write("delete", "gone1"),
            Write("merge", "kept", {"n": 1}),
            Write("delete", "gone2"),
            Write("delete", "there"),
            Write("delete", "gone3"),
            insert("new", n=2),
        ],
    )

    assert sorted(versions) == ["kept", "new"]
    assert [(row.key, row.values["n"], row.version) for row in tables.rows(TABLE, "p")] == [
        ("kept", 1, versions["kept"]),
        ("new", 2, versions["new"]),
    ]


def test_a_group_that_deletes_what_is_gone_and_conflicts_elsewhere_still_writes_nothing(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("there", n=0)])

    with pytest.raises(Exists) as refused:
        tables.write(TABLE, "p", [Write("delete", "gone"), insert("new"), insert("there")])

    assert refused.value.key == "there"
    assert keys_of(tables.rows(TABLE, "p")) == ["there"]


def test_keys_of_the_full_length_are_taken_alone_and_in_groups(tables: Tables) -> None:
    partition, key = "p" * 512, "k" * 512

    tables.write(TABLE, partition, [insert(key, n=1)])
    tables.write(TABLE, partition, [Write("merge", key, {"n": 2}), insert("l" * 512, n=3)])

    assert [row.values["n"] for row in tables.rows(TABLE, partition, key, "z" * 512)] == [2, 3]


def test_nothing_to_write_is_success(tables: Tables) -> None:
    assert tables.write(TABLE, "p", []) == {}


# Ranges


def test_rows_come_in_the_order_of_their_keys_from_the_first_up_to_the_last(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert(key) for key in ("b", "a|2", "B", "c", "a", "a|1", "a~", "1", "_", "aa")])
    tables.write(TABLE, "q", [insert("a|3"), insert("b")])

    assert keys_of(tables.rows(TABLE, "p")) == ["1", "B", "_", "a", "aa", "a|1", "a|2", "a~", "b", "c"]
    assert keys_of(tables.rows(TABLE, "p", "a|", "a~")) == ["a|1", "a|2"]
    assert keys_of(tables.rows(TABLE, "p", first="a|2")) == ["a|2", "a~", "b", "c"]
    assert keys_of(tables.rows(TABLE, "p", last="_")) == ["1", "B"]
    assert keys_of(tables.rows(TABLE, "p", "c", "c")) == []
    assert keys_of(tables.rows(TABLE, "p", "b", "\uffff")) == ["b", "c"]


def test_a_range_ends_after_its_limit(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert(f"{number:02d}") for number in range(20)])

    assert keys_of(tables.rows(TABLE, "p", "05", limit=3)) == ["05", "06", "07"]
    assert keys_of(tables.rows(TABLE, "p", limit=0)) == []
    assert len(keys_of(tables.rows(TABLE, "p", limit=50))) == 20


def test_selected_values_come_alone_but_with_key_and_version(tables: Tables) -> None:
    versions = tables.write(TABLE, "p", [insert("a", x=1, y=2), insert("b", y=3)])
    expected = [Row("p", "a", {"x": 1}, versions["a"]), Row("p", "b", {}, versions["b"])]

    assert list(tables.rows(TABLE, "p", select=["x"])) == expected
    assert list(tables.scan(TABLE, select=["x", "absent"])) == expected


def test_a_scan_gives_every_row_in_order_of_partition_and_key(tables: Tables) -> None:
    for partition in ("q", "p", "o'clock"):
        tables.write(TABLE, partition, [insert("2", n=2), insert("1", n=1)])
    tables.write("AccordRuns", "p", [insert("elsewhere")])

    found = [(row.partition, row.key, row.values) for row in tables.scan(TABLE)]

    assert found == [(partition, key, {"n": int(key)}) for partition in ("o'clock", "p", "q") for key in ("1", "2")]


def test_more_than_a_thousand_rows_come_in_pages_without_a_gap(tables: Tables) -> None:
    writes = [insert(f"{number:05d}", n=number) for number in range(2300)]
    for group in in_groups(writes):
        tables.write(TABLE, "p", group)

    assert [row.values["n"] for row in tables.rows(TABLE, "p")] == list(range(2300))
    assert [row.values["n"] for row in tables.scan(TABLE, select=["n"])] == list(range(2300))
    assert [row.values["n"] for row in tables.rows(TABLE, "p", "00500", "02000", limit=1200)] == list(range(500, 1700))


# Hostile input (S22)


def test_hostile_ids_as_digests_lead_to_their_own_row_and_no_other(tables: Tables) -> None:
    keys = Keys(b"0123456789abcdef")
    places = [(keys.of("mailbox", name), keys.of("item", name)) for name in HOSTILE]
    for number, (partition, key) in enumerate(places):
        tables.write(TABLE, partition, [insert(key, number=number, name=HOSTILE[number])])

    for number, (partition, key) in enumerate(places):
        row = tables.get(TABLE, partition, key)
        assert row is not None
        assert row.values == {"number": number, "name": stored(HOSTILE[number])}
        assert [row.values["number"] for row in tables.rows(TABLE, partition)] == [number]
        assert [row.values["number"] for row in tables.rows(TABLE, partition, key, key + "~")] == [number]
    assert len(list(tables.scan(TABLE))) == len(HOSTILE)


def test_quotes_and_filters_in_keys_and_bounds_are_text_and_nothing_else(tables: Tables) -> None:
    tables.write(TABLE, "victim", [insert("secret"), insert("z")])
    for partition in ("o'clock", "' or PartitionKey ne '", "x' or 'x' eq 'x", "@partition", "a  b"):
        tables.write(TABLE, partition, [insert("' or RowKey ne '"), insert("@first")])

        assert keys_of(tables.rows(TABLE, partition)) == ["' or RowKey ne '", "@first"]
        assert keys_of(tables.rows(TABLE, partition, "' or RowKey ne '", "'~")) == ["' or RowKey ne '"]
        assert keys_of(tables.rows(TABLE, partition, "zz' or PartitionKey eq 'victim")) == []
        assert keys_of(tables.rows(TABLE, partition, last="' or RowKey ge '")) == []
        assert tables.get(TABLE, partition, "' or RowKey ne '") is not None


@pytest.mark.parametrize("key", ["", "a/b", "a\\b", "a#b", "a?b", "a%b", "a\tb", "a\x00b", "é", "x" * 513])
def test_a_key_that_azure_might_refuse_or_mistake_is_refused_by_name(tables: Tables, key: str) -> None:
    for attempt in (
        lambda: tables.get(TABLE, "p", key),
        lambda: tables.get(TABLE, key, "k"),
        lambda: tables.rows(TABLE, key),
        lambda: tables.write(TABLE, "p", [insert(key)]),
        lambda: tables.write(TABLE, key, [insert("k")]),
    ):
        with pytest.raises(ValueError, match="cannot be a key"):
            attempt()


@pytest.mark.parametrize("bound", ["a\x00", "\ud800", "😀"])
def test_a_bound_that_no_key_can_be_compared_with_is_refused(tables: Tables, bound: str) -> None:
    with pytest.raises(ValueError, match="bound"):
        tables.rows(TABLE, "p", first=bound)
    with pytest.raises(ValueError, match="bound"):
        tables.rows(TABLE, "p", last=bound)


def test_keys_that_differ_by_letter_case_are_different_rows(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("ada", n=1), insert("Ada", n=2)])
    tables.write(TABLE, "P", [insert("ada", n=3)])

    assert [(row.partition, row.key, row.values["n"]) for row in tables.scan(TABLE)] == [
        ("P", "ada", 3),
        ("p", "Ada", 2),
        ("p", "ada", 1),
    ]


# Limits


@pytest.mark.parametrize("value", ["x" * 32_768, "é" * 16_384, "\x01" * 32_768, "😀" * 8_192, b"\xff" * 32_768])
def test_a_value_of_32_kilobytes_is_kept_and_one_more_is_refused(tables: Tables, value: str | bytes) -> None:
    tables.write(TABLE, "p", [insert("k", body=value)])

    row = tables.get(TABLE, "p", "k")
    assert row is not None
    assert row.values == {"body": value}
    with pytest.raises(TooLarge, match="Row 'big', value 'body'"):
        tables.write(TABLE, "p", [insert("big", body=value + value[:1])])  # type: ignore[operator]


def test_a_row_of_252_values_is_kept_and_one_more_is_refused(tables: Tables) -> None:
    tables.write(TABLE, "p", [insert("k", **{f"v{number}": number for number in range(252)})])

    with pytest.raises(TooLarge, match="253 values"):
        tables.write(TABLE, "p", [insert("big", **{f"v{number}": number for number in range(253)})])


# The emulator measures what a merge brings, Azure what it makes of the row.
@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_a_row_that_merges_grow_beyond_a_megabyte_is_refused(tables: Tables) -> None:
    for number in range(14):
        tables.write(TABLE, "p", [Write("merge", "k", {f"v{number}": "x" * 32_000})])

    with pytest.raises(TooLarge):
        for number in range(14, 40):
            tables.write(TABLE, "p", [Write("merge", "k", {f"v{number}": "x" * 32_000})])


def test_more_than_a_hundred_rows_or_four_megabytes_are_refused_as_a_whole(tables: Tables) -> None:
    with pytest.raises(TooLarge, match="101 rows"):
        tables.write(TABLE, "p", [insert(f"{number}") for number in range(101)])
    with pytest.raises(TooLarge, match="bytes"):
        tables.write(TABLE, "p", [insert(f"{number}", a="x" * 32_000, b="x" * 32_000) for number in range(90)])

    assert list(tables.rows(TABLE, "p")) == []


@pytest.mark.parametrize("value", ["x" * 32_000, "\x01" * 32_000, "😀" * 8_000, b"\xff" * 32_000])
def test_the_largest_groups_that_are_made_of_writes_are_taken(tables: Tables, value: Value) -> None:
    writes = [insert(f"{number:03d}", **{f"value{part}": value for part in range(7)}) for number in range(40)]

    for group in in_groups(writes):
        tables.write(TABLE, "p", group)

    assert len(list(tables.rows(TABLE, "p", select=["none"]))) == 40


def test_a_row_twice_in_one_group_is_a_mistake(tables: Tables) -> None:
    with pytest.raises(ValueError, match="stands twice"):
        tables.write(TABLE, "p", [insert("k"), Write("delete", "k")])


@pytest.mark.parametrize("value", [None, float("nan"), 2**63, datetime(2026, 1, 1)])  # noqa: DTZ001
def test_a_value_that_cannot_be_stored_is_refused_by_name(tables: Tables, value: Value) -> None:
    with pytest.raises(ValueError, match="Row 'k', value 'odd'"):
        tables.write(TABLE, "p", [insert("k", odd=value)])


def test_a_table_that_does_not_exist_is_named(tables: Tables) -> None:
    for attempt in (
        lambda: tables.get("Nowhere", "p", "k"),
        lambda: list(tables.rows("Nowhere", "p")),
        lambda: list(tables.scan("Nowhere")),
        lambda: tables.write("Nowhere", "p", [insert("k")]),
        lambda: tables.write("Nowhere", "p", [Write("merge", "k")]),
        lambda: tables.write("Nowhere", "p", [Write("delete", "k")]),
        lambda: tables.write("Nowhere", "p", [insert("k"), insert("l")]),
    ):
        with pytest.raises(LookupError, match="Nowhere"):
            attempt()


# What it costs on the wire: Azurite only


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
def test_one_write_is_one_request(tables: Tables, meter: Meter) -> None:
    def requests_of(*writes: Write) -> int:
        before = meter.counts().get("tables", 0)
        tables.write(TABLE, "p", writes)
        return meter.counts()["tables"] - before

    assert requests_of(insert("a")) == 1
    assert requests_of(Write("merge", "a", {"x": 1})) == 1
    assert requests_of(Write("update", "a", {"x": 1})) == 1
    assert requests_of(Write("delete", "gone")) == 1
    assert requests_of(*(insert(f"{number}") for number in range(100))) == 1
    assert requests_of(*(Write("delete", f"{number}") for number in range(100))) == 1


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
def test_a_page_is_one_request_and_a_limit_asks_for_no_second(tables: Tables, meter: Meter) -> None:
    for group in in_groups([insert(f"{number:05d}") for number in range(1500)]):
        tables.write(TABLE, "p", group)

    def requests_of(limit: int | None) -> int:
        before = meter.counts()["tables"]
        list(tables.rows(TABLE, "p", limit=limit))
        return meter.counts()["tables"] - before

    assert [requests_of(limit) for limit in (1, 10, 1000, 1001, None)] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("storage", ["azurite"], indirect=True)
@pytest.mark.parametrize("value", ["", "x" * 5000, "\x01\"'\\" * 2000, "é" * 3000, "😀" * 2000, b"\xff" * 5000, 2**60])
def test_a_group_is_never_larger_on_the_wire_than_estimated(tables: Tables, meter: Meter, value: Value) -> None:
    writes = [Write("replace", f"o'clock {number}", {"a": value, "b" * 255: value, "c": 1}) for number in range(20)]
    partition = "'" * 256  # a quote is doubled, and each of the two escaped

    tables.write(TABLE, partition, writes)

    assert meter.counts()["tables_bytes"] <= sum(map(size_of, writes))
