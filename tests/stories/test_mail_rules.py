"""The firm's rules, as an administrator and a user set them, and what they are answered when they ask why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sync import lists
from sync.errors import BadItem
from sync.explain import Line, explain
from sync.policy import MailPolicy, Policy
from tests.stage import ADA, BEN, FIRM, ROSA, Stage

DAY = timedelta(days=1)
STRANGER = "who@else.example"


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def settled(stage: Stage) -> None:
    stage.rows_of = {one: stage.add(one) for one in (ADA, BEN)}
    stage.settle()


# -- exclusions


def test_an_exclusion_of_the_firm_counts_for_every_mailbox(stage):
    settled(stage)

    stage.world.exclusions.exclude(lists.FIRM, "*@client.example")
    stage.mail(ADA)
    stage.mail(BEN)
    stage.settle()

    assert stage.timeline() == []


def test_an_exclusion_of_a_mailbox_counts_for_it_alone(stage):
    settled(stage)

    stage.world.exclusions.exclude(stage.rows_of[ADA].id, ROSA)
    stage.mail(ADA, subject="to Ada")
    stage.mail(BEN, subject="to Ben")
    stage.settle()

    assert stage.timeline() == ["to Ben"]


def test_an_exclusion_takes_away_nothing_that_stands_already(stage):
    settled(stage)
    stage.mail(subject="before")
    stage.settle()

    stage.world.exclusions.exclude(lists.FIRM, ROSA)
    stage.settle()

    assert stage.timeline() == ["before"]


def test_an_exclusion_taken_back_lets_in_later_mail_and_fills_nothing_back(stage):
    settled(stage)
    stage.world.exclusions.exclude(lists.FIRM, ROSA)
    stage.mail(subject="meanwhile")
    stage.settle()

    assert stage.world.exclusions.take_back(lists.FIRM, f" {ROSA.upper()} ")
    stage.clock.advance(61)
    stage.mail(subject="later")
    stage.clock.advance(2 * 86400)  # the daily pass looks at it again
    stage.settle()

    assert stage.timeline() == ["later"]


def test_another_worker_hears_of_an_exclusion_within_a_minute(stage):
    settled(stage)
    other = stage.a_worker()
    assert other.exclusions.of(lists.FIRM) == ()

    stage.world.exclusions.exclude(lists.FIRM, ROSA)

    assert other.exclusions.of(lists.FIRM) == ()
    stage.clock.advance(61)
    assert [one.pattern for one in other.exclusions.of(lists.FIRM)] == [ROSA]


def test_an_exclusion_entered_twice_is_one_and_one_taken_back_may_come_again(stage):
    kept = stage.world.exclusions
    kept.exclude(lists.FIRM, "News@Client.example")
    kept.exclude(lists.FIRM, "news@client.example")
    assert len(kept.listed(lists.FIRM)) == 1

    assert kept.take_back(lists.FIRM, "news@client.example")
    assert not kept.take_back(lists.FIRM, "news@client.example")
    assert kept.listed(lists.FIRM)[0].until == stage.clock() + lists.REMEMBERED

    kept.exclude(lists.FIRM, "news@client.example")
    assert kept.listed(lists.FIRM)[0].until is None


def test_what_can_be_no_exclusion_is_refused_and_changes_nothing(stage):
    with pytest.raises(BadItem, match="exclude everything"):
        stage.world.exclusions.exclude(lists.FIRM, "*@*")

    assert stage.world.exclusions.listed(lists.FIRM) == ()


def test_only_so_many_lists_are_remembered(stage, monkeypatch):
    monkeypatch.setattr(lists, "MOST", 2)
    for scope in ("a", "b", "c"):
        stage.world.exclusions.of(scope)
    stage.world.exclusions.exclude("a", ROSA)

    assert stage.a_worker().exclusions.of("a") == stage.world.exclusions.of("a")


# -- Bcc, unmatched, drafts and what else happens to mail


def test_mail_that_came_by_bcc_is_left_out_where_the_policy_says_so(stage):
    settled(stage)
    stage.policy = Policy(matching=FIRM.matching, mail=MailPolicy(bcc=False))

    stage.tenant.user(ADA).deliver(author=ROSA, to=("list@firm.example",), subject="by Bcc", body="x")
    stage.mail(subject="openly")
    stage.settle()

    assert stage.timeline() == ["openly"]


def test_a_draft_is_kept_when_it_is_sent(stage):
    settled(stage)
    box = stage.tenant.user(ADA)
    draft = box.place(box._composed({"author": ADA, "to": (ROSA,), "subject": "Offer", "body": "x"}), "drafts")
    stage.settle()
    assert stage.timeline() == []

    box.edit(draft, draft=False)
    box.move(draft, "sentitems")
    stage.settle()

    assert stage.timeline() == ["Offer"]


def test_a_mail_recalled_by_its_sender_stays(stage):
    settled(stage)
    mail = stage.mail(subject="Sent in error")
    stage.settle()

    stage.tenant.user(ADA).purge(mail)
    stage.mail(subject="Recall: Sent in error")
    stage.settle()

    assert stage.timeline() == ["Recall: Sent in error", "Sent in error"]


def test_a_mail_edited_by_its_reader_stays_as_it_was_sent(stage):
    settled(stage)
    mail = stage.mail(subject="Offer")
    stage.settle()

    box = stage.tenant.user(ADA)
    box.edit(mail, replace(box.message(mail).mail, subject="Offer, done"))
    stage.settle()

    assert stage.timeline() == ["Offer"]


def test_a_mail_sent_again_is_a_mail_of_its_own(stage):
    settled(stage)
    stage.mail(subject="Invoice")
    stage.settle()
    stage.mail(subject="Invoice")
    stage.settle()

    assert stage.timeline() == ["Invoice", "Invoice"]


# -- why


def test_why_tells_the_reason_and_what_each_address_is(stage):
    settled(stage)
    row = stage.world.state.mailbox(stage.rows_of[ADA].id)
    stage.crm.add_user("Cleo", ["cleo@partner.example"])
    stage.world.exclusions.exclude(row.id, "*@news.example")
    cc = ("cleo@partner.example", "weekly@news.example", "ben@firm.example")
    mail = stage.mail(author=STRANGER, cc=cc)

    why = explain(stage.world, row, mail)

    assert (why.keep, why.reason) == (False, "no contact")
    assert "is a contact's" in why.sentence
    assert why.lines == (
        Line("from", STRANGER, "nobody known"),
        Line("to", ADA, "an address of this mailbox"),
        Line("cc", "cleo@partner.example", "a user of the CRM"),
        Line("cc", "weekly@news.example", "excluded by *@news.example"),
        Line("cc", "ben@firm.example", "of an internal domain"),
    )
    assert not why.stored


def test_why_finds_a_message_by_its_message_id_and_says_whether_it_stands(stage):
    settled(stage)
    row = stage.rows_of[ADA]
    stage.mail(message_id="<o'neil@client.example>")

    before = explain(stage.world, row, "<o'neil@client.example>")
    stage.settle()
    after = explain(stage.world, row, "<o'neil@client.example>")

    assert (before.keep, before.reason, before.stored) == (True, "kept", False)
    assert after.stored
    assert stage.crm.mail(after.record).subject == "Review"


@pytest.mark.parametrize("folder", ["junkemail", "drafts"])
def test_why_knows_the_folders_that_do_not_count(stage, folder):
    settled(stage)
    mail = stage.mail()
    stage.tenant.user(ADA).move(mail, folder)

    assert explain(stage.world, stage.rows_of[ADA], mail).reason == "folder"


def test_why_of_a_message_that_is_gone(stage):
    settled(stage)
    mail = stage.mail()
    stage.tenant.user(ADA).purge(mail)

    assert explain(stage.world, stage.rows_of[ADA], mail).reason == "missing"
    assert explain(stage.world, stage.rows_of[ADA], "<nobody@nowhere.example>").reason == "missing"


def test_why_names_the_class_of_mail_that_is_left_out_by_it(stage):
    settled(stage)
    stage.policy = Policy(matching=FIRM.matching, mail=MailPolicy(skipped_classes=("newsletter",)))
    letter = stage.mail(subject="Weekly", headers=(("List-Unsubscribe", "<mailto:stop@client.example>"),))
    other = stage.mail(subject="Dear Ada")

    why = explain(stage.world, stage.rows_of[ADA], letter)

    assert (why.keep, why.reason) == (False, "newsletter")
    assert "List-Unsubscribe" in why.sentence
    assert explain(stage.world, stage.rows_of[ADA], other).keep


def test_why_of_a_mailbox_that_was_never_met_goes_by_what_is_known(stage):
    row = stage.add()
    mail = stage.mail()

    assert explain(stage.world, row, mail).keep


# -- whose addresses


def test_an_alias_of_a_user_is_his_in_every_mailbox():
    stage = Stage(mailboxes=())
    stage.tenant.add_user(ADA)
    stage.tenant.add_user(BEN, "Ben", ("ben@old-name.example",))
    ben = stage.crm.add_user("Ben", [BEN])
    stage.crm.save_contact("Ben as a contact", ["ben@old-name.example"])
    stage.world.state.add_mailbox(stage.tenant.tenant_id, BEN, owner=ben)
    stage.add(ADA)
    stage.settle()

    stage.mail(author="ben@old-name.example", subject="from a colleague")
    stage.settle()

    assert stage.crm.contact(ben).addresses == (BEN, "ben@old-name.example")
    assert stage.timeline("Ben as a contact") == []
    stage.close()


def test_a_shared_mailbox_nobody_owns_is_captured_like_any_other(stage):
    stage.tenant.add_user("info@firm.example", "Info")
    stage.world.state.add_mailbox(stage.tenant.tenant_id, "info@firm.example")
    stage.settle()

    stage.mail("info@firm.example", subject="to all of you")
    stage.settle()

    assert stage.timeline() == ["to all of you"]
