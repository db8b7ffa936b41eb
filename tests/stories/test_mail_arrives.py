"""Mail into the CRM, as an administrator would tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dev.tenant.faults import Switches
from sync import fanout
from sync.model import FolderRound, MailPage
from sync.policy import MailPolicy
from sync.ports import Mailbox
from tests.builders import NOON
from tests.stage import ADA, BEN, FIRM, ROSA, CountingTables, Stage

DAY = timedelta(days=1)


class Told:
    """A mailbox that reports these folder changes."""

    def __init__(self, inner: Mailbox, told: FolderRound) -> None:
        self._inner, self._told = inner, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def folders(self, cursor: str = "") -> FolderRound:
        """What it was made to tell."""
        return self._told


class Fractions:
    """A mailbox that compares times received to the fraction, and lists eight mails a page, the newest first."""

    def __init__(self, inner: Mailbox, times: Mapping[str, datetime]) -> None:
        self._inner, self._times = inner, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def older(self, since: datetime | None, until: datetime, newest_first: bool) -> MailPage:
        """Old mail up to the whole second that the request can name."""
        last = until.replace(microsecond=0)
        there = [one for one in self._inner.older(since, NOON, newest_first).items if self._times[one.id] <= last]
        there.sort(key=lambda one: self._times[one.id], reverse=True)
        return MailPage(tuple(there[:8]), next="more" if len(there) > 8 else None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_a_clients_mail_stands_in_the_crm_by_itself(stage):
    stage.add()
    stage.settle()

    stage.mail(subject="The new contract")
    stage.settle()

    assert stage.timeline() == ["The new contract"]


def test_what_came_before_the_start_is_there_too_and_nothing_older_than_six_months(stage):
    for months in range(9):
        stage.mail(subject=f"{months} months ago", received=NOON - months * 30 * DAY)

    stage.add()
    stage.settle()

    assert stage.timeline() == [f"{months} months ago" for months in range(7)]


def test_a_strangers_mail_is_counted_and_its_body_never_read(stage):
    stage.mail(author="who@else.example", subject="Offer")
    mine = stage.mail(subject="Review")
    row = stage.add()
    stage.settle()

    assert stage.timeline() == ["Review"]
    assert {message for _, message in stage.tenant.bodies_read} == {mine}
    counts = [run for run in stage.world.log.runs()[0] if run.mailbox == row.id]
    assert sum(run.skipped.get("no contact", 0) for run in counts) == 1


def test_a_newsletter_of_a_contact_is_kept_unless_the_policy_leaves_newsletters_out(stage):
    stage.add()
    stage.settle()
    headers = (("List-Unsubscribe", "<mailto:off@client.example>"),)
    stage.mail(subject="News of May", headers=headers)
    stage.settle()
    stage.policy = FIRM.model_copy(update={"mail": MailPolicy(skipped_classes=("newsletter",))})
    stage.mail(subject="News of June", headers=headers)
    stage.mail(subject="A word in person")
    stage.settle()

    assert sorted(stage.timeline()) == ["A word in person", "News of May"]
    assert sum(run.skipped.get("newsletter", 0) for run in stage.world.log.runs()[0]) == 1


def test_one_mail_in_two_mailboxes_is_one_record_with_two_copies(stage):
    stage.add(ADA)
    stage.add(BEN)
    stage.settle()

    for box in (ADA, BEN):
        stage.tenant.user(box).deliver(
            author=ROSA, to=(ADA, BEN), subject="To both", message_id="<both@client.example>", received=NOON, sent=NOON
        )
    stage.settle()

    assert stage.timeline() == ["To both"]
    keys = [row.key for row in stage.tables.scan("CrmRecords")]
    assert sum("|s|" in key for key in keys) == 2


@pytest.mark.parametrize("long", ["Read once", "word " * 20_000], ids=["short", "in a file"])
def test_what_a_colleague_has_brought_is_not_read_again_and_stays(stage, long):
    stage.add(ADA)
    stage.add(BEN)
    stage.settle()
    both = {"message_id": "<both@client.example>", "author": ROSA, "to": (ADA, BEN), "received": NOON, "sent": NOON}
    stage.tenant.user(ADA).deliver(**both, body=f"<p>{long}</p>")
    stage.settle()

    stage.tenant.user(BEN).deliver(**both, body=f"<p>{long}</p>")
    stage.settle()

    (key,) = {key.split("|")[2] for _, key in stage.rows()["CrmTimeline"]}
    mail = stage.crm.mail(key)
    assert len(stage.tenant.bodies_read) == 1
    assert mail.text == long.strip()
    assert mail.html == f"<p>{long}</p>"
    assert len(mail.sightings) == 2


def test_another_mail_with_the_same_key_in_the_same_mailbox_is_a_record_of_its_own_and_is_read_once(stage):
    stage.add()
    stage.settle()
    same = {"message_id": "<same@client.example>", "author": ROSA, "to": (ADA,), "received": NOON, "sent": NOON}
    stage.tenant.user(ADA).deliver(**same, subject="Invoice")
    stage.settle()
    other = stage.tenant.user(ADA).deliver(**same, subject="Contract")
    stage.settle()
    reads = stage.tenant.counts()["body_reads"]

    stage.tenant.user(ADA).mark_read(other)
    stage.settle()

    assert sorted(stage.timeline()) == ["Contract", "Invoice"]
    assert stage.tenant.counts()["body_reads"] == reads
    items = [item for run in stage.world.log.runs()[0] for item in stage.world.log.items(run.id)[0]]
    assert len({item.record for item in items}) == 2


def test_a_mail_to_oneself_is_one_record_and_is_not_read_again(stage):
    stage.add()
    stage.settle()
    same = {"message_id": "<self@firm.example>", "author": ADA, "to": (ADA, ROSA), "received": NOON, "sent": NOON}
    stage.tenant.user(ADA).deliver(**same)
    stage.settle()
    copy = stage.tenant.user(ADA).deliver(**same, folder="sentitems")
    stage.settle()
    read = len(stage.tenant.bodies_read)

    stage.tenant.user(ADA).mark_read(copy)
    stage.settle()

    assert len(stage.timeline()) == 1
    assert len(stage.tenant.bodies_read) == read


def test_a_mail_that_was_only_opened_changes_nothing(stage):
    mail = stage.mail()
    stage.add()
    stage.settle()
    before = stage.rows()
    read = stage.tenant.counts()["body_reads"]

    stage.tenant.user(ADA).mark_read(mail)
    stage.settle()

    assert stage.rows() == before
    assert stage.tenant.counts()["body_reads"] == read


def test_a_cycle_without_news_writes_nothing_but_leases_and_the_tick(stage):
    stage.mail()
    stage.add()
    stage.settle()
    runs = stage.world.log.runs()[0]
    counting = CountingTables(stage.tables)

    stage.settle(stage.a_worker(tables=counting))

    assert set(counting.written) == {"AccordState"}
    assert stage.world.log.runs()[0] == runs


def test_a_mail_moved_to_another_folder_is_still_one_record(stage):
    mail = stage.mail()
    stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.add()
    stage.settle()

    stage.tenant.user(ADA).move(mail, "inbox/Clients")
    stage.settle()

    assert stage.timeline() == ["Review"]


def test_a_folder_made_later_is_followed_too(stage):
    stage.add()
    stage.settle()

    stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.mail(folder="inbox/Clients", subject="Filed by a rule")
    stage.settle()

    assert stage.timeline() == ["Filed by a rule"]


def test_a_folder_thrown_away_is_no_longer_followed_and_stops_nothing(stage):
    stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.add()
    stage.settle()

    stage.tenant.user(ADA).remove_folder("inbox/Clients")
    stage.mail(subject="After that")
    stage.settle()

    assert stage.timeline() == ["After that"]
    assert stage.status().status == "connected"


def test_a_folder_moved_into_deleted_items_and_back_is_left_out_meanwhile(stage):
    ada = stage.tenant.user(ADA)
    folder = ada.add_folder("Clients", "inbox")
    stage.add()
    stage.settle()

    ada.move_folder(folder, "deleteditems")
    stage.settle()
    stage.mail(folder="deleteditems/Clients", subject="Left out")
    stage.settle()
    assert stage.timeline() == []

    # No mail of it changed: the next round of all folders finds it.
    ada.move_folder(folder, "inbox")
    stage.clock.advance(6 * 3600)
    stage.settle()
    assert stage.timeline() == ["Left out"]


@pytest.mark.parametrize("folder", ["drafts", "junkemail", "deleteditems"])
def test_mail_in_a_folder_left_out_is_neither_kept_nor_read(stage, folder):
    stage.mail(folder=folder)
    stage.add()
    stage.mail(folder=folder)
    stage.settle()

    assert stage.timeline() == []
    assert stage.tenant.counts()["body_reads"] == 0


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_small_pages_with_many_mails_of_one_second_lose_nothing(order):
    policy = FIRM.model_copy(update={"mail": MailPolicy(backfill_order=order)})
    stage = Stage(Switches(page_size_cap=4), policy)
    for number in range(11):
        stage.mail(subject=f"same {number}", received=NOON - DAY)
    for number in range(6):
        stage.mail(subject=f"other {number}", received=NOON - (number + 2) * DAY)

    stage.add()
    stage.settle()

    assert sorted(stage.timeline()) == sorted([f"same {n}" for n in range(11)] + [f"other {n}" for n in range(6)])
    stage.close()


def test_a_page_may_end_within_a_second(stage):
    """Graph shows whole seconds and compares fractions: asking up to the second shown would pass what lies behind."""
    start = NOON - DAY
    times = {}
    for number in range(24):
        received = start + number * timedelta(seconds=0.3)
        times[stage.mail(subject=f"{number}", received=received)] = received
    real = stage.world.connect
    stage.world = replace(stage.world, connect=lambda row: Fractions(real(row), times))

    stage.add()
    stage.settle()

    assert sorted(stage.timeline(), key=int) == [f"{number}" for number in range(24)]


def test_a_folder_that_one_round_reports_as_gone_and_as_there_is_there(stage):
    row = stage.add()
    stage.settle()
    inbox = stage.tenant.user(ADA).folder("inbox").id
    box = stage.world.connect(stage.world.state.mailbox(row.id))
    tree = box.folders()
    told = FolderRound(tuple(one for one in tree.folders if one.id == inbox), (inbox,), tree.cursor)
    stage.world = replace(stage.world, connect=lambda _: Told(box, told))

    stage.mail(subject="Still followed")
    stage.settle()

    assert stage.timeline() == ["Still followed"]


def test_a_new_address_of_the_mailbox_is_its_own_within_a_day(stage):
    row = stage.add()
    stage.settle()
    stage.tenant.rename_user(ADA, "ada.new@firm.example")

    stage.clock.advance(DAY.total_seconds() + 1)
    stage.settle()

    assert set(stage.world.state.mailbox(row.id).own) == {ADA, "ada.new@firm.example"}


def test_mail_deleted_between_two_pages_hides_no_other():
    stage = Stage(Switches(page_size_cap=3))
    mails = [stage.mail(subject=f"mail {number}", received=NOON - number * DAY) for number in range(1, 13)]
    stage.add()
    fanout.tick(stage.world)
    while stage.work():
        if mails and len(stage.timeline()) >= 3:
            stage.tenant.user(ADA).purge(mails.pop(0))
    stage.settle()

    assert {f"mail {number}" for number in range(4, 13)} <= set(stage.timeline())
    stage.close()


@pytest.mark.parametrize(
    "switches",
    [
        Switches(shuffle_batch=True),
        Switches(empty_pages_with_nextlink=True),
        Switches(replay_pages=True, page_size_cap=2),
        Switches(duplicate_items=True),
        Switches(old_changes_pass_filter=True),
        Switches(case_twins=True),
        Switches(empty_pages_with_nextlink=True, replay_pages=True, duplicate_items=True, page_size_cap=2),
    ],
)
def test_whatever_graph_is_allowed_to_do_every_mail_stands_there_once(switches):
    stage = Stage(switches)
    for number in range(7):
        stage.mail(subject=f"old {number}", received=NOON - (number + 1) * DAY)
    stage.add()
    stage.settle()
    for number in range(7):
        stage.mail(subject=f"new {number}")
    stage.settle()

    assert sorted(stage.timeline()) == sorted([f"old {n}" for n in range(7)] + [f"new {n}" for n in range(7)])
    stage.close()


def test_a_message_that_graph_lists_without_an_id_is_an_error_row_and_the_others_are_kept():
    stage = Stage(Switches(one_message_without_id=True))
    for number in range(3):
        stage.mail(subject=f"mail {number}", received=NOON - (number + 1) * DAY)
    stage.add()
    stage.settle()

    errors = [
        item
        for run in stage.world.log.runs()[0]
        for item in stage.world.log.items(run.id)[0]
        if item.outcome == "error"
    ]
    assert len(stage.timeline()) == 2
    assert errors
    assert "without an id" in errors[0].reason
    stage.close()
