"""Somebody becomes a contact, and the mail of before stands beside him."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault, Switches
from sync import fanout, history, jobs, lists
from sync.graph import wire
from sync.policy import MailPolicy, Policy
from sync.progress import resume
from tests.builders import NOON
from tests.stage import ADA, BEN, FIRM, ROSA, CountingTables, Fuse, FusedQueue, FusedTables, Stage, Stopped

DAY = timedelta(days=1)
OTTO = "otto@other.example"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(Switches(lag_seconds=0))
    yield stage
    stage.close()


def with_past(stage: Stage, mails: int = 3) -> None:
    """Two mailboxes that had mail with Otto before anybody knew him, old and new."""
    for number in range(mails):
        stage.mail(author=OTTO, subject=f"old {number}", received=NOON - (number + 2) * DAY)
    stage.mail(BEN, author=OTTO, subject="to Ben", received=NOON - DAY)
    stage.add(ADA)
    stage.add(BEN)
    stage.settle()
    stage.mail(author=OTTO, subject="new")
    stage.settle()


EXPECTED = ["new", "to Ben", "old 0", "old 1", "old 2"]


def asked(stage: Stage, word: str) -> int:
    return sum(word in one["url"] for one in stage.tenant.exchanges)


def test_a_new_contact_gets_his_history_by_a_search(stage):
    with_past(stage)
    stage.tenant.recording = True

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED
    assert asked(stage, "$search") == 2
    assert asked(stage, "orderby=receivedDateTime") == 0


def test_an_address_added_to_a_contact_brings_its_mail_too(stage):
    with_past(stage)

    key = stage.crm.save_contact("Otto", ["otto@elsewhere.example"])
    stage.settle(ticks=5)
    stage.crm.save_contact("Otto", ["otto@elsewhere.example", OTTO], key)
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED


def test_a_contact_who_only_gets_another_name_starts_nothing(stage):
    with_past(stage)
    key = stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)
    stage.tenant.recording = True

    stage.crm.save_contact("Otto Other", [OTTO], key)
    stage.settle(ticks=5)

    assert asked(stage, "$search") == 0


def test_many_new_contacts_are_answered_by_one_listing(stage):
    with_past(stage)
    stage.tenant.recording = True

    for number in range(6):
        stage.crm.save_contact(f"Person {number}", [f"p{number}@other.example"])
    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED
    assert asked(stage, "$search") == 0
    assert asked(stage, "orderby=receivedDateTime") == 2


def test_contacts_of_ten_minutes_are_one_round(stage):
    with_past(stage)
    stage.tenant.recording = True

    stage.crm.save_contact("Otto", [OTTO])
    fanout.tick(stage.world)
    stage.clock.advance(301)
    stage.crm.save_contact("Pia", ["pia@other.example"])
    fanout.tick(stage.world)
    before = asked(stage, "$search")
    stage.clock.advance(400)
    stage.settle(ticks=2)

    assert before == 0
    assert asked(stage, "$search") == 4
    assert len(stage.world.rounds.after(0)) == 1


def test_an_address_that_comes_just_before_a_round_is_closed_waits_for_the_next_one(stage):
    stage.mail(author=OTTO, subject="old", received=NOON - DAY)
    stage.mail(author="pia@other.example", subject="old too", received=NOON - DAY)
    stage.add()
    stage.settle()
    stage.crm.save_contact("Otto", [OTTO])
    fanout.tick(stage.world)
    stage.clock.advance(560)

    stage.crm.save_contact("Pia", ["pia@other.example"])
    stage.settle(ticks=6)

    assert [one.addresses for one in stage.world.rounds.after(0)] == [(OTTO,), ("pia@other.example",)]
    assert (stage.timeline("Otto"), stage.timeline("Pia")) == (["old"], ["old too"])


def test_of_too_many_the_last_are_listed_once_more(stage):
    with_past(stage)
    for number in range(7):
        stage.crm.save_contact(f"Person {number}", [f"p{number}@other.example"])
    fanout.tick(stage.world)
    stage.clock.advance(560)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=8)

    assert [one.addresses for one in stage.world.rounds.after(0)] == [(), ()]
    assert stage.timeline("Otto") == EXPECTED


def test_a_message_that_is_never_given_does_not_hold_up_the_history_for_ever(stage):
    with_past(stage)
    bad = stage.mail(author=OTTO, subject="never given", received=NOON - 9 * DAY)
    stage.tenant.faults.add(Fault(match=f"part:.*{bad[:60]}", kind="unavailable", times=None))

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=20)

    outcomes = [item.outcome for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0]]
    assert stage.timeline("Otto") == EXPECTED
    assert outcomes.count("error") == 1
    assert not any(want.open for want in stage.world.state.wants.all())


def test_while_the_backfill_is_paused_no_history_is_fetched(stage):
    with_past(stage)
    row = stage.world.state.add_mailbox(stage.tenant.tenant_id, ADA)
    stage.world.state.note(row, backfill="paused")
    stage.tenant.recording = True

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert asked(stage, "$search") == 1  # in Ben's mailbox
    resume(stage.world, stage.world.state.mailbox(row.id))
    stage.settle(ticks=5)
    assert stage.timeline("Otto") == EXPECTED


def test_a_folder_thrown_away_a_moment_ago_has_no_history(stage):
    box = stage.tenant.user(ADA)
    folder = box.add_folder("Old project", "inbox")
    mail = stage.mail(author=OTTO, subject="thrown away", received=NOON - 3 * DAY)
    box.move(mail, folder)
    with_past(stage)
    box.move_folder(folder, "deleteditems")

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED


def test_rounds_that_come_while_mailboxes_are_told_are_told_to_all(stage, monkeypatch):
    monkeypatch.setattr(history, "TOLD", 1)
    monkeypatch.setattr(history, "GATHERED", timedelta(minutes=1))
    monkeypatch.setattr(history, "HEARD", timedelta(seconds=1))
    with_past(stage)

    for number in range(6):
        stage.crm.save_contact(f"Person {number}", [f"p{number}@other.example"])
        stage.settle(ticks=1)
    stage.settle(ticks=6)

    told = [want.count for want in stage.world.state.wants.all() if want.stream == "mail-history"]
    assert len(told) == 2
    assert min(told) >= max(told) - 1


def test_an_address_that_cannot_be_searched_for_is_listed(stage):
    odd = "o'tto=x@other.example"
    stage.mail(author=odd, subject="odd", received=NOON - DAY)
    stage.add()
    stage.settle()

    stage.crm.save_contact("Otto", [odd])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == ["odd"]


def test_a_search_that_finds_as_much_as_it_ever_tells_is_followed_by_a_listing(stage, monkeypatch):
    monkeypatch.setattr(history, "MOST_FOUND", 3)
    monkeypatch.setattr(wire, "LIST_PAGE", 2)
    with_past(stage)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED


def test_a_search_of_many_pages_is_followed_to_its_end(stage, monkeypatch):
    monkeypatch.setattr(wire, "LIST_PAGE", 2)
    with_past(stage, mails=7)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert len(stage.timeline("Otto")) == 9


def test_mail_that_stands_beside_another_contact_gets_the_new_one_without_being_read_again(stage):
    stage.mail(cc=(OTTO,), subject="to both")
    stage.add()
    stage.settle()
    read = len(stage.tenant.bodies_read)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == stage.timeline() == ["to both"]
    assert len(stage.tenant.bodies_read) == read == 1


def test_a_contact_that_was_there_before_a_mailbox_starts_no_search_in_it(stage):
    stage.crm.save_contact("Otto", [OTTO])
    with_past(stage)
    stage.tenant.recording = True
    stage.settle(ticks=5)

    assert asked(stage, "$search") == 0
    assert stage.timeline("Otto") == EXPECTED


def test_mail_from_before_the_end_of_an_exclusion_stays_out(stage):
    stage.add()
    stage.settle()
    stage.world.exclusions.exclude(lists.FIRM, OTTO)
    stage.mail(author=OTTO, subject="while excluded")
    stage.settle()
    stage.world.exclusions.take_back(lists.FIRM, OTTO)
    stage.clock.advance(61)
    stage.mail(author=OTTO, subject="afterwards")
    stage.settle()

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == ["afterwards"]


def test_nothing_older_than_the_policy_looks_at_is_fetched(stage):
    stage.mail(author=OTTO, subject="long ago", received=NOON - 300 * DAY)
    with_past(stage)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)

    assert stage.timeline("Otto") == EXPECTED


def test_mail_kept_for_a_time_becomes_the_new_contacts_for_good(stage):
    stage.policy = Policy(matching=FIRM.matching, mail=MailPolicy(unmatched_days=30))
    with_past(stage)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=5)
    stage.clock.advance(60 * 86400)
    stage.world.crm.purge(stage.clock(), 100)

    assert stage.timeline("Otto") == EXPECTED


def test_mail_kept_for_a_time_goes_when_its_day_has_come(stage):
    stage.policy = Policy(matching=FIRM.matching, mail=MailPolicy(unmatched_days=30))
    with_past(stage)
    before = len([one for one in stage.rows()["CrmRecords"] if "|s|" in one[1]])

    stage.clock.advance(31 * 86400)
    gone = stage.world.crm.purge(stage.clock(), 100)
    stage.settle()

    assert (before, gone) == (5, 5)
    assert not [one for one in stage.rows()["CrmRecords"] if "|s|" in one[1]]


@pytest.mark.parametrize("match", [r"GET .*search", r"POST .*batch"])
@pytest.mark.parametrize("kind", ["throttle", "unavailable", "reset", "truncate", "malformed"])
def test_a_refusal_in_between_only_costs_time(stage, match, kind):
    with_past(stage)
    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=2)
    stage.tenant.faults.add(Fault(match=match, kind=kind, after=12 if kind in {"throttle", "unavailable"} else None))

    stage.settle(ticks=5)

    assert stage.tenant.faults.fired
    assert stage.timeline("Otto") == EXPECTED


def test_killed_before_any_write_or_message_the_history_is_complete_all_the_same():
    survived = killed = 0
    while not survived:
        stage = Stage()
        with_past(stage, mails=1)
        stage.crm.save_contact("Otto", [OTTO])
        fuse = Fuse(killed)
        try:
            stage.settle(stage.a_worker(FusedTables(stage.tables, fuse), FusedQueue(stage.queue, fuse)), ticks=4)
            survived = 1
        except Stopped:
            killed += 1
        stage.settle(stage.a_worker(), ticks=6)
        assert stage.timeline("Otto") == ["new", "to Ben", "old 0"], f"killed before effect {killed}"
        stage.close()
    assert killed > 30


def test_two_ticks_at_once_make_one_round_that_counts(stage):
    with_past(stage)
    stage.crm.save_contact("Otto", [OTTO])
    fanout.tick(stage.world)
    stage.clock.advance(601)
    slow = stage.world.rounds.gathered()

    fanout.tick(stage.world)
    saved = stage.world.rounds.save(slow[0], slow[1])

    assert not saved
    assert len(stage.world.rounds.after(0)) == 1


def test_many_mailboxes_are_told_some_with_each_tick(stage, monkeypatch):
    monkeypatch.setattr(history, "TOLD", 1)
    with_past(stage)

    stage.crm.save_contact("Otto", [OTTO])
    stage.settle(ticks=3)
    half = sum(want.stream == "mail-history" for want in stage.world.state.wants.all())
    stage.settle(ticks=2)

    assert half == 1
    assert stage.timeline("Otto") == EXPECTED


def test_telling_goes_on_with_the_ticks_between_two_looks_at_the_crm(stage, monkeypatch):
    monkeypatch.setattr(history, "TOLD", 1)
    with_past(stage)
    stage.crm.save_contact("Otto", [OTTO])

    def told() -> int:
        return sum(want.stream == "mail-history" for want in stage.world.state.wants.all())

    while not told():
        stage.clock.advance(60)
        fanout.tick(stage.world)
    stage.clock.advance(60)
    fanout.tick(stage.world)

    assert told() == 2


def test_a_quiet_crm_costs_no_write(stage):
    with_past(stage)
    counting = CountingTables(stage.tables)

    fanout.tick(stage.a_worker(counting))

    assert counting.written == ["AccordState"]  # when the tick was


def test_a_job_of_the_history_for_a_mailbox_not_met_yet_waits_for_the_first_round(stage):
    row = stage.world.state.add_mailbox(stage.tenant.tenant_id, ADA)
    from tests.stage import a_job

    jobs.work(stage.world, "history-mail", a_job(row).to_json(), history.history)

    assert stage.world.state.cursor(row.id, "mail-history") == {}
    assert ROSA not in stage.timeline()
