"""What administrators did, on memory and on Azurite."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dev.memory import ManualClock
from sync.audit import KEPT, PARTITION, TABLE, Audit, Entry
from sync.errors import BadItem
from tests.builders import NOON


@pytest.fixture
def now() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def audit(storage, now) -> Audit:
    return Audit(storage.tables, now)


def test_an_entry_says_who_did_what_to_what_and_when(audit):
    audit.note("api key", "mailbox reset", "3f" * 16, "asked by support")

    assert audit.entries() == ([Entry(NOON, "api key", "mailbox reset", "3f" * 16, "asked by support")], "")


def test_entries_come_newest_first_over_midnight_and_page_by_page(audit, now):
    for number in range(7):
        audit.note("ada", "policy saved", str(number))
        now.advance(5 * 3600)

    first, place = audit.entries(limit=3)
    second, further = audit.entries(limit=3, after=place)
    last, end = audit.entries(limit=3, after=further)

    assert [one.subject for one in (*first, *second, *last)] == list("6543210")
    assert end == ""
    assert audit.entries(limit=7)[1] == ""


def test_what_is_done_twice_is_noted_twice_even_in_the_same_moment(audit):
    audit.note("ada", "mailbox asked", "m")
    audit.note("ada", "mailbox asked", "m")

    assert len(audit.entries()[0]) == 2


def test_a_note_is_one_short_line(audit):
    audit.note("a\nda", "exclusion added", "firm", "a\tlong\r\nnote " + "x" * 500)

    entry = audit.entries()[0][0]
    assert entry.by == "a da"
    assert entry.note.startswith("a long note xxx")
    assert len(entry.note) == 200


@pytest.mark.parametrize("place", ["x", "0" * 16, "0" * 16 + "|" + "g" * 32, "\x00"])
def test_a_place_in_the_list_that_nobody_gave_is_refused(audit, place):
    with pytest.raises(BadItem):
        audit.entries(after=place)


def test_entries_older_than_four_hundred_days_are_removed_and_no_others(audit, now):
    for number in range(120):
        audit.note("ada", "policy saved", str(number))
    now.advance(60)
    audit.note("ada", "mailbox added", "young")
    now.advance(KEPT.total_seconds() - 30)

    assert audit.forget(now()) == 120
    assert [one.subject for one in audit.entries()[0]] == ["young"]
    assert audit.forget(now()) == 0


def test_an_entry_is_never_written_over(storage, audit):
    audit.note("ada", "mailbox added", "one")
    before = [(row.key, row.version) for row in storage.tables.rows(TABLE, PARTITION)]

    audit.note("ada", "mailbox removed", "one")

    assert set(before) < {(row.key, row.version) for row in storage.tables.rows(TABLE, PARTITION)}
    assert timedelta(days=365) < KEPT
