"""An administrator saves a policy: from when it counts, and what becomes of the mail that went by before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync import mailboxes, retention
from sync.audit import KEPT
from sync.model import MailboxRow
from sync.policies import CURRENT, PARTITION, TABLE, Policies
from sync.policy import SKIPPED_FOLDERS, MailPolicy, MatchingPolicy, Policy
from sync.ports import Write
from sync.presets import PRESETS, applied
from tests.stage import ADA, FIRM, ROSA, Stage

DAY = timedelta(days=1)
NEWS: dict[str, Any] = {"headers": (("List-Unsubscribe", "<mailto:off@client.example>"),)}


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.world = replace(stage.world, policy=Policies(stage.tables, stage.clock, FIRM).now)
    yield stage
    stage.close()


@pytest.fixture
def admin(stage: Stage) -> Policies:
    """The administrator's process, which is not the worker's."""
    return Policies(stage.tables, stage.clock, FIRM)


def saved(admin: Policies, **sections: Any) -> None:
    """Save the policy with these sections instead of its own."""
    current = admin.current()
    admin.save(current.policy.model_copy(update=sections), current.etag, "admin")


def row(stage: Stage) -> MailboxRow:
    """Ada's mailbox as it stands."""
    return next(iter(stage.world.state.mailboxes()))


def long_unchanged(stage: Stage) -> None:
    """Let days go by: mail that changed a day or two ago is decided on again with the daily pass."""
    stage.clock.advance(5 * 86400)


def test_a_class_of_mail_left_out_now_counts_in_every_worker_a_minute_later(stage, admin):
    stage.add()
    stage.settle()
    stage.world.policy()

    saved(admin, mail=MailPolicy(skipped_classes=("newsletter",)))
    stage.mail(subject="News of this minute", **NEWS)
    mailboxes.sync_now(stage.world, row(stage))
    stage.work()
    assert stage.timeline() == ["News of this minute"]

    stage.clock.advance(60)
    stage.mail(subject="News of the next minute", **NEWS)
    stage.mail(subject="A word in person")
    stage.settle()
    assert stage.timeline() == ["A word in person", "News of this minute"]


def test_an_internal_domain_counts_for_later_mail_takes_nothing_away_and_fetches_nothing_when_it_goes(stage, admin):
    stage.add()
    stage.settle()
    stage.mail(subject="before")
    stage.settle()

    saved(admin, matching=MatchingPolicy(internal_domains=("firm.example", "client.example")))
    stage.clock.advance(60)
    stage.mail(subject="meanwhile")
    stage.settle()
    # Beyond what the daily pass lists again.
    stage.clock.advance(3 * 86400)
    stage.settle()
    saved(admin, matching=FIRM.matching)
    stage.clock.advance(60)
    stage.mail(subject="later")
    stage.settle()
    stage.clock.advance(2 * 86400)
    stage.settle()

    assert stage.timeline() == ["later", "before"]


def test_more_months_fetch_nothing_by_themselves_and_a_mailbox_that_is_reset_has_them(stage, admin):
    stage.mail(subject="a year ago", received=stage.clock() - 365 * DAY)
    stage.mail(subject="a month ago", received=stage.clock() - 30 * DAY)
    long_unchanged(stage)
    stage.add()
    stage.settle()

    saved(admin, mail=MailPolicy(backfill_months=24))
    stage.clock.advance(2 * 86400)
    stage.settle()
    assert stage.timeline() == ["a month ago"]

    mailboxes.reset(stage.world, row(stage))
    stage.settle()
    assert stage.timeline() == ["a month ago", "a year ago"]


def test_a_folder_that_is_left_out_no_longer_has_its_old_mail_captured_within_two_days(stage, admin):
    stage.mail(subject="a month in junk", folder="junkemail", received=stage.clock() - 30 * DAY)
    stage.mail(subject="in the inbox")
    long_unchanged(stage)
    stage.add()
    stage.settle()
    assert stage.timeline() == ["in the inbox"]

    without = tuple(one for one in SKIPPED_FOLDERS if one != "junkemail")
    saved(admin, mail=MailPolicy(skipped_folders=without))
    for _ in range(2):
        stage.clock.advance(86400)
        stage.settle()
    assert stage.timeline() == ["in the inbox", "a month in junk"]


def test_a_folder_left_out_from_now_on_keeps_what_was_captured_and_brings_nothing_more(stage, admin):
    stage.mail(subject="before", folder="archive")
    stage.add()
    stage.settle()

    saved(admin, mail=MailPolicy(skipped_folders=(*SKIPPED_FOLDERS, "archive")))
    for _ in range(2):
        stage.clock.advance(86400)
        stage.settle()
    stage.mail(subject="after", folder="archive")
    stage.settle()

    assert stage.timeline() == ["before"]


def test_mail_goes_on_by_the_older_policy_where_the_newest_cannot_be_read(stage, admin, caplog):
    saved(admin, mail=MailPolicy(skipped_classes=("newsletter",)))
    saved(admin, mail=MailPolicy())
    current = stage.tables.get(TABLE, PARTITION, CURRENT)
    assert current is not None
    stage.tables.write(TABLE, PARTITION, [Write("merge", CURRENT, {"policy000": '{"version": 2}'}, current.version)])

    stage.add()
    stage.settle()
    stage.mail(subject="News", **NEWS)
    stage.mail(subject="A word in person")
    stage.settle()

    assert stage.timeline() == ["A word in person"]
    assert [record.levelname for record in caplog.records if "policy" in record.getMessage()] == ["ERROR"]


def test_a_preset_is_saved_like_any_policy_and_keeps_the_firms_domains(stage, admin):
    for at in (1, 2, 3):
        stage.mail(subject=f"{at} months ago", received=stage.clock() - at * 30 * DAY)
    admin.save(applied(PRESETS["advisory"], admin.current().policy), admin.current().etag, "admin")

    stage.add()
    stage.settle()

    assert admin.current().policy.matching.internal_domains == ("firm.example",)
    assert admin.current().policy.mail.backfill_order == "oldest"
    assert stage.timeline() == ["1 months ago", "2 months ago", "3 months ago"]


def test_the_audit_is_kept_for_more_than_a_year_and_no_longer(stage):
    stage.world.audit.note("admin", "mailbox added", "m")
    stage.clock.advance((KEPT - DAY).total_seconds())
    retention.purge(stage.world)
    assert len(stage.world.audit.entries()[0]) == 1

    stage.clock.advance(2 * 86400)
    retention.purge(stage.world)
    assert stage.world.audit.entries() == ([], "")


def test_everything_in_a_file_and_back_is_the_same_policy(stage, admin):
    saved(admin, mail=MailPolicy(bcc=False, unmatched_days=7), matching=MatchingPolicy(internal_domains=("x.example",)))
    exported = admin.current().policy.dump()
    saved(admin, mail=MailPolicy())

    admin.save(Policy.load(exported), admin.current().etag, "admin", "from a file")

    assert [one.version for one in admin.history()[0]] == [3, 2, 1]
    assert admin.current().policy == admin.history()[0][2].policy
    assert ROSA not in exported
    assert ADA not in exported
