"""What generated faults and random mail have found, each told as a plain story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dev.tenant.faults import Fault
from sync import capture, jobs
from sync.errors import ForeignLink
from sync.graph import wire
from sync.progress import progress
from tests.builders import NOON
from tests.machines.world import HostedStage
from tests.stage import ADA, ROSA, a_job

DAY = timedelta(days=1)
SIX_HOURS = 6 * 3600


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


def test_where_a_folders_changes_are_never_to_be_had_each_mail_comes_a_round_later_and_nothing_is_lost(stage):
    """404 may mean that somebody threw the folder away: the next round lists all folders and opens it anew."""
    stage.cycle()
    stage.tenant.faults.add(Fault(r"messages/delta\?.*deltatoken", "not_found", times=None))

    came: list[list[str]] = []
    for number in range(3):
        stage.mail(subject=str(number))
        for _ in range(2):
            stage.cycle()
            came.append(stage.timeline())

    assert came[1::2] == [["0", "old"], ["1", "0", "old"], ["2", "1", "0", "old"]]
    assert (stage.status().status, sum(run.errors for run in stage.world.log.runs()[0])) == ("connected", 0)


def counts(stage: HostedStage) -> dict[str, object]:
    """What the mailbox has counted so far."""
    known = progress(stage.world, next(stage.world.state.mailboxes()))
    return {name: known[name] for name in ("seen", "kept", "skipped")}


def with_lost_deltas(stage: HostedStage) -> list[str]:
    """A mailbox with mail that is kept and mail that is not, whose deltas were lost in the night. Returns what is asked
    from now on."""
    stage.mail(subject="kept")
    stage.mail(subject="nobody's", author="who@else.example")
    for _ in range(3):
        stage.cycle()
    asked: list[str] = []
    stage.tenant.before.append(lambda request: asked.append(request.url))
    stage.tenant.drop_delta_states()
    return asked


def opened(asked: list[str]) -> list[str]:
    """Folders whose delta was opened."""
    return [url for url in asked if "messages/delta" in url and "filter" in url]


def test_a_lost_delta_that_hid_nothing_leaves_no_run_and_counts_nothing_twice(stage):
    """The light call shows no news, so the round of every six hours finds it: it lists again what was counted."""
    asked = with_lost_deltas(stage)
    runs, before = stage.world.log.runs()[0], counts(stage)

    stage.clock.advance(SIX_HOURS)
    stage.cycle()

    assert opened(asked)
    assert (stage.world.log.runs()[0], counts(stage)) == (runs, before)


def test_what_came_before_a_lost_delta_was_found_is_kept_and_counted(stage):
    asked = with_lost_deltas(stage)
    runs, before = stage.world.log.runs()[0], counts(stage)
    stage.mail(subject="meanwhile")

    stage.cycle()

    assert opened(asked)
    (run,) = (one for one in stage.world.log.runs()[0] if one not in runs)
    assert (run.seen, run.kept, run.skipped) == (1, 1, {})
    assert counts(stage) == {**before, "seen": before["seen"] + 1, "kept": before["kept"] + 1}
    assert stage.timeline() == ["meanwhile", "kept", "old"]


def test_a_first_round_whose_pages_were_lost_counts_what_it_had_not_shown(stage, monkeypatch):
    """Only what a whole round has shown was counted: here it was one page of four, which is counted again."""
    monkeypatch.setattr(wire, "DELTA_PAGE", 3)
    for number in range(10):
        stage.mail(subject=str(number), author="who@else.example")
    stage.tenant.faults.add(Fault("messages/delta.*skiptoken", "gone", times=2))

    for _ in range(3):
        stage.cycle()

    assert counts(stage)["skipped"] == {"no contact": 3 + 10}


def test_who_was_known_from_a_bcc_and_becomes_openly_known_stands_there_once_for_everybody(stage):
    """His row for some eyes stays beside the open one; whoever reads the timeline is shown one line of the two."""
    vera = "vera@client.example"
    stage.tenant.user(ADA).deliver(author=ADA, to=(vera,), bcc=(ROSA,), folder="sentitems", subject="to both")
    stage.cycle()
    (hidden,) = (row for row in stage.tables.scan("CrmTimeline") if "only" in row.values)
    rosa, owner = hidden.key.partition("|")[0], str(hidden.values["only"])

    def lines(viewer: str | None, page: int = 10) -> list[str]:
        return [entry.subject for entry in stage.crm.timeline(rosa, page, viewer=viewer)[0]]

    assert [lines(viewer) for viewer in (None, owner, "another")] == [["to both", "old"], ["to both", "old"], ["old"]]
    stage.crm.save_contact("Rosa Client", [ROSA, vera], rosa)
    for _ in range(6):
        stage.clock.advance(5 * 3600)
        stage.cycle()

    (first, after) = stage.crm.timeline(rosa, 1)
    assert sum("only" in row.values for row in stage.tables.scan("CrmTimeline")) == 1
    assert [lines(viewer) for viewer in (None, owner, "another")] == 3 * [["to both", "old"]]
    assert [*first, *stage.crm.timeline(rosa, 1, after)[0]] == stage.crm.timeline(rosa, 2)[0]
