"""What generated faults and random mail have found, each told as a plain story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault
from sync import capture, jobs
from sync.errors import ForeignLink
from sync.progress import progress
from tests.builders import NOON
from tests.machines.world import HostedStage
from tests.stage import ADA, a_job

DAY = timedelta(days=1)


@pytest.fixture
def stage() -> Iterator[HostedStage]:
    stage = HostedStage(mailboxes=(ADA,))
    stage.mail(subject="old", received=NOON - DAY, sent=NOON - DAY)
    stage.add()
    yield stage
    stage.close()


def effects_of_the_start() -> int:
    """How many effects a first round and its backfill have when nothing goes wrong."""
    stage = HostedStage(mailboxes=(ADA,))
    stage.mail(subject="old", received=NOON - DAY, sent=NOON - DAY)
    stage.add()
    stage.watch()
    stage.cycle()
    stage.close()
    return len(stage.effects.seen)


@pytest.mark.parametrize("effect", range(effects_of_the_start()))
def test_a_start_that_the_storage_broke_off_forgets_neither_its_folders_nor_its_old_mail(stage, effect):
    """What a job that broke off saves at its end is what stood there before, not what it was about to save."""
    stage.watch()
    stage.effects.before[effect] = stage.cut_off
    for _ in range(3):
        stage.cycle()
    stage.mail(subject="new")
    stage.cycle()

    assert stage.timeline() == ["new", "old"]


def test_a_link_to_another_host_is_refused_before_it_is_remembered(stage):
    stage.cycle()
    stage.tenant.faults.add(Fault("messages/delta", "foreign_link"))
    row = next(stage.world.state.mailboxes())

    with pytest.raises(ForeignLink):
        jobs.work(stage.world, "sync-mail", a_job(row).to_json(), capture.live)
    stage.mail(subject="after it")
    stage.cycle()

    assert stage.timeline() == ["after it", "old"]
    assert stage.world.state.mailbox(row.id).trouble is None


def test_a_backfill_that_died_at_its_end_is_ended_by_the_next(stage):
    stage.watch()
    stage.lost = True
    stage.cycle()
    end = max(at for at, effect in enumerate(stage.effects.seen) if "mail-backfill|1cursor" in effect.rows)
    stage.close()
    again = HostedStage(mailboxes=(ADA,))
    again.mail(subject="old", received=NOON - DAY, sent=NOON - DAY)
    row = again.add()
    again.watch()
    again.lost = True
    again.effects.before[end] = again.killed
    for _ in range(3):
        again.cycle()

    assert progress(again.world, row)["percent"] == 100
    again.close()


def test_a_worker_that_was_overtaken_does_not_say_that_the_backfill_still_runs(stage):
    stage.watch()
    stage.after_call[2] = stage.overtaken
    for _ in range(2):
        stage.cycle()

    assert next(stage.world.state.mailboxes()).backfill == "done"


def test_a_folder_that_is_listed_and_can_never_be_opened_is_an_error_row(stage):
    stage.cycle()
    made = stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.tenant.faults.add(Fault(rf"{made.rstrip('=')}.*messages/delta", "not_found", times=None))
    stage.mail(subject="filed", folder="inbox/Clients")
    for _ in range(2):
        stage.cycle()

    (item,) = {
        item.name
        for run in stage.world.log.runs()[0]
        for item in stage.world.log.items(run.id)[0]
        if item.outcome == "error"
    }
    assert item.startswith("folder ")


def test_a_folder_that_is_gone_when_it_is_opened_leaves_no_error(stage):
    stage.cycle()
    stage.tenant.user(ADA).add_folder("Clients", "inbox")
    stage.tenant.faults.add(Fault("messages/delta.*filter", "not_found"))
    for _ in range(2):
        stage.cycle()

    assert sum(run.errors for run in stage.world.log.runs()[0]) == 0
