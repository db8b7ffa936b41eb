"""Exclusion lists and rounds of new addresses, on memory and on Azurite."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dev.memory import ManualClock
from sync.errors import BadItem
from sync.exclusions import Exclusion
from sync.lists import FIRM, REMEMBERED, ExclusionLists
from sync.rounds import KEPT, Round, Rounds
from tests.builders import KEYS, NOON


@pytest.fixture
def now() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def kept(storage, now) -> ExclusionLists:
    return ExclusionLists(storage.tables, KEYS, now)


@pytest.fixture
def rounds(storage) -> Rounds:
    return Rounds(storage.tables)


def test_a_list_holds_its_patterns_as_they_were_written(kept):
    kept.exclude(FIRM, " News@Client.example ")
    kept.exclude("mailbox", "*@else.example")

    assert kept.listed(FIRM) == (Exclusion("News@Client.example"),)
    assert kept.listed("mailbox") == (Exclusion("*@else.example"),)
    assert kept.listed("other") == ()


def test_what_is_taken_back_stays_with_its_moment(kept):
    kept.exclude(FIRM, "client.example")

    assert kept.take_back(FIRM, "*@CLIENT.example")
    assert kept.listed(FIRM) == (Exclusion("client.example", until=NOON + REMEMBERED),)
    assert not kept.take_back(FIRM, "client.example")
    assert not kept.take_back(FIRM, "never@there.example")


def test_what_was_taken_back_may_be_excluded_again(kept):
    kept.exclude(FIRM, "client.example")
    kept.take_back(FIRM, "client.example")
    kept.exclude(FIRM, "client.example")

    assert kept.listed(FIRM) == (Exclusion("client.example"),)


def test_a_list_is_remembered_for_a_minute_and_forgotten_with_a_change_of_ones_own(storage, kept, now):
    other = ExclusionLists(storage.tables, KEYS, now)
    assert other.of(FIRM) == kept.of(FIRM) == ()

    kept.exclude(FIRM, "client.example")

    assert kept.of(FIRM) == (Exclusion("client.example"),)
    assert other.of(FIRM) == ()
    now.advance(60)
    assert other.of(FIRM) == (Exclusion("client.example"),)


@pytest.mark.parametrize("pattern", ["", "*", "*@*", "nobody", "a@b c@d", "a" * 400])
def test_what_can_be_no_pattern_is_refused(kept, pattern):
    with pytest.raises(BadItem):
        kept.exclude(FIRM, pattern)
    with pytest.raises(BadItem):
        kept.take_back(FIRM, pattern)

    assert kept.listed(FIRM) == ()


def test_what_was_gathered_is_saved_over_what_was_read_and_nothing_else(rounds):
    assert rounds.gathered() == ({}, "")
    assert rounds.save({"cursor": "a"}, "")
    known, version = rounds.gathered()

    assert rounds.save({"cursor": "b"}, version)
    assert not rounds.save({"cursor": "c"}, version)
    assert not rounds.save({"cursor": "d"}, "")
    assert (known, rounds.gathered()[0]) == ({"cursor": "a"}, {"cursor": "b"})


def test_a_round_stands_with_what_was_gathered_or_not_at_all(rounds):
    later = NOON + timedelta(minutes=10)
    first, second = Round(1, NOON, ("a@x.example",)), Round(2, later, ())

    old = rounds.save({"rounds": 1}, "", first)
    version = rounds.save({"rounds": 1, "told": "all"}, old)
    assert not rounds.save({"rounds": 1}, "", Round(1, later, ("b@x.example",)))
    assert not rounds.save({"rounds": 2}, old, second)
    assert rounds.after(0) == [first]
    assert rounds.save({"rounds": 2}, version, second)

    assert rounds.after(0) == [first, second]
    assert rounds.after(1) == [second]
    assert rounds.after(2) == []


def test_old_rounds_are_forgotten_and_newer_ones_stay(rounds):
    version = ""
    for number in range(1, 4):
        one = Round(number, NOON + number * timedelta(days=1), ("a@x.example",))
        version = rounds.save({"rounds": number}, version, one)

    assert rounds.forget(NOON + KEPT + timedelta(days=2, hours=1)) == 2
    assert [one.number for one in rounds.after(0)] == [3]
    assert rounds.forget(NOON) == 0
